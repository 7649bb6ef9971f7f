"""A folder of images before it is trained on: checked, prepared, balanced, captioned."""

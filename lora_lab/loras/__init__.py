"""Algebra on LoRA files: info, merge, svd-merge, resize, extract, bake."""

"""LoRA files of any origin: the one place where they are opened, and what their names and numbers mean."""

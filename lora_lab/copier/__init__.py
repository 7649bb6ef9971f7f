"""Copier LoRAs: train one LoRA on an image and one on its edited twin, keep the difference, and show it."""

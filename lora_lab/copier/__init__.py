"""Copier LoRAs: train one LoRA on a picture and one on its edited twin, keep the difference, and show it."""

"""A parameter-sweep harness for Stable Diffusion LoRA training."""

__version__ = "0.1.0"

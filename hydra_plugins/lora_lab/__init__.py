"""Makes Hydra's multirun use lora_lab's own planning and engines."""

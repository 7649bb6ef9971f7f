"""The embedded demo: procedural portraits, the subject to learn, its likeness score, the small base model.

Images and scores need no torch: nothing here imports it but `train_base` and the modules it alone uses.
"""

from pathlib import Path

BASE = Path(__file__).parent / "base"
"""The embedded base model: a diffusers folder (fp16 safetensors) made by `lora_lab.demo.train_base`."""

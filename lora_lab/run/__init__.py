"""Run folders from start to finish: `python -m lora_lab.run FOLDER [FOLDER ...]` works through a pack."""

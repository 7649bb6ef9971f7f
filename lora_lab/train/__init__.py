"""The loop over a pack: K runs on one frozen base model, one pass, a record per update."""

from lora_lab.train.job import Job
from lora_lab.train.loop import PackTrainer, Record
from lora_lab.train.runner import Runner
from lora_lab.train.source import Batch, Source
from lora_lab.train.validation import HeldBack, Validation

__all__ = ["Batch", "HeldBack", "Job", "PackTrainer", "Record", "Runner", "Source", "Validation"]

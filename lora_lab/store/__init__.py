"""What is on disk: file names, status, checkpoints, scores, and the table derived from them."""

from lora_lab.store.layout import RunFolder, SweepFolder, epoch_tag, preview_name, step_tag
from lora_lab.store.record import (
    FINISHED,
    PHASES,
    STATUSES,
    Checkpoint,
    Preview,
    RunRecord,
    now,
    read_record,
    write_record,
)

__all__ = [
    "FINISHED",
    "PHASES",
    "STATUSES",
    "Checkpoint",
    "Preview",
    "RunFolder",
    "RunRecord",
    "SweepFolder",
    "epoch_tag",
    "now",
    "preview_name",
    "read_record",
    "step_tag",
    "write_record",
]

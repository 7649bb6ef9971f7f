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
from lora_lab.store.scores import (
    Pair,
    Place,
    Rating,
    Score,
    ScoreLog,
    Session,
    Skip,
    append_score_line,
    ratings,
    read_scores,
)

__all__ = [
    "FINISHED",
    "PHASES",
    "STATUSES",
    "Checkpoint",
    "Pair",
    "Place",
    "Preview",
    "Rating",
    "RunFolder",
    "RunRecord",
    "Score",
    "ScoreLog",
    "Session",
    "Skip",
    "SweepFolder",
    "append_score_line",
    "epoch_tag",
    "now",
    "preview_name",
    "ratings",
    "read_record",
    "read_scores",
    "step_tag",
    "write_record",
]

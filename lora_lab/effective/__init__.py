"""What of a config acts, what has no effect, and which experiment it is. Without torch."""

from lora_lab.effective.differences import SHORT, differences, differing, short
from lora_lab.effective.examine import Examined, examine, facts_of
from lora_lab.effective.pairs import Comparison, Comparisons, compare
from lora_lab.effective.previews import preview_fingerprint
from lora_lab.effective.resolve import BY_CONTENT, SAME_RESULT, fingerprint, resolve
from lora_lab.findings import Inert
from lora_lab.resolved import Facts, Resolved

__all__ = [
    "BY_CONTENT",
    "SAME_RESULT",
    "SHORT",
    "Comparison",
    "Comparisons",
    "Examined",
    "Facts",
    "Inert",
    "Resolved",
    "compare",
    "differences",
    "differing",
    "examine",
    "facts_of",
    "fingerprint",
    "preview_fingerprint",
    "resolve",
    "short",
]

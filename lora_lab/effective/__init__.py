"""What of a config acts, what cannot, and which experiment it is. Without torch."""

from lora_lab.effective.examine import Examined, examine, facts_of
from lora_lab.effective.facts import Facts
from lora_lab.effective.pairs import Comparison, Comparisons, compare
from lora_lab.effective.previews import preview_fingerprint
from lora_lab.effective.resolve import BY_CONTENT, SAME_RESULT, resolve
from lora_lab.effective.result import SHORT, Effective, differences, differing, fingerprint, short
from lora_lab.findings import Inert

__all__ = [
    "BY_CONTENT",
    "SAME_RESULT",
    "SHORT",
    "Comparison",
    "Comparisons",
    "Effective",
    "Examined",
    "Facts",
    "Inert",
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

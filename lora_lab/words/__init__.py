"""Every sentence that is read in more than one place, in English and Japanese."""

from lora_lab.words.said import (
    LANGUAGES,
    TEXTS,
    Label,
    Said,
    change_of,
    check_language,
    in_language,
    joined,
    named,
    said,
    stage,
)

__all__ = [
    "LANGUAGES",
    "TEXTS",
    "Label",
    "Said",
    "change_of",
    "check_language",
    "in_language",
    "joined",
    "named",
    "said",
    "stage",
]

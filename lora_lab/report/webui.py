"""What A1111 and Forge show of a LoRA: `NAME.png`, `NAME.json`, and the strength that its tag begins with.

Source of the keys: extensions-builtin/Lora/ui_edit_user_metadata.py and ui_extra_networks_lora.py of
github.com/AUTOMATIC1111/stable-diffusion-webui.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.models.family import Family
from lora_lab.store import Checkpoint
from lora_lab.store.scores import ScoreLog

USUAL_STRENGTH = 0.8
"""Where a LoRA has no images at all."""


@dataclass(frozen=True)
class Strength:
    """At which strength a LoRA is to be used.

    Attributes:
        value: The one to begin with.
        judged: The strengths of the images that people gave its score for; empty where nobody has.
    """

    value: float
    judged: tuple[float, ...] = ()


def strength_of(log: ScoreLog, run: str, checkpoint: Checkpoint, scored: bool) -> Strength:
    """The strength that was judged; of several the one nearest to 1, without a score that of the previews.

    Args:
        log: All scores of the sweep.
        run: The run that did the work.
        scored: Whether people gave the checkpoint a score, wherever that is written.
    """
    rendered = {item.strength for item in checkpoint.previews if item.strength > 0}
    place = (run, checkpoint.tag)
    given = [item for item in log.scores if place in item.places]
    shown = {strength for item in given for _, _, strength in item.shots}
    # Sessions of earlier versions, and tables, do not say what was shown: then it was what there is.
    judged = sorted(shown & rendered or rendered) if scored else []
    usual = min(judged or rendered, key=lambda value: (abs(value - 1), value), default=USUAL_STRENGTH)
    return Strength(usual, tuple(judged))


def user_metadata(
    family: Family, trigger: str, strength: float, negative: str, notes: Sequence[str]
) -> dict[str, Any]:
    """The content of `NAME.json`; a click on the LoRA then writes its tag, and the activation text behind.

    Args:
        notes: Sentences; the first one is shown on the LoRA's image.
    """
    return {
        "description": notes[0],
        "sd version": family.files.webui,
        "activation text": trigger,
        "preferred weight": strength,
        "negative text": negative,
        "notes": "\n".join(notes[1:]),
    }

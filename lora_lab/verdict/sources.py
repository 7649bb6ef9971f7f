"""Where the noise of a run's score comes from, and what to buy next.

What repeats of a setting vary by is the sum of what training again, the choice of images and the eye do.
The last two are measured apart from it where there is something to measure them on; the rest is training.
What sessions differ by is no part of it: it is taken out (`store.scales`).
"""

from __future__ import annotations

import math
from statistics import mean

from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.result import MEASURED
from lora_lab.words import Said, joined, said

MOSTLY = 2 / 3
"""Share of the variance from which on training is what to spend on: the rest is cheaper to make less of."""


def noise_by_source(analysis: Analysis) -> list[Said]:
    """It as a sentence; nothing where repeats or the parts were not measured."""
    noise, found, scale = analysis.noise, analysis.evidence, analysis.scale
    if noise.source != MEASURED or not noise.sd:
        return []
    whole = noise.sd**2
    images = found.images[0] ** 2 / found.images[2] if found.images else 0.0
    eye = mean(noise.least.values()) if noise.least else 0.0
    if not images and not eye:
        return []
    # Each part has an error of its own: more than all of it there cannot be.
    share = min(1.0, whole / (images + eye))
    images, eye = share * images, share * eye
    parts = [said("source_training", sd=_sd(whole - images - eye, scale))]
    bought = {"buy_runs": whole / 2}
    if found.images:
        parts.append(said("source_images", sd=_sd(images, scale), n=found.images[2]))
        bought["buy_images"] = whole - images / 2
    if eye:
        parts.append(said("source_eye", sd=_sd(eye, scale)))
        bought["buy_looks"] = whole - eye / 2
    levels = [item.session_sd for item in found.raters if item.session_sd is not None]
    if levels:
        parts.append(said("source_session", sd=_sd(mean(level**2 for level in levels), scale)))
    options = [said("buy_brings", what=said(key), sd=_sd(value, scale)) for key, value in bought.items()]
    cheap = "advise_images" if images > eye else "advise_looks"
    advice = said("advise_runs" if whole - images - eye > MOSTLY * whole else cheap)
    own = {"parts": joined(parts), "now": _sd(whole, scale), "options": joined(options), "advice": advice}
    return [said("note_sources", **own)]


def _sd(variance: float, scale: Scale) -> str:
    return points(math.sqrt(max(0.0, variance)), scale, signed=False)

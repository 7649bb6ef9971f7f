"""Rules of the group `dataset`, by what is in force over the images: a dataset file may decide."""

from __future__ import annotations

from typing import Any

from lora_lab.config import parse_resolution
from lora_lab.counts import counted
from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.findings import Findings
from lora_lab.resolved import Facts

CAPTION_TEXT = (
    "weighted_captions", "trigger_word", "caption_separator", "shuffle_caption", "keep_tokens",
    "keep_tokens_separator", "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix",
    "caption_dropout_every_n_epochs", "caption_tag_dropout_rate", "token_warmup_min", "token_warmup_step",
)  # fmt: skip
"""The settings that decide what a caption says when it is not dropped."""


class _InForce:
    """Asks about a setting over all images."""

    def __init__(self, v: Values, facts: Facts) -> None:
        self._v, self._facts = v, facts

    def any(self, name: str) -> bool:
        """Whether it is on, or above 0, for some image."""
        return any(self._of(name))

    def all(self, name: str) -> bool:
        """Whether it is on for every image."""
        return all(self._of(name))

    def all_are(self, name: str, value: Any) -> bool:
        """Whether it has this value for every image."""
        return all(item == value for item in self._of(name))

    def _of(self, name: str) -> tuple[Any, ...]:
        key = f"dataset.{name}"
        return self._facts.in_force(key, self._v[key])


def no_effect(v: Values, facts: Facts) -> Reasons:
    """What a dataset file decides, bucket limits without buckets, and what only acts on shuffled captions."""
    for key in facts.decided:
        if key.startswith("dataset."):
            yield key, "the dataset file sets it for every image"
    yield from _of_numbers(v, facts)
    if facts.repeats is not None:
        yield "dataset.balance", "every image has the same repeats with it"
    force = _InForce(v, facts)
    if not force.any("enable_bucket"):
        for name in ("min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale"):
            yield f"dataset.{name}", "dataset.enable_bucket=false: there are no buckets"
    elif force.all("bucket_no_upscale"):
        for name in ("min_bucket_reso", "max_bucket_reso"):
            yield f"dataset.{name}", "dataset.bucket_no_upscale=true: images make their own buckets"
    if not facts.transparent:
        yield "dataset.alpha_mask", "no training image has transparency"
    if force.all_are("caption_dropout_rate", 1):
        for name in CAPTION_TEXT:
            yield f"dataset.{name}", "dataset.caption_dropout_rate=1: every caption is dropped"
        return
    yield from _of_captions(v, force)


def _of_numbers(v: Values, facts: Facts) -> Reasons:
    most = v["dataset.max_images"]
    if most > facts.images:
        yield "dataset.max_images", f"there are not more than {counted(facts.images, 'image')}"
    if not most or most > facts.images:
        yield "dataset.max_images_seed", "dataset.max_images leaves out no image"


def _of_captions(v: Values, force: _InForce) -> Reasons:
    warmup = force.any("token_warmup_step")
    mixing = force.any("shuffle_caption") or force.any("caption_tag_dropout_rate") or warmup
    reason = "tags stay as they are without shuffle_caption, caption_tag_dropout_rate or token_warmup_step"
    if not mixing:
        yield "dataset.keep_tokens", reason
        yield "dataset.keep_tokens_separator", reason
        if not v["dataset.trigger_word"] and not force.any("secondary_separator"):
            yield "dataset.caption_separator", reason
    if not warmup:
        yield "dataset.token_warmup_min", "dataset.token_warmup_step is 0"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """Nothing: the images' own problems are said where they are read."""
    return Findings()


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Resolution by area where there are buckets, repeats as found, a trigger word where it is missing."""
    width, height = parse_resolution(v["dataset.resolution"])
    if v["dataset.enable_bucket"]:
        width, height = sorted((width, height))  # with buckets only the area counts
    resize = v["dataset.resize_interpolation"]
    return {
        "dataset.resolution": f"{width}x{height}",
        "dataset.repeats": facts.repeats,
        # A trigger word that every caption has is the same as none; previews use it all the same.
        "dataset.trigger_word": (v["dataset.trigger_word"] or "").strip() if facts.trigger_missing else "",
        "dataset.resize_interpolation": {"cubic": "bicubic", "linear": "bilinear"}.get(resize, resize),
    }

"""Automatic numbers for previews."""

from dataclasses import dataclass

from lora_lab.config.fields import setting


@dataclass
class MetricConfig:
    """Automatic numbers for previews."""

    names: list[str] = setting(
        ["basic"],
        "metrics, such as basic, clip_i, clip_t, dino, diversity, drift and copy",
        trains=False,
        source="ours",
    )
    clip_model: str | None = setting(
        None,
        "CLIP model of clip_i and clip_t: its folder, or a name on the hub",
        trains=False,
        source="CLIP, arXiv 2103.00020",
    )
    dino_model: str | None = setting(
        None,
        "DINO model of dino, diversity, drift and copy: its folder, or a name on the hub",
        trains=False,
        source="DINOv2, arXiv 2304.07193",
    )
    references: str | None = setting(
        None,
        "folder of images that previews should be like; null takes held-back or training images",
        trains=False,
        source="ours",
        path=True,
    )
    class_word: str = setting(
        "",
        "what stands for the trigger word in clip_t, which does not know it, such as woman",
        trains=False,
        source="DreamBooth's prior, arXiv 2208.12242",
    )

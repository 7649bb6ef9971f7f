"""What the images of a run come to: per folder, per bucket, and what the crop takes."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_lab.data.buckets import Assignment
from lora_lab.data.captions import lacks_trigger, undropped
from lora_lab.data.image_set import CaptionedImage, readable
from lora_lab.data.plan import DataPlan

TRAINING, REGULARISATION, VALIDATION = "training", "regularisation", "validation"


@dataclass(frozen=True)
class FolderSummary:
    """Images of one folder and one use.

    Attributes:
        repeats: None where they differ.
        draws: Samples of an epoch.
        captioned: The first image, and `caption` what it is trained with where nothing is shuffled or
            dropped: trigger word, prefix and suffix included.
        trigger_added: How many captions lack the word `trigger` and get it in front.
    """

    folder: str
    use: str
    images: int
    repeats: int | None
    draws: int
    captioned: str
    caption: str
    trigger: str
    trigger_added: int


@dataclass(frozen=True)
class BucketSummary:
    """Images of one bucket; `cut` is the largest share that the crop takes of one of them, 0 to below 1."""

    dataset: int
    width: int
    height: int
    images: int
    draws: int
    cut: float
    most_cut: str


@dataclass(frozen=True)
class DataSummary:
    """All folders and buckets of a run, in their order."""

    folders: tuple[FolderSummary, ...] = ()
    buckets: tuple[BucketSummary, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@lru_cache(maxsize=64)
def summary(plan: DataPlan) -> DataSummary:
    """Count what a plan trains on and is measured on."""
    by_folder: dict[tuple[Path, str], list[CaptionedImage]] = {}
    for item in plan.items:
        by_folder.setdefault((item.folder, REGULARISATION if item.is_reg else TRAINING), []).append(item)
    for item, _ in plan.validation:
        by_folder.setdefault((item.folder, VALIDATION), []).append(item)
    by_bucket: dict[tuple[int, tuple[int, int]], list[tuple[CaptionedImage, Assignment]]] = {}
    for item, place in zip(plan.items, plan.assignments, strict=True):
        by_bucket.setdefault((item.settings.dataset, place.bucket), []).append((item, place))
    return DataSummary(
        tuple(_folder(folder, use, items) for (folder, use), items in by_folder.items()),
        tuple(_bucket(*key, pairs) for key, pairs in sorted(by_bucket.items(), key=lambda entry: entry[0])),
    )


def _folder(folder: Path, use: str, items: list[CaptionedImage]) -> FolderSummary:
    repeats = {item.repeats for item in items}
    draws = 0 if use == VALIDATION else sum(item.repeats for item in items)
    one = repeats.pop() if len(repeats) == 1 and use != VALIDATION else None
    first, added = items[0], sum(lacks_trigger(item.caption, item.settings.captions) for item in items)
    caption = readable(undropped(first.caption, first.settings.captions))
    trigger = first.settings.captions.trigger_word.strip()
    named = readable(first.path.name)
    return FolderSummary(readable(str(folder)), use, len(items), one, draws, named, caption, trigger, added)


def _bucket(
    dataset: int, bucket: tuple[int, int], pairs: list[tuple[CaptionedImage, Assignment]]
) -> BucketSummary:
    cut, name = max((place.cut_away, item.path.name) for item, place in pairs)
    draws = sum(item.repeats for item, _ in pairs)
    return BucketSummary(dataset, *bucket, len(pairs), draws, round(cut, 4), readable(name) if cut else "")

"""Repeats so that concepts, or aspect-ratio buckets, get equally many samples in an epoch."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from lora_lab.data.buckets import assign
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.settings import BucketSettings
from lora_lab.errors import DataError

OFF, FOLDERS, BUCKETS = "off", "folders", "buckets"
"""What `dataset.balance` says: nothing is balanced; each folder is a concept; each aspect-ratio bucket."""

Group = Path | tuple[int, int] | None


def balanced(items: Sequence[CaptionedImage], how: str, buckets: BucketSettings) -> list[CaptionedImage]:
    """The items with repeats by which every group has the samples that the largest one has, to the sample.

    Within a group repeats stay in proportion; what is over goes to single images, by their content, so that
    no file name decides. Regularisation images are left alone.

    Args:
        how: `OFF`, `FOLDERS` or `BUCKETS`.
    """
    groups: dict[Group, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        if not item.is_reg and how != OFF:
            groups[_group(item, how, buckets)].append(place)
    most = max((sum(items[place].repeats for place in places) for places in groups.values()), default=0)
    result = list(items)
    for group, places in groups.items():
        if group is None:
            continue
        own = sorted(places, key=lambda place: (items[place].sha256, items[place].caption))
        for place, repeats in zip(own, _shared_out([items[p].repeats for p in own], most), strict=True):
            result[place] = replace(items[place], repeats=repeats)
    return result


def _group(item: CaptionedImage, how: str, buckets: BucketSettings) -> Group:
    """What an image counts with; None for one that fits no bucket, which is named elsewhere."""
    if how == FOLDERS:
        return item.folder
    try:
        return assign(item.size, buckets).bucket
    except DataError:
        return None


def _shared_out(repeats: Sequence[int], total: int) -> list[int]:
    """Whole numbers in proportion to `repeats` that sum to `total`, which is no less than their sum.

    By the largest remainder: nobody gets less than the share rounded down, and nobody 0.
    """
    factor = Fraction(total, sum(repeats))
    shares = [count * factor for count in repeats]
    result = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda place: (result[place] - shares[place], place))
    for place in order[: total - sum(result)]:
        result[place] += 1
    return result

"""Aspect-ratio buckets: which size each image is resized to and what is cut off.

The rules are sd-scripts' (`BucketManager`), so that results compare; the differences: an image smaller
than the bucket step is refused by name (there: ZeroDivisionError), and SDXL's crop conditioning can be the
crop that was really made (there: a letterbox offset computed from bucket and original size). All sizes are
(width, height)."""

import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lora_lab.data.image_set import CaptionedImage, Problem
from lora_lab.data.settings import BucketSettings
from lora_lab.errors import ConfigError, DataError

Size = tuple[int, int]
_MUCH_ENLARGED = 2.0
_MUCH_CUT = 1 / 3
VAE_STEP = 8
"""Pixels of an image's side that become one of the latent: what is over, the VAE drops."""


@dataclass(frozen=True)
class Assignment:
    """What happens to one image: resized to `resized`, then cut to `bucket`.

    Args:
        ar_error: Bucket's aspect ratio less the image's.
        crop_left_top: Centre crop's corner in the resized image.
    """

    original: Size
    bucket: Size
    resized: Size
    ar_error: float
    crop_left_top: Size

    @property
    def cut_away(self) -> float:
        """Share of the resized image that lies outside the bucket, 0 to below 1."""
        return 1 - self.bucket[0] * self.bucket[1] / (self.resized[0] * self.resized[1])

    @property
    def enlargement(self) -> float:
        """Factor on the image's sides; above 1 pixels are invented."""
        return max(self.resized[0] / self.original[0], self.resized[1] / self.original[1])


def adjusted_limits(settings: BucketSettings) -> tuple[int, int]:
    """The limits as multiples of the step: the lower rounded down, the upper rounded up."""
    step = settings.bucket_reso_steps
    low = settings.min_bucket_reso // step * step
    high = -(-settings.max_bucket_reso // step) * step
    return low, high


def bucket_sizes(settings: BucketSettings) -> list[Size]:
    """All buckets that the settings define, sorted; with `bucket_no_upscale` images make their own instead.

    Raises:
        ConfigError: The limits exclude the resolution.
    """
    check_settings(settings)
    return list(_sizes(settings))


def check_settings(settings: BucketSettings) -> None:
    """Refuse limits that contradict the resolution, and sizes that the VAE cannot keep.

    Raises:
        ConfigError: Names every rule that is broken.
    """
    step, (width, height) = settings.bucket_reso_steps, settings.resolution
    if not settings.enable_bucket:
        if width % VAE_STEP or height % VAE_STEP:
            raise ConfigError(
                f"dataset.resolution = {width}x{height}: without buckets both sides must be multiples of "
                f"{VAE_STEP}, such as {_whole(width)}x{_whole(height)}: the VAE drops what is over"
            )
        return
    low, high = adjusted_limits(settings)
    wrong = []
    if step % VAE_STEP:
        wrong.append(
            f"dataset.bucket_reso_steps = {step} must be a multiple of {VAE_STEP}: the VAE drops the rest"
        )
    if not settings.bucket_no_upscale and low > min(width, height):
        wrong.append(f"dataset.min_bucket_reso = {low} must not exceed the resolution's shorter side")
    if not settings.bucket_no_upscale and high < max(width, height):
        wrong.append(f"dataset.max_bucket_reso = {high} must not be below the resolution's longer side")
    if not settings.bucket_no_upscale and low < 1:
        wrong.append(f"dataset.min_bucket_reso must be at least dataset.bucket_reso_steps = {step}")
    if width * height < step * step:
        wrong.append(f"dataset.bucket_reso_steps = {step} must not exceed the resolution")
    if wrong:
        raise ConfigError(f"dataset.resolution = {width}x{height}: " + "; ".join(wrong))


def _whole(side: int) -> int:
    return max(VAE_STEP, round(side / VAE_STEP) * VAE_STEP)


@lru_cache(maxsize=64)
def _sizes(settings: BucketSettings) -> tuple[Size, ...]:
    if not settings.enable_bucket:
        return (settings.resolution,)
    step, area = settings.bucket_reso_steps, settings.resolution[0] * settings.resolution[1]
    low, high = adjusted_limits(settings)
    square = int(math.sqrt(area) // step) * step
    sizes = {(square, square)}
    for width in range(low, high + 1, step):
        height = min(high, area // width // step * step)
        if height >= low:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def assign(size: Size, settings: BucketSettings) -> Assignment:
    """Choose the bucket of an image of `size` and how it gets there.

    Raises:
        DataError: The image is smaller than one bucket step (a clause without the file's name).
        ConfigError: See `check_settings`.
    """
    check_settings(settings)
    if settings.enable_bucket and settings.bucket_no_upscale:
        bucket, resized = _shrunk_only(size, settings)
    else:
        bucket = _nearest(size, _sizes(settings))
        resized = _cover(size, bucket)
    left_top = ((resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2)
    return Assignment(size, bucket, resized, bucket[0] / bucket[1] - size[0] / size[1], left_top)


def _nearest(size: Size, sizes: Sequence[Size]) -> Size:
    """The bucket of exactly this size, or the first of those whose aspect ratio is nearest."""
    at = bisect_left(sizes, size)
    if at < len(sizes) and sizes[at] == size:
        return size
    ratio = size[0] / size[1]
    return min(sizes, key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))


def _cover(size: Size, bucket: Size) -> Size:
    """The image's size when it just covers the bucket, rounded half up."""
    by_height = size[0] / size[1] > bucket[0] / bucket[1]
    scale = bucket[1] / size[1] if by_height else bucket[0] / size[0]
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _shrunk_only(size: Size, settings: BucketSettings) -> tuple[Size, Size]:
    """(bucket, resized) without enlarging: sides are cut down to multiples of the step."""
    step, area = settings.bucket_reso_steps, settings.resolution[0] * settings.resolution[1]
    resized = size if size[0] * size[1] <= area else _shrink_to_area(size, area, step)
    bucket = (resized[0] - resized[0] % step, resized[1] - resized[1] % step)
    if min(bucket) < 1:
        raise DataError(
            f"{size[0]}x{size[1]} leaves less than one step of {step} pixels on a side "
            "(dataset.bucket_reso_steps, with dataset.bucket_no_upscale)"
        )
    return bucket, resized


def _shrink_to_area(size: Size, area: int, step: int) -> Size:
    """The size of about `area` with one side a multiple of the step, whichever keeps the aspect ratio
    better."""
    ratio = size[0] / size[1]
    exact_width = math.sqrt(area * ratio)
    width = _floor_to_step(exact_width, step)
    height = _floor_to_step(area / exact_width, step)
    height_for_width = _floor_to_step(width / ratio, step)
    width_for_height = _floor_to_step(height * ratio, step)
    by_width = abs(width / height_for_width - ratio) if height_for_width else math.inf
    by_height = abs(width_for_height / height - ratio) if height else math.inf
    if by_width < by_height:
        return width, int(width / ratio + 0.5)
    return int(height * ratio + 0.5), height


def _floor_to_step(value: float, step: int) -> int:
    rounded = int(value + 0.5)
    return rounded - rounded % step


def assign_all(
    items: Sequence[CaptionedImage], settings: BucketSettings
) -> tuple[list[CaptionedImage], list[Assignment], list[Problem]]:
    """Buckets for all items; those that fit none are left out and named as errors."""
    check_settings(settings)
    kept: list[CaptionedImage] = []
    assignments: list[Assignment] = []
    problems: list[Problem] = []
    for item in items:
        try:
            assignment = assign(item.size, settings)
        except DataError as error:
            way_out = "take a larger image, a smaller step, or let it be enlarged"
            problems.append(Problem(item.path, "error", str(error), way_out))
            continue
        kept.append(item)
        assignments.append(assignment)
    return kept, assignments, problems + _enlarged(kept, assignments) + _cut(kept, assignments, settings)


def _cut(
    items: Sequence[CaptionedImage], assignments: Sequence[Assignment], settings: BucketSettings
) -> list[Problem]:
    """One warning per folder for images of which more than a third is cut away, naming the worst."""
    worst: dict[Path, list[tuple[float, str]]] = defaultdict(list)
    for item, assignment in zip(items, assignments, strict=True):
        if assignment.cut_away > _MUCH_CUT:
            worst[item.folder].append((assignment.cut_away, item.path.name))
    way_out = "crop them yourself"
    if not settings.enable_bucket:
        way_out += ", or set dataset.enable_bucket=true"
    elif settings.bucket_no_upscale:
        way_out += ", or take a smaller dataset.bucket_reso_steps"
    else:
        way_out += ", or widen dataset.min_bucket_reso and dataset.max_bucket_reso"
    return [
        Problem(
            folder,
            "warning",
            f"{len(found)} lose more than a third of their area to the crop, {name} {share:.0%}",
            way_out,
        )
        for folder, found in worst.items()
        for share, name in [max(found)]
    ]


def _enlarged(items: Sequence[CaptionedImage], assignments: Sequence[Assignment]) -> list[Problem]:
    """One warning per folder for images that are enlarged much, naming the worst."""
    worst: dict[Path, list[tuple[float, str]]] = defaultdict(list)
    for item, assignment in zip(items, assignments, strict=True):
        if assignment.enlargement >= _MUCH_ENLARGED:
            worst[item.folder].append((assignment.enlargement, item.path.name))
    way_out = "take larger images, a smaller dataset.resolution, or dataset.bucket_no_upscale"
    return [
        Problem(folder, "warning", f"{len(found)} enlarged much, {name} {times:.1f} times", way_out)
        for folder, found in worst.items()
        for times, name in [max(found)]
    ]


def random_crop(assignment: Assignment, rng: random.Random) -> Assignment:
    """The same assignment with its crop drawn evenly from all that fit."""
    spare = (assignment.resized[0] - assignment.bucket[0], assignment.resized[1] - assignment.bucket[1])
    left = rng.randint(0, spare[0]) if spare[0] > 0 else 0
    top = rng.randint(0, spare[1]) if spare[1] > 0 else 0
    return replace(assignment, crop_left_top=(left, top))


def crop_top_left(assignment: Assignment, *, flip: bool = False) -> Size:
    """SDXL's crop conditioning (top, left), in pixels of the resized image, as the crop was really made.

    Under `flip` it is counted in the mirrored image.
    """
    left, top = assignment.crop_left_top
    if flip:
        left = assignment.resized[0] - assignment.bucket[0] - left
    return top, left


def letterbox_ltrb(assignment: Assignment) -> tuple[float, float, float, float]:
    """What sd-scripts passes as SDXL's crop: (left, top, right, bottom) of the original fitted inside the
    bucket."""
    (width, height), ratio = assignment.bucket, assignment.original[0] / assignment.original[1]
    by_height = width / height > ratio
    inner = (height * ratio, float(height)) if by_height else (float(width), width / ratio)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return left, top, left + inner[0], top + inner[1]

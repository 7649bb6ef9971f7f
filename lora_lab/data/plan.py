"""What a run trains on, put together: images, buckets, batch sizes, and everything that is wrong."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_lab.data import buckets, held_back, image_set, scan, steps
from lora_lab.data.balance import OFF, balanced
from lora_lab.data.buckets import Assignment
from lora_lab.data.image_set import CaptionedImage, Problem
from lora_lab.data.images import MAX_IMAGE_PIXELS
from lora_lab.data.order import Entry, Stream
from lora_lab.data.settings import BucketSettings, SubsetSettings


@dataclass(frozen=True)
class DatasetSpec:
    """Images that share a resolution and a batch size, as scanned; `balance` is one of `data.balance`."""

    items: Sequence[CaptionedImage]
    buckets: BucketSettings
    batch_size: int
    balance: str = OFF


@dataclass(frozen=True, eq=False)
class DataPlan:
    """Images with what happens to them; `items[i]` goes with `assignments[i]`.

    Plans are told apart as objects, so that what follows from one is found once for all runs that share it.

    Args: items: Repeats are final: regularisation images match the training draws, unused ones are left
    out. batch_sizes: One per dataset (`item.settings.dataset`). settings_key: What a dataset file says, for
    `identity`; "" where there is none. from_file, decided: The same by setting of the run; see
    `resolved.Facts`. validation: Images that are held back, each with what happens to it.
    """

    items: list[CaptionedImage]
    assignments: list[Assignment]
    batch_sizes: list[int]
    problems: list[Problem] = field(default_factory=list)
    settings_key: str = ""
    from_file: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    decided: tuple[str, ...] = ()
    validation: list[tuple[CaptionedImage, Assignment]] = field(default_factory=list)

    def stream(self, seed: int) -> Stream:
        """The run's draws; see `order.Stream`."""
        keys = image_set.order_keys(self.items)
        entries = [
            Entry(key, assignment.bucket, item.repeats, item.settings.dataset)
            for key, item, assignment in zip(keys, self.items, self.assignments, strict=True)
        ]
        return Stream(entries, self.batch_sizes, seed)

    def identity(self) -> str:
        """Hash of images, captions and repeats, and of a dataset file's settings (`image_set.identity`)."""
        content = image_set.identity(self.items)
        return hashlib.sha256(f"{content}{self.settings_key}".encode()).hexdigest()

    def bucket_table(self) -> list[tuple[int, tuple[int, int], int, int]]:
        """Rows (dataset, bucket, images, draws per epoch), sorted."""
        rows: dict[tuple[int, tuple[int, int]], tuple[int, int]] = {}
        for item, assignment in zip(self.items, self.assignments, strict=True):
            key = (item.settings.dataset, assignment.bucket)
            images, draws = rows.get(key, (0, 0))
            rows[key] = (images + 1, draws + item.repeats)
        return [(*key, *counts) for key, counts in sorted(rows.items())]

    def batches_per_epoch(self) -> int:
        """Batches of one epoch; each bucket's last one may be smaller."""
        return sum(-(-draws // self.batch_sizes[number]) for number, _, _, draws in self.bucket_table())

    def train_images(self) -> int:
        """Images trained on, without regularisation images."""
        return sum(not item.is_reg for item in self.items)


def plan(specs: Sequence[DatasetSpec], problems: Sequence[Problem] = (), settings_key: str = "") -> DataPlan:
    """Give every image its bucket, and regularisation images their repeats; nothing raises but bad
    settings.

    Items of spec n must have `settings.dataset` n. Call `image_set.refuse_errors(plan.problems)` before
    training.

    Raises:
        ConfigError: Bucket limits contradict the resolution.
    """
    result = DataPlan([], [], [spec.batch_size for spec in specs], list(problems), settings_key)
    whole = [item for spec in specs for item in spec.items]
    train, held = held_back.divide(whole)
    result.problems.extend(held_back.problems(train, held))
    train = _at_most(train)
    for number, spec in enumerate(specs):
        own = [item for item in train if item.settings.dataset == number]
        own = balanced(own, spec.balance, spec.buckets)
        kept, assignments, found = buckets.assign_all(_with_regularisation(own), spec.buckets)
        result.items.extend(kept)
        result.assignments.extend(assignments)
        result.problems.extend(found)
        result = with_validation(result, [i for i in held if i.settings.dataset == number], spec.buckets)
    return result


def _at_most(found: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    """The items without the training images that `max_images` leaves out.

    Content and seed decide which stay, and the fewer are always among the more: what a smaller number is
    compared with has the same images and others besides.
    """
    own = [item for item in found if not item.is_reg]
    most = own[0].settings.max_images if own else 0
    if not most:
        return list(found)
    seed = own[0].settings.max_images_seed
    ranks = [hashlib.sha256(f"{seed} {key}".encode()).digest() for key in image_set.order_keys(own)]
    order = sorted(range(len(own)), key=ranks.__getitem__)
    kept = {id(own[index]) for index in order[:most]}
    return [item for item in found if item.is_reg or id(item) in kept]


def with_validation(
    plan: DataPlan, held: Sequence[CaptionedImage], bucket_settings: BucketSettings
) -> DataPlan:
    """The plan with more images to measure the validation loss on; they are not trained on."""
    kept, assignments, found = buckets.assign_all(list(held), bucket_settings)
    pairs = [*plan.validation, *zip(kept, assignments, strict=True)]
    return replace(plan, validation=pairs, problems=[*plan.problems, *found])


def plan_folder(
    folder: Path,
    settings: SubsetSettings,
    bucket_settings: BucketSettings,
    batch_size: int,
    *,
    reg_folder: Path | None = None,
    balance: str = OFF,
    cache: Path | None = None,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> DataPlan:
    """Scan a folder (and one of regularisation images) and plan it; see `scan.scan` and `plan`."""
    found = scan.scan(folder, settings, cache=cache, max_pixels=max_pixels)
    if reg_folder is not None:
        reg = regularisation_settings(settings)
        found += scan.scan(reg_folder, reg, cache=cache, max_pixels=max_pixels)
    return plan([DatasetSpec(found.items, bucket_settings, batch_size, balance)], found.problems)


def regularisation_settings(settings: SubsetSettings) -> SubsetSettings:
    """The same for regularisation images: repeats and class tokens from folder names, no trigger word."""
    captions = replace(settings.captions, trigger_word="")
    return replace(settings, repeats=None, class_tokens=None, captions=captions, is_reg=True)


def _with_regularisation(found: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    """Items with regularisation repeats that match the training draws; those not needed are left out."""
    train = [item for item in found if not item.is_reg]
    reg = [item for item in found if item.is_reg]
    repeats = steps.regularisation_repeats([i.repeats for i in reg], sum(i.repeats for i in train))
    return train + [replace(item, repeats=n) for item, n in zip(reg, repeats, strict=True) if n]

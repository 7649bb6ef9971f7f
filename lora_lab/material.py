"""From a run's config to its pictures, their order and the length of the run: for plan and worker alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from lora_lab.config import DatasetConfig, RunConfig, parse_resolution
from lora_lab.data.buckets import Assignment, assign_all
from lora_lab.data.items import ImageSet, Item, Problem, identity, order_keys, refuse_errors
from lora_lab.data.order import Entry, Stream
from lora_lab.data.scan import scan
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.data.steps import RunLength, regularisation_repeats, run_length

DEMO = "demo"
"""What `dataset.path` says for the demo's drawn pictures."""
DEMO_PICTURES = 30


@dataclass(frozen=True)
class Material:
    """What a run trains on. `assignments` belong to `items` one by one; sizes are (width, height)."""

    items: list[Item]
    assignments: list[Assignment]
    problems: list[Problem]
    batch_size: int
    accumulation: int
    max_train_epochs: int | None
    max_train_steps: int | None
    seed: int

    @cached_property
    def stream(self) -> Stream:
        """The order of draws."""
        keys = order_keys(self.items)
        entries = [
            Entry(key, (item.settings.dataset, *place.bucket), item.repeats)
            for key, item, place in zip(keys, self.items, self.assignments, strict=True)
        ]
        return Stream(entries, self.batch_size, self.seed)

    @cached_property
    def length(self) -> RunLength:
        """Updates and epochs of the run."""
        return run_length(
            self.stream.batches_per_epoch,
            self.accumulation,
            max_train_epochs=self.max_train_epochs,
            max_train_steps=self.max_train_steps,
        )

    @cached_property
    def identity(self) -> str:
        """Hash of pictures, captions and repeats."""
        return identity(self.items)

    @property
    def images(self) -> int:
        """Pictures that are not there for regularisation."""
        return sum(not item.is_reg for item in self.items)


def dataset_path(config: RunConfig) -> Path:
    """The folder of training pictures; the demo's are drawn into the cache folder when they are not there."""
    if config.dataset.path != DEMO:
        return Path(config.dataset.path).expanduser()
    from lora_lab.demo import write_dataset

    folder = Path(config.cache).expanduser() / f"demo_pictures_{DEMO_PICTURES}"
    if not folder.is_dir():
        write_dataset(folder, images=DEMO_PICTURES, seed=0)
    return folder


def bucket_settings(data: DatasetConfig) -> BucketSettings:
    """The bucket settings of a config."""
    return BucketSettings(
        parse_resolution(data.resolution),
        data.enable_bucket,
        data.min_bucket_reso,
        data.max_bucket_reso,
        data.bucket_reso_steps,
        data.bucket_no_upscale,
    )


def subset_settings(data: DatasetConfig) -> SubsetSettings:
    """What a config says of all its folders of pictures."""
    captions = CaptionSettings(
        caption_extension=data.caption_extension,
        shuffle_caption=data.shuffle_caption,
        keep_tokens=data.keep_tokens,
        keep_tokens_separator=data.keep_tokens_separator,
        secondary_separator=data.secondary_separator,
        caption_separator=data.caption_separator,
        caption_dropout_rate=data.caption_dropout_rate,
        caption_dropout_every_n_epochs=data.caption_dropout_every_n_epochs,
        caption_tag_dropout_rate=data.caption_tag_dropout_rate,
        caption_prefix=data.caption_prefix,
        caption_suffix=data.caption_suffix,
        enable_wildcard=data.enable_wildcard,
        token_warmup_min=data.token_warmup_min,
        token_warmup_step=data.token_warmup_step,
        trigger_word=data.trigger_word or "",
    )
    return SubsetSettings(data.repeats, data.class_tokens, captions, data.flip_aug, data.random_crop)


def gather(config: RunConfig) -> Material:
    """Scan the pictures of a run and lay out its epochs. Reads headers and captions only.

    Raises:
        DataError: One report of all pictures, captions and folders that cannot be used.
        ConfigError: Bucket limits contradict the resolution.
    """
    data = config.dataset
    cache = Path(config.cache).expanduser() / "headers"
    settings = subset_settings(data)
    found = _scan(dataset_path(config), settings, cache, data.max_image_pixels)
    if data.reg_path:
        found = found + _regularisation(Path(data.reg_path).expanduser(), found, settings, cache, data)
    items, assignments, problems = assign_all(found.items, bucket_settings(data))
    refuse_errors([*found.problems, *problems])
    train = config.train
    return Material(
        items,
        assignments,
        [*found.problems, *problems],
        train.train_batch_size,
        train.gradient_accumulation_steps,
        train.max_train_epochs,
        train.max_train_steps,
        train.seed,
    )


def _regularisation(
    folder: Path, train: ImageSet, settings: SubsetSettings, cache: Path, data: DatasetConfig
) -> ImageSet:
    """The regularisation pictures, repeated until there are as many draws as of the others."""
    own = replace(settings, is_reg=True, repeats=None)
    found = _scan(folder, own, cache, data.max_image_pixels)
    draws = sum(item.repeats for item in train.items)
    repeats = regularisation_repeats([item.repeats for item in found.items], draws)
    items = [replace(item, repeats=count) for item, count in zip(found.items, repeats, strict=True) if count]
    return ImageSet(items, found.problems)


@lru_cache(maxsize=64)
def _scan(folder: Path, settings: SubsetSettings, cache: Path, max_pixels: int) -> ImageSet:
    # The rows of a sweep mostly share their pictures; within one process a folder is read once.
    return scan(folder, settings, cache=cache, max_pixels=max_pixels)

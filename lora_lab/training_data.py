"""From a run's config to its images, their order and the length of the run: for plan and worker alike."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from lora_lab.config import DatasetConfig, RunConfig, parse_resolution
from lora_lab.data.buckets import Assignment
from lora_lab.data.held_back import seen_in_training
from lora_lab.data.image_set import CaptionedImage, Problem, refuse_errors
from lora_lab.data.order import Stream
from lora_lab.data.plan import DataPlan, plan_folder, with_validation
from lora_lab.data.scan import OVERRULED, scan
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.data.steps import RunLength, run_length
from lora_lab.data.toml import Defaults, is_dataset_file, plan_file
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import unwritable

DEMO = "demo"
"""What `dataset.path` says for the demo's drawn images."""
DEMO_IMAGES = 30


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on, and for how long."""

    plan: DataPlan
    accumulation: int
    max_train_epochs: int | None
    max_train_steps: int | None
    seed: int

    @property
    def items(self) -> list[CaptionedImage]:
        """The images, with final repeats."""
        return self.plan.items

    @property
    def assignments(self) -> list[Assignment]:
        """What happens to each image; sizes are (width, height)."""
        return self.plan.assignments

    @property
    def validation(self) -> list[tuple[CaptionedImage, Assignment]]:
        """The images that the validation loss is measured on, none of them trained on."""
        return self.plan.validation

    @property
    def problems(self) -> list[Problem]:
        """What the user should know about the images."""
        return self.plan.problems

    @cached_property
    def stream(self) -> Stream:
        """The order of draws."""
        return self.plan.stream(self.seed)

    @cached_property
    def length(self) -> RunLength:
        """Updates and epochs of the run."""
        return run_length(
            self.plan.batches_per_epoch(),
            self.accumulation,
            max_train_epochs=self.max_train_epochs,
            max_train_steps=self.max_train_steps,
        )

    @cached_property
    def identity(self) -> str:
        """Hash of images, captions and repeats."""
        return self.plan.identity()

    @property
    def images(self) -> int:
        """Images that are not there for regularisation."""
        return self.plan.train_images()


def dataset_path(config: RunConfig) -> Path:
    """The folder of training images; the demo's are drawn into the cache folder when they are not there."""
    if config.dataset.path != DEMO:
        return Path(config.dataset.path).expanduser()
    folder = Path(config.cache).expanduser() / f"demo_pictures_{DEMO_IMAGES}"
    if not folder.is_dir():
        _draw(folder)
    return folder


def _draw(folder: Path) -> None:
    """Draw the demo's images: no one ever sees a part of them, and several processes may at once."""
    from lora_lab.demo.dataset import write_dataset

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder.parent) as place:
            write_dataset(Path(place) / "whole", images=DEMO_IMAGES, seed=0)
            with suppress(OSError):  # another process was quicker
                (Path(place) / "whole").rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    if not folder.is_dir():
        raise RunFolderError(f"cannot write {folder}: set cache=OTHER_FOLDER")


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


def subset_settings(config: RunConfig) -> SubsetSettings:
    """What a config says of all its folders of images."""
    data, train = config.dataset, config.train
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
    return SubsetSettings(
        data.repeats,
        data.class_tokens,
        captions,
        data.flip_aug,
        data.random_crop,
        resize_interpolation=data.resize_interpolation,
        alpha_mask=data.alpha_mask,
        validation_split=train.validation_split,
        validation_seed=train.validation_seed,
        max_images=data.max_images,
        max_images_seed=data.max_images_seed,
    )


def gather(config: RunConfig) -> TrainingData:
    """Scan the images of a run and lay out its epochs. Reads headers and captions only.

    Raises:
        DataError: One report of all images, captions and folders that cannot be used.
        ConfigError: Bucket limits contradict the resolution, or a dataset file has wrong keys.
    """
    found, train = survey(config), config.train
    refuse_errors(found.problems)
    return TrainingData(
        found, train.gradient_accumulation_steps, train.max_train_epochs, train.max_train_steps, train.seed
    )


def survey(config: RunConfig) -> DataPlan:
    """The same images with all that is wrong with them in `problems`, where `gather` refuses errors.

    Raises:
        ConfigError: Bucket limits contradict the resolution, or a dataset file has wrong keys.
    """
    data, train = config.dataset, config.train
    path = dataset_path(config)
    if data.reg_path and is_dataset_file(path):
        raise ConfigError(
            f"dataset.reg_path={data.reg_path} has no place beside a dataset file: add a subset with "
            f"is_reg = true to {path}, or leave dataset.reg_path out"
        )
    found = _plan(
        path,
        Path(data.reg_path).expanduser() if data.reg_path else None,
        Defaults(bucket_settings(data), subset_settings(config), train.train_batch_size, data.balance),
        Path(config.cache).expanduser() / "headers",
        data.max_image_pixels,
        data.path != DEMO,
    )
    if data.validation_path:
        found = _with_images_of(found, Path(data.validation_path).expanduser(), config)
    return found


def _with_images_of(found: DataPlan, folder: Path, config: RunConfig) -> DataPlan:
    """The plan with the images of `dataset.validation_path`."""
    own = replace(subset_settings(config), validation_split=0.0)
    cache = Path(config.cache).expanduser() / "headers"
    more = scan(folder, own, cache=cache, max_pixels=config.dataset.max_image_pixels)
    problems = [*found.problems, *more.problems, *seen_in_training(found.items, more.items)]
    return with_validation(replace(found, problems=problems), more.items, bucket_settings(config.dataset))


@lru_cache(maxsize=64)
def _plan(
    path: Path, reg_path: Path | None, defaults: Defaults, cache: Path, max_pixels: int, chosen: bool
) -> DataPlan:
    # The rows of a sweep mostly share their images; within one process a folder is read once.
    if not chosen:  # nobody chose the name of the demo's folder
        found = _plan(path, reg_path, defaults, cache, max_pixels, True)
        return replace(found, problems=[p for p in found.problems if not p.what.startswith(OVERRULED)])
    if is_dataset_file(path):
        return plan_file(path, defaults, cache=cache, max_pixels=max_pixels)
    return plan_folder(
        path,
        defaults.subset,
        defaults.buckets,
        defaults.batch_size,
        reg_folder=reg_path,
        balance=defaults.balance,
        cache=cache,
        max_pixels=max_pixels,
    )

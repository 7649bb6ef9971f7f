"""kohya's dataset files (TOML or JSON): several folders and several resolutions in one run.

Keys are looked up in the subset, its dataset, `[general]`, and then in the run's own settings. Folder names
set neither repeats nor class tokens here, as with kohya. Different: `caption_extension` is the run's (`.txt`)
where the file does not say, paths are relative to the file, and keys that this program does not act on are
refused, not ignored.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lora_lab.data.balance import OFF
from lora_lab.data.buckets import VAE_STEP, check_settings
from lora_lab.data.image_set import ImageSet, Problem
from lora_lab.data.images import MAX_IMAGE_PIXELS
from lora_lab.data.plan import DataPlan, DatasetSpec, plan
from lora_lab.data.resize import INTERPOLATIONS
from lora_lab.data.scan import scan_subset
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.errors import ConfigError, broken_at


@dataclass(frozen=True)
class Defaults:
    """The run's own settings, for what the file leaves open."""

    buckets: BucketSettings
    subset: SubsetSettings
    batch_size: int
    balance: str = OFF


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 1


def _is_step(value: Any) -> bool:
    return _is_count(value) and value % VAE_STEP == 0


def _is_natural(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_share(value: Any) -> bool:
    return _is_rate(value) and value < 1


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_interpolation(value: Any) -> bool:
    return value in INTERPOLATIONS


def _is_resolution(value: Any) -> bool:
    return _is_count(value) or (
        isinstance(value, list) and len(value) == 2 and all(_is_count(side) for side in value)
    )


_Rule = tuple[Callable[[Any], bool], str]
_BOOL: _Rule = (_is_bool, "true or false")
_COUNT: _Rule = (_is_count, "a whole number of at least 1")
_NATURAL: _Rule = (_is_natural, "a whole number of at least 0")
_RATE: _Rule = (_is_rate, "a number from 0 to 1")
_AMOUNT: _Rule = (_is_amount, "a number of at least 0")
_TEXT: _Rule = (_is_text, "a text")

_DATASET_KEYS: dict[str, _Rule] = {
    "batch_size": _COUNT,
    "resolution": (_is_resolution, "a number of pixels or [width, height]"),
    "enable_bucket": _BOOL,
    "min_bucket_reso": _COUNT,
    "max_bucket_reso": _COUNT,
    "bucket_reso_steps": (_is_step, "a multiple of 8"),
    "bucket_no_upscale": _BOOL,
}
_SHARE: _Rule = (_is_share, "a number from 0 to below 1")
_VALIDATION_KEYS: dict[str, _Rule] = {"validation_split": _SHARE, "validation_seed": _NATURAL}
_CAPTION_KEYS: dict[str, _Rule] = {
    "caption_extension": _TEXT,
    "shuffle_caption": _BOOL,
    "keep_tokens": _NATURAL,
    "keep_tokens_separator": _TEXT,
    "secondary_separator": _TEXT,
    "caption_separator": _TEXT,
    "caption_dropout_rate": _RATE,
    "caption_dropout_every_n_epochs": _NATURAL,
    "caption_tag_dropout_rate": _RATE,
    "caption_prefix": _TEXT,
    "caption_suffix": _TEXT,
    "enable_wildcard": _BOOL,
    "token_warmup_min": _COUNT,
    "token_warmup_step": _AMOUNT,
}
_SUBSET_KEYS: dict[str, _Rule] = _CAPTION_KEYS | {
    "num_repeats": _COUNT,
    "class_tokens": _TEXT,
    "flip_aug": _BOOL,
    "random_crop": _BOOL,
    "alpha_mask": _BOOL,
    "resize_interpolation": (_is_interpolation, "one of " + ", ".join(INTERPOLATIONS)),
}
_SUBSET_ONLY: dict[str, _Rule] = {"image_dir": _TEXT, "is_reg": _BOOL}
# Known to kohya, without effect here: harmless at these values, refused at others.
_IDLE: dict[str, tuple[Any, ...]] = {
    "color_aug": (False,),
    "face_crop_aug_range": ("",),
    "cache_info": (False, True),
    "network_multiplier": (1, 1.0),
    "custom_attributes": ({},),
    "metadata_file": ("",),
    "conditioning_data_dir": ("",),
}


def is_dataset_file(path: Path) -> bool:
    """Whether a path is meant as a dataset file rather than a folder of images."""
    return path.suffix.lower() in (".toml", ".json")


def plan_file(
    path: Path, defaults: Defaults, *, cache: Path | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> DataPlan:
    """Read a dataset file and plan all its datasets in one run; see `plan.plan`.

    Raises: ConfigError: The file cannot be read; or names every key that is unknown, wrong or without effect
    here.
    """
    content = _read(path)
    wrong = _check(content)
    if wrong:
        raise ConfigError(f"{path}: " + "; ".join(wrong))
    general = content.get("general", {})
    specs: list[DatasetSpec] = []
    problems: list[Problem] = []
    said = _Said(defaults)
    for number, dataset in enumerate(content["datasets"]):
        bucket_settings = _buckets(general | dataset, defaults.buckets)
        _check_limits(path, number, bucket_settings)
        found = ImageSet()
        subsets = _subsets(path, dataset, problems)
        for subset in subsets:
            one = _subset(general | dataset | subset, defaults.subset, number)
            images = scan_subset(_folder(path, subset), one, cache=cache, max_pixels=max_pixels)
            if images.items:
                said.add(general | dataset | subset)
            found += images
        batch_size = (general | dataset).get("batch_size", defaults.batch_size)
        specs.append(DatasetSpec(found.items, bucket_settings, batch_size, defaults.balance))
        problems.extend(found.problems)
    if not any(spec.items for spec in specs):
        problems.append(Problem(path, "error", "none of its folders has an image"))
    return replace(plan(specs, problems, said.key()), from_file=said.in_force(), decided=said.everywhere())


_OF_THE_RUN = {
    "batch_size": "train.train_batch_size",
    "num_repeats": "dataset.repeats",
    "validation_split": "train.validation_split",
    "validation_seed": "train.validation_seed",
}
"""The run's setting that a key of the file stands for, where it is not `dataset.KEY`."""


class _Said:
    """What a dataset file says of the run's settings, subset by subset."""

    def __init__(self, defaults: Defaults) -> None:
        subset = asdict(defaults.subset)
        self._asked = {**asdict(defaults.buckets), **subset["captions"], **subset}
        self._asked |= {"batch_size": defaults.batch_size, "num_repeats": defaults.subset.repeats}
        self._subsets: list[dict[str, Any]] = []

    def add(self, table: Mapping[str, Any]) -> None:
        """Take a subset that has images, with what it inherits."""
        known = _DATASET_KEYS | _VALIDATION_KEYS | _SUBSET_KEYS
        said = {key: value for key, value in table.items() if key in known}
        if table.get("is_reg"):
            said = {"num_repeats": 1, "class_tokens": "", **said, "is_reg": True}
        self._subsets.append(said)

    def key(self) -> str:
        """Hash of what is said. What is held back shows in the images that are left."""
        kept = [{k: v for k, v in said.items() if k not in _VALIDATION_KEYS} for said in self._subsets]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def in_force(self) -> dict[str, tuple[Any, ...]]:
        """The different values of every setting that some subset sets."""
        found = {}
        for key in self._keys():
            values = [said.get(key, self._asked[key]) for said in self._subsets]
            found[_name(key)] = tuple(dict.fromkeys(map(_spelled, values)))
        return found

    def everywhere(self) -> tuple[str, ...]:
        """The settings that every subset sets."""
        return tuple(_name(key) for key in self._keys() if all(key in said for said in self._subsets))

    def _keys(self) -> list[str]:
        return sorted({key for said in self._subsets for key in said} - {"is_reg"})


def _name(key: str) -> str:
    return _OF_THE_RUN.get(key, f"dataset.{key}")


def _spelled(value: Any) -> Any:
    """A resolution as `WIDTHxHEIGHT`; other values as they are."""
    return f"{value[0]}x{value[1]}" if isinstance(value, (list, tuple)) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ConfigError(f"{path}: is not a valid {kind} file ({broken_at(error)})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold [general] and [[datasets]]")
    return content


def _check(content: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the file, each with its place."""
    shared = _DATASET_KEYS | _VALIDATION_KEYS | _SUBSET_KEYS
    wrong = [f"{key} is not known at the top; known: general, datasets" for key in content.keys() - _TOP]
    general, datasets = content.get("general", {}), content.get("datasets")
    wrong += _check_table("general", general, shared)
    if not isinstance(datasets, list) or not datasets:
        return [*wrong, "there is no [[datasets]]"]
    for number, dataset in enumerate(datasets):
        place = f"datasets[{number}]"
        wrong += _check_table(place, dataset, shared, also=("subsets",))
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        if not isinstance(subsets, list) or not subsets:
            wrong.append(f"{place} has no [[datasets.subsets]]")
            continue
        for index, subset in enumerate(subsets):
            wrong += _check_table(f"{place}.subsets[{index}]", subset, _SUBSET_KEYS | _SUBSET_ONLY)
            if isinstance(subset, dict) and "image_dir" not in subset:
                wrong.append(f"{place}.subsets[{index}] has no image_dir")
    return wrong


def wrong_keys(content: Mapping[str, Any]) -> list[str]:
    """Everything in the tables of a dataset file that this program would refuse, each with its place."""
    return _check(content)


def wrong_value(key: str, value: Any) -> str:
    """What is wrong with one key of a dataset file, wherever in it; empty where it can be read."""
    known = _DATASET_KEYS | _VALIDATION_KEYS | _SUBSET_KEYS | _SUBSET_ONLY
    if key in _IDLE:
        return "" if value in _IDLE[key] else "has no effect in this program; take it out"
    if key not in known:
        return "is unknown to sd-scripts' dataset files, or has no effect here; take it out"
    return "" if known[key][0](value) else f"must be {known[key][1]}"


_TOP = {"general", "datasets"}


def _check_table(place: str, table: Any, rules: dict[str, _Rule], also: tuple[str, ...] = ()) -> list[str]:
    if not isinstance(table, dict):
        return [f"{place} must be a table"]
    wrong = []
    for key, value in table.items():
        if key in also:
            continue
        if key in _IDLE:
            if value not in _IDLE[key]:
                wrong.append(f"{place}.{key} = {value!r} has no effect in this program; take it out")
        elif key not in rules:
            near = difflib.get_close_matches(key, rules, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            wrong.append(f"{place}.{key} is unknown; {hint}known: {', '.join(sorted(rules))}")
        elif not rules[key][0](value):
            wrong.append(f"{place}.{key} must be {rules[key][1]}, got {value!r}")
    return wrong


def _check_limits(path: Path, number: int, settings: BucketSettings) -> None:
    try:
        check_settings(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: datasets[{number}]: {error}") from error


def _buckets(table: Mapping[str, Any], defaults: BucketSettings) -> BucketSettings:
    given = {key: table[key] for key in _DATASET_KEYS if key in table and key != "batch_size"}
    if "resolution" in given:
        sides = given["resolution"]
        given["resolution"] = (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])
    return replace(defaults, **given)


def _subset(table: Mapping[str, Any], defaults: SubsetSettings, number: int) -> SubsetSettings:
    given = {key: table[key] for key in _CAPTION_KEYS if key in table}
    is_reg = table.get("is_reg", False)
    if is_reg:
        given["trigger_word"] = ""
    captions: CaptionSettings = replace(defaults.captions, **given)
    # The run's repeats are an axis of a sweep; a file that says num_repeats has decided it.
    own_repeats = 1 if is_reg or defaults.repeats is None else defaults.repeats
    return replace(
        defaults,
        repeats=table.get("num_repeats", own_repeats),
        class_tokens=table.get("class_tokens", "" if is_reg else defaults.class_tokens or ""),
        captions=captions,
        flip_aug=table.get("flip_aug", defaults.flip_aug),
        random_crop=table.get("random_crop", defaults.random_crop),
        alpha_mask=table.get("alpha_mask", defaults.alpha_mask),
        resize_interpolation=table.get("resize_interpolation", defaults.resize_interpolation),
        is_reg=is_reg,
        dataset=number,
        validation_split=table.get("validation_split", defaults.validation_split),
        validation_seed=table.get("validation_seed", defaults.validation_seed),
        max_images=defaults.max_images,
        max_images_seed=defaults.max_images_seed,
    )


def _subsets(path: Path, dataset: Mapping[str, Any], problems: list[Problem]) -> list[dict[str, Any]]:
    """A dataset's subsets; a folder that it names twice counts once, as with kohya."""
    seen: set[Path] = set()
    kept = []
    for subset in dataset["subsets"]:
        folder = _folder(path, subset).resolve()
        if folder in seen:
            what = "named twice in one dataset; the second is ignored"
            problems.append(Problem(folder, "warning", what, "raise num_repeats"))
            continue
        seen.add(folder)
        kept.append(subset)
    return kept


def _folder(path: Path, subset: Mapping[str, Any]) -> Path:
    """The subset's folder: relative to the file, or to where the program runs if only that exists."""
    folder = Path(subset["image_dir"]).expanduser()
    beside = path.parent / folder
    return folder if folder.is_absolute() or (folder.exists() and not beside.exists()) else beside

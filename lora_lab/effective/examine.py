"""All that can be said of a run before it starts: images, base model, what acts, fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lora_lab.config import RunConfig, flat
from lora_lab.data.captions import undropped
from lora_lab.data.image_set import identity
from lora_lab.data.plan import DataPlan
from lora_lab.data.settings import CaptionSettings
from lora_lab.effective.previews import asks_for_trigger
from lora_lab.effective.resolve import resolve
from lora_lab.effective.texts import (
    caption_mark_warnings,
    caption_warnings,
    found_trigger,
    prompt_warnings,
    shuffled_trigger_warnings,
)
from lora_lab.errors import ModelError
from lora_lab.lora_files import planned
from lora_lab.models import ModelFile, identify
from lora_lab.models import identity as model_identity
from lora_lab.models.content_hash import file_hash
from lora_lab.models.counting import TokenCounter, token_counter
from lora_lab.models.identify import text_layers
from lora_lab.resolved import Facts, PreviewBase, Resolved, digest
from lora_lab.training_data import TrainingData, gather


@dataclass(frozen=True)
class Examined:
    """A config with what it leads to."""

    config: RunConfig
    training_data: TrainingData
    model: ModelFile
    resolved: Resolved


def examine(config: RunConfig, device_type: str) -> Examined:
    """Read headers and captions, decide what acts, and identify the experiment. No pixels, no weights.

    Args:
        device_type: cuda, cpu or mps: what the run will train on.

    Raises:
        DataError: The images cannot be used.
        ModelError: There is no usable base model, VAE or LoRA file where the config says.
        ConfigError: Settings contradict the images.
    """
    model = _identified(config.base_model.path)
    identities = {"base_model": _identity_of(config.base_model.path)}
    if config.base_model.vae:
        identities["vae"] = _vae_identity(Path(config.base_model.vae).expanduser())
    if config.network.network_weights:
        file = config.network.network_weights
        identities["network_weights"] = _file_identity("network_weights", file, model.family)
    if config.network.base_weights:
        identities["base_weights"] = _merged_identity(config, model.family)
    training_data = gather(config)
    further = _preview_bases(config, identities["base_model"])
    facts = replace(facts_of(config, training_data, model, device_type), preview_bases=further)
    identities["dataset"] = _data_identity(training_data.plan, facts)
    resolved = resolve(config, facts, identities)
    texts = tuple(_text_warnings(resolved, training_data, model))
    return Examined(config, training_data, model, replace(resolved, warnings=(*resolved.warnings, *texts)))


def _text_warnings(resolved: Resolved, training_data: TrainingData, model: ModelFile) -> Iterator[str]:
    """Captions and prompts of which not every word is read."""
    counter, length = token_counter(model), resolved.base_model.max_token_length
    yield from _caption_warnings(training_data.plan, counter, length, resolved.dataset.weighted_captions)
    if resolved.preview.seeds:
        own = resolved.preview
        yield from prompt_warnings(own.prompts, own.negative_prompt, counter, length)


@lru_cache(maxsize=64)
def _caption_warnings(
    plan: DataPlan, counter: TokenCounter | None, length: int, weighted: bool
) -> tuple[str, ...]:
    items = [*plan.items, *(item for item, _ in plan.validation)]
    return (
        *caption_warnings(items, counter, length, weighted),
        *caption_mark_warnings(items, weighted),
        *shuffled_trigger_warnings(items),
    )


def facts_of(config: RunConfig, training_data: TrainingData, model: ModelFile, device_type: str) -> Facts:
    """The facts about a run's images and base model."""
    plan = training_data.plan
    trigger, place = _found_trigger(plan) if _looks_for_trigger(config) else (None, "")
    return replace(
        _of_images(plan),
        family=model.family,
        prediction_type=model.prediction_type,
        zero_terminal_snr=model.zero_terminal_snr,
        device_type=device_type,
        trigger_missing=_trigger_missing(config, plan),
        trigger=trigger,
        trigger_from=place,
        text_layers=_text_layers(model),
        weights_form=_form_of(config.network.network_weights),
    )


@lru_cache(maxsize=64)
def _of_images(plan: DataPlan) -> Facts:
    """The facts that follow from the images alone, found once for all rows that share them."""
    own = [item for item in plan.items if not item.is_reg]
    repeats = {item.repeats for item in own}
    stream = plan.stream(0)  # the same lengths with every seed
    return Facts(
        images=len(own),
        reg_images=len(plan.items) - len(own),
        repeats=repeats.pop() if len(repeats) == 1 else None,
        buckets=len({place.bucket for place in plan.assignments}),
        draws_per_epoch=stream.samples_per_epoch,
        batches_per_epoch=stream.batches_per_epoch,
        transparent=any(item.transparent for item in plan.items),
        held_back=len(plan.validation),
        from_file=plan.from_file,
        decided=plan.decided,
    )


@lru_cache(maxsize=64)
def _found_trigger(plan: DataPlan) -> tuple[str, str]:
    return found_trigger(plan.items)


def _looks_for_trigger(config: RunConfig) -> bool:
    return not config.dataset.trigger_word and asks_for_trigger(flat(config))


def _trigger_missing(config: RunConfig, plan: DataPlan) -> bool:
    trigger = config.dataset.trigger_word
    if not trigger:
        return False
    # With wildcards a line without it may be drawn.
    return config.dataset.enable_wildcard or _lacks(plan, trigger)


@lru_cache(maxsize=256)
def _lacks(plan: DataPlan, trigger: str) -> bool:
    """Whether some caption is another one without the trigger word."""
    for item in plan.items:
        without, whole = _with_and_without(item.settings.captions, trigger)
        if undropped(item.caption, without) != undropped(item.caption, whole):
            return True
    return False


@lru_cache(maxsize=256)
def _with_and_without(captions: CaptionSettings, trigger: str) -> tuple[CaptionSettings, CaptionSettings]:
    return replace(captions, trigger_word=""), replace(captions, trigger_word=trigger)


def _data_identity(plan: DataPlan, facts: Facts) -> str:
    """Images and captions; the repeats, where they are all the same, are a setting and not part of it."""
    return _identity(plan, facts.repeats is None or bool(facts.reg_images or facts.from_file))


@lru_cache(maxsize=64)
def _identity(plan: DataPlan, with_repeats: bool) -> str:
    if with_repeats:
        return plan.identity()
    return identity([replace(item, repeats=1) for item in plan.items])


# The rows of a plan share few models; a process asks each file once.
_identified = lru_cache(maxsize=64)(identify)
_identity_of = lru_cache(maxsize=64)(model_identity)
_text_layers = lru_cache(maxsize=64)(text_layers)


@lru_cache(maxsize=64)
def _vae_identity(path: Path) -> str:
    """A VAE by content: its file, or config and weights of a folder."""
    if not path.exists():
        raise ModelError(f"base_model.vae={path}: there is no such file or folder")
    if path.is_file():
        return file_hash(path)
    place = path if (path / "config.json").is_file() else path / "vae"
    files = sorted(place.glob("*.json")) + sorted(place.glob("*.safetensors")) + sorted(place.glob("*.bin"))
    if not files:
        raise ModelError(f"base_model.vae={path}: there is no VAE in it (no config.json and weights)")
    return digest([(file.name, file_hash(file)) for file in files])


def _preview_bases(config: RunConfig, own: str) -> tuple[PreviewBase, ...]:
    """The further base models that checkpoints are rendered on; where a sweep is on several, a run's own is
    none of them.

    Args:
        own: The identity of the run's own base model.

    Raises:
        ModelError: One of them is no usable model.
    """
    found = []
    for path in config.preview.base_model if config.preview.seeds else ():
        try:
            found.append(PreviewBase(path, _identified(path).family, _identity_of(path)))
        except ModelError as error:
            raise ModelError(f"preview.base_model: {error}") from error
    return tuple(item for item in found if item.identity != own)


@lru_cache(maxsize=64)
def _file_identity(name: str, text: str, family: str) -> str:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ModelError(f"network.{name}={path}: there is no such file")
    try:
        found = planned.identity(path)
        planned.refuse_untaken(path, name)
        planned.refuse_other_family(path, family)
        return found
    except ModelError as error:
        raise ModelError(f"network.{name}: {error}") from error


@lru_cache(maxsize=64)
def _form_of(text: str | None) -> str | None:
    """What kind of network a LoRA file is, from its header."""
    if not text:
        return None
    return planned.form(Path(text).expanduser())


def _merged_identity(config: RunConfig, family: str) -> str:
    """What is merged into the base model, by content and strength, in its order."""
    merged = config.network.merged()
    return digest([(_file_identity("base_weights", file, family), strength) for file, strength in merged])

"""What a run does, decided once: its settings as they act, and which experiment it is. Without torch.

`effective.resolve` makes a `Resolved`; the planner shows it, the worker runs it, run.json keeps it, and
whoever reads results takes it from there. Nothing behind it asks a config or a model again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PureWindowsPath
from typing import Any, NamedTuple

from lora_lab.config.schema import (
    BaseModelConfig,
    DatasetConfig,
    LossConfig,
    LrSchedulerConfig,
    MetricConfig,
    NetworkConfig,
    OptimizerConfig,
    PreviewConfig,
    RunConfig,
    TrainConfig,
)
from lora_lab.errors import RunFolderError
from lora_lab.findings import Inert
from lora_lab.losses.settings import FLOW
from lora_lab.models.families import ASSUMED

VERSION = 2
"""Of the fingerprint. 1 counted settings that are off; see `effective.legacy`."""

GROUPS: dict[str, type] = {
    "base_model": BaseModelConfig,
    "dataset": DatasetConfig,
    "network": NetworkConfig,
    "optimizer": OptimizerConfig,
    "lr_scheduler": LrSchedulerConfig,
    "loss": LossConfig,
    "train": TrainConfig,
    "preview": PreviewConfig,
    "metric": MetricConfig,
}
"""The groups of settings that a run acts by."""


class PreviewBase(NamedTuple):
    """A further base model that checkpoints are rendered on: where it is, what it is, and its content."""

    path: str
    family: str
    identity: str

    @property
    def name(self) -> str:
        """What people call it: its file or folder, without the ending of a file."""
        return model_name(self.path)


def shown_label(text: str, base_model: str) -> str:
    """What a prompt is called where it is shown: its words, and the further base model that it is on."""
    return f"{text} · {base_model}" if base_model else text


def model_name(path: str) -> str:
    """What people call a base model by its path, in either system's spelling."""
    name = PureWindowsPath(path).name or path
    return name.removesuffix(".safetensors").removesuffix(".ckpt")


@dataclass(frozen=True)
class Facts:
    """What deciding about a config needs to know of the images, the base model and the machine.

    The defaults describe one image in one bucket and a GPU.

    Attributes:
        family: A key of `models.families.FAMILIES`.
        prediction_type: epsilon, v_prediction or flow_prediction, as the base model says of itself.
        zero_terminal_snr: The base model says that it was trained on betas rescaled to zero terminal SNR.
        device_type: cuda, cpu or mps.
        images: Training images; `reg_images` are counted apart.
        repeats: Repeats of every training image; None where they differ.
        buckets: Different batch shapes among the images.
        draws_per_epoch: Samples of one epoch, regularisation included.
        batches_per_epoch: Batches of one epoch, before gradient accumulation.
        trigger_missing: Some caption lacks the trigger word, or it cannot be said.
        trigger: What stands for `{trigger}` in preview prompts where dataset.trigger_word is not set: a word
            found in the images' folders and captions, '' where there is none, None if not looked for.
        trigger_from: Where it was found, in words.
        transparent: Some training image has an alpha channel.
        held_back: Images that are held back for the validation loss.
        text_layers: Layers of the first text encoder, None where that is not known.
        weights_form: What `network.network_weights` is: lora, dora, loha or lokr; None where there is no
            such file, or it cannot be told.
        from_file: What a dataset file says of settings, as the different values that are in force over its
            images: `{"dataset.shuffle_caption": (False, True)}`. Settings that it leaves to the run for all
            images are not in it.
        decided: The settings of `from_file` that it leaves to the run for no image.
        preview_bases: The models of `preview.base_model`, in their order.
    """

    family: str = ASSUMED
    prediction_type: str = "epsilon"
    zero_terminal_snr: bool = False
    device_type: str = "cuda"
    images: int = 1
    reg_images: int = 0
    repeats: int | None = 1
    buckets: int = 1
    draws_per_epoch: int = 1
    batches_per_epoch: int = 1
    trigger_missing: bool = True
    trigger: str | None = None
    trigger_from: str = ""
    transparent: bool = True
    held_back: int = 0
    text_layers: int | None = None
    weights_form: str | None = None
    from_file: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    decided: tuple[str, ...] = ()
    preview_bases: tuple[PreviewBase, ...] = ()

    def in_force(self, key: str, asked: Any) -> tuple[Any, ...]:
        """The values of a setting over all images, where the run asks for `asked`."""
        return self.from_file.get(key, (asked,))


@dataclass(frozen=True)
class Resolved:
    """A run's settings as they act.

    Attributes:
        acting: The settings that act on the trained weights, by dotted key, in one spelling; arguments stand
            as `optimizer.args.weight_decay`. Settings that have no effect are absent.
            `optimizer.learning_rate` is the U-Net's rate (the text encoder's where that alone is trained);
            `optimizer.text_encoder_lr` is None unless it differs.
        key: What the fingerprint is made of, beside the identities.
        no_effect: Every setting that has no effect, set or not, with the reason.
        inert: Those that were set.
        fallbacks: What runs otherwise than asked for, since the device cannot do it.
        identities: What is trained on by content: 'base_model', 'dataset', 'vae', 'network_weights',
            'base_weights'; empty where no files were looked at.
        fingerprint: 64 hex digits, equal for runs that end in the same weights; '' without identities.
        fingerprint_1: What version 1 called the same experiment, or ''.
        training: 64 hex digits, equal for runs that differ in their length alone; '' without identities.
        length_bound: Why a shorter run of equal `training` is no beginning of a longer one; '' where it is.
        preview_fingerprint: Equal for runs whose checkpoints are rendered and measured alike.
        anchors: Name of the folder with the base model's images of the same prompts, without LoRA.
        class_prompts: The preview prompts with `metric.class_word` in place of the trigger word, as CLIP can
            know them.
        base_model: This and the following groups hold every setting of theirs at the value that acts: rates,
            convolution dims and alphas filled in, v-prediction and zero terminal SNR as decided, precision as
            the device has it, preview prompts with the trigger word.
    """

    acting: dict[str, Any]
    key: dict[str, Any]
    no_effect: dict[str, str] = field(default_factory=dict)
    inert: tuple[Inert, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    total_steps: int = 0
    updates_per_epoch: int = 0
    facts: Facts = field(default_factory=Facts)
    identities: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    fingerprint_1: str = ""
    training: str = ""
    length_bound: str = ""
    preview_fingerprint: str = ""
    anchors: str = ""
    class_prompts: tuple[str, ...] = ()
    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_scheduler: LrSchedulerConfig = field(default_factory=LrSchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)

    def is_experiment(self, fingerprint: str) -> bool:
        """Whether a recorded fingerprint, of whichever version, is that of this experiment."""
        return bool(fingerprint) and fingerprint in (self.fingerprint, self.fingerprint_1)

    def begins(self, longer: Resolved) -> bool:
        """Whether this run is the beginning of a longer one: its weights are that one's on the way."""
        same = bool(self.training) and self.training == longer.training
        return same and not longer.length_bound and self.total_steps < longer.total_steps

    @property
    def saved_as(self) -> tuple[object, ...]:
        """What checkpoints are beside their weights: precision, and the images of their loss."""
        own = self.train
        measured = tuple(own.validation_timesteps), own.validation_split, own.validation_seed
        return own.save_precision, *measured, self.dataset.validation_path

    @property
    def epochs(self) -> float:
        """Epochs that really run; a cap on the steps may end the last one early."""
        return self.total_steps / self.updates_per_epoch if self.updates_per_epoch else 0.0

    @property
    def trains_unet(self) -> bool:
        """Whether the U-Net has layers that learn."""
        return self.network.train_unet

    @property
    def trains_text_encoder(self) -> bool:
        """Whether the text encoders have layers that learn."""
        return self.network.train_text_encoder

    @property
    def prediction_type(self) -> str:
        """epsilon, v_prediction or flow_prediction: what the model is trained and rendered as."""
        if self.facts.prediction_type == FLOW:
            return FLOW
        return "v_prediction" if self.base_model.v_parameterization else "epsilon"

    @property
    def shown_prompts(self) -> range:
        """The numbers of what checkpoints are rendered with: the settings' prompts on the run's own
        base model, then the same once more on every further one.
        """
        return range(len(self.preview.prompts) * (1 + len(self.facts.preview_bases)))

    def shown_text(self, prompt: int) -> str:
        """The words of a prompt of `shown_prompts`."""
        return self.preview.prompts[prompt % len(self.preview.prompts)]

    def shown_on(self, prompt: int) -> PreviewBase | None:
        """The base model that a prompt of `shown_prompts` is rendered on; None is the run's own."""
        number = prompt // len(self.preview.prompts)
        return self.facts.preview_bases[number - 1] if number else None

    def shown_label(self, prompt: int) -> str:
        """What a prompt of `shown_prompts` is called where it is shown."""
        further = self.shown_on(prompt)
        return shown_label(self.shown_text(prompt), further.name if further else "")

    def to_plain(self) -> dict[str, Any]:
        """Plain values for JSON; `from_plain` gives an equal `Resolved` back."""
        values = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {"version": VERSION, **values}

    @staticmethod
    def from_plain(values: Mapping[str, Any]) -> Resolved:
        """What `to_plain` wrote. Settings that this version does not know are left out.

        Raises:
            RunFolderError: The values are not those of a `Resolved`.
        """
        try:
            known = {item.name: values[item.name] for item in fields(Resolved) if item.name in values}
            facts = {k: v for k, v in known.get("facts", {}).items() if k in _names(Facts)}
            facts["from_file"] = {k: tuple(v) for k, v in facts.get("from_file", {}).items()}
            facts["decided"] = tuple(facts.get("decided", ()))
            facts["preview_bases"] = tuple(PreviewBase(*item) for item in facts.get("preview_bases", ()))
            known["facts"] = Facts(**facts)
            known["inert"] = tuple(Inert(item["key"], item["reason"]) for item in known.get("inert", ()))
            for name in ("warnings", "refusals", "fallbacks", "class_prompts"):
                known[name] = tuple(known.get(name, ()))
            for group, cls in GROUPS.items():
                given = {k: v for k, v in known.get(group, {}).items() if k in _names(cls)}
                known[group] = cls(**given)
            return Resolved(**known)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RunFolderError(
                f"resolved settings are damaged ({type(error).__name__}: {error})"
            ) from error


def groups_of(config: RunConfig) -> dict[str, Any]:
    """The groups of a config, by name."""
    return {name: getattr(config, name) for name in GROUPS}


def digest(value: Any) -> str:
    """SHA-256 of plain values; 1 and 1.0, lists and tuples are the same."""
    text = json.dumps(_alike(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _alike(value: Any) -> Any:
    if value is None or type(value) in (str, int, bool):
        return value  # most are: a plan of thousands of rows asks for millions
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _alike(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_alike(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _names(cls: type) -> set[str]:
    return {item.name for item in fields(cls)}

"""What a base-model family is: data, no behaviour. Importable without torch.

Classes and functions that need torch are named by their import path and looked up where they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

CLIP_LAYERS: Mapping[str, frozenset[str]] = {
    "attention": frozenset({"CLIPAttention", "CLIPSdpaAttention"}),
    "mlp": frozenset({"CLIPMLP"}),
}
"""Kinds of layers in transformers' CLIP, by the class that holds them."""

UNET_LAYERS: Mapping[str, frozenset[str]] = {
    "transformer": frozenset({"Transformer2DModel"}),
    "attention": frozenset({"Attention"}),
    "convolution": frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"}),
}
"""Kinds of layers in diffusers' U-Net, by the class that holds them."""


@dataclass(frozen=True)
class EncoderSpec:
    """One text encoder of a family, and how its states become the denoiser's condition."""

    component: str
    """Its folder in a diffusers model: `text_encoder` or `text_encoder_2`."""
    tokenizer: str
    """Its tokenizer's folder."""
    prefixes: tuple[str, ...]
    """Where its tensors stand in a single-file checkpoint; the first is the one that is written."""
    layout: str
    """`hf` (CLIP as transformers names it) or `open_clip` (fused projections)."""
    pad_id: int | None
    """Padding of the packaged tokenizer; None pads with the end-of-text id."""
    lora_prefix: str
    """How the names of its modules begin in kohya's LoRA files."""
    width: int
    """Width of its states in the public models."""
    depth: int
    """Layers in the public models, from which clip skip counts."""
    penultimate: bool = False
    """True: always the penultimate layer without final layer norm (SDXL); False: clip skip decides."""
    pooled: bool = False
    """True: its projected state at the first end-of-text token is the pooled condition."""
    layers: Mapping[str, frozenset[str]] = field(default_factory=lambda: CLIP_LAYERS)
    """Kinds of layers that target presets name (attention, mlp), by the class that holds them."""


@dataclass(frozen=True)
class BlockShape:
    """How the public models' U-Net is built, as far as the names of its blocks depend on it."""

    layers: int
    """Resnets per down block; up blocks have one more."""
    downs: int
    """Down blocks; all but the last end in a downsampler."""
    attentive_ups: tuple[bool, ...]
    """Which up blocks have attention."""


@dataclass(frozen=True)
class Denoiser:
    """The network that a family trains: a U-Net or a transformer."""

    title: str = "U-Net"
    component: str = "unet"
    """Its folder in a diffusers model."""
    kind: str = "diffusers.UNet2DConditionModel"
    """Import path of its class, a diffusers model."""
    predict: str = "lora_lab.models.denoisers.unet"
    """Import path of the function that asks it; see `models.denoisers`."""
    lora_prefix: str = "lora_unet_"
    """How the names of its modules begin in kohya's LoRA files."""
    layers: Mapping[str, frozenset[str]] = field(default_factory=lambda: UNET_LAYERS)
    """Kinds of layers that target presets name (transformer, attention, convolution), by their class."""
    single_layers: bool = True
    """Whether presets that name single layers (`conv_in`) find them; LyCORIS' names do not match SDXL's."""
    linear_projections: bool = True
    """Whether transformers are entered by a linear layer; False for a 1 x 1 convolution."""
    blocks: tuple[int, int, int] | None = None
    """Down, middle and up blocks that can have learning rates of their own, as sd-scripts counts them."""
    shape: BlockShape | None = None
    """For the two namings of U-Net blocks; None for what is no U-Net."""
    original_names: bool = False
    """Whether LoRA files have the original's block names (`input_blocks_4_1`) instead of diffusers'."""


@dataclass(frozen=True)
class FileNames:
    """What a family is called in the metadata of LoRA files, by prediction type."""

    base_versions: Mapping[str, str]
    """`ss_base_model_version`."""
    architectures: Mapping[str, str]
    """`modelspec.architecture`, without `/lora`."""
    implementation: str
    """`modelspec.implementation`."""
    starts: tuple[str, ...]
    """How either begins in files of any tool, in lower case."""
    predictions: Mapping[str, str] = field(
        default_factory=lambda: {"epsilon": "epsilon", "v_prediction": "v"}
    )
    """`modelspec.prediction_type`; left out for a type that it has no word for."""
    v2: bool = False
    """`ss_v2`."""
    webui: str = "Unknown"
    """The version of Stable Diffusion as A1111 and Forge call it."""
    cache: str = ""
    """How the names of sd-scripts' caches of latents and texts end, beside `.npz`."""


@dataclass(frozen=True)
class Family:
    """A base-model family. A new one is a module that defines `FAMILY`, and a row in `families.FAMILIES`."""

    name: str
    title: str
    conf: str
    """The files of this name under `conf/` hold its recommended settings."""
    encoders: tuple[EncoderSpec, ...]
    denoiser: Denoiser
    files: FileNames
    configs: Mapping[str, str]
    """Prediction type to the folder under `configs/` that describes a single file; the first is the guess."""
    pipeline_classes: tuple[str, ...]
    """Names of diffusers pipelines in `model_index.json`; the first is the one that `pipeline` makes."""
    width: int
    """Width of the text states that the public models' denoiser takes."""
    hidden_act: str
    """Activation of the first text encoder of the public models."""
    size_conditioning: bool = False
    """Whether the denoiser is told original size, crop and target size."""
    cards: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Settings that fit a GPU's memory in GB at the recommended resolution, for network dims up to 64:
    reckoned from the sizes of weights, optimizer states and saved activations, and not measured."""
    quality_tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What well-known models of the family want in front of captions and prompts, by the model's name."""
    process: str = "ddpm"
    """The noise process, a key of `losses.process.PROCESSES`."""
    switch: str = ""
    """The switch of sd-scripts and its GUI that says a model is of this family; '' for the one without."""
    switch_of_gui: bool = False
    """Whether the switch is the GUI's alone, where sd-scripts has a program of its own for the family."""
    switches_elsewhere: Mapping[str, str] = field(default_factory=dict)
    """What the switch is called in the configs of other trainers, by the trainer's name."""
    trainer: str = "train_network.py"
    """The program of sd-scripts that trains a LoRA of the family."""

    @property
    def clip_skip(self) -> bool:
        """Whether clip skip decides anything."""
        return not all(encoder.penultimate for encoder in self.encoders)

    @property
    def text_parts(self) -> tuple[str, ...]:
        """The text encoders as adapters call them: te1, te2, ..."""
        return tuple(f"te{number}" for number in range(1, len(self.encoders) + 1))

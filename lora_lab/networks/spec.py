"""What one adapter is: dims, alphas, dropouts and target modules. Free of torch, so that plans can use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lora_lab.errors import ConfigError

_TRANSFORMER = frozenset({"transformer"})
_CONV_BLOCKS = frozenset({"convolution"})
_ATTENTION = frozenset({"attention"})
_TEXT = _ATTENTION | {"mlp"}


@dataclass(frozen=True)
class Preset:
    """Which modules an adapter sits on: kinds of the blocks whose Linear and Conv2d children are adapted.

    The family says by which classes its blocks of a kind are known (`models.family`).

    `unet_names` are single modules of the U-Net (LyCORIS `full`; SD 1.x and 2.x only, as in sd-scripts, whose
    SDXL names do not match). `spatial_convs` says whether k x k convolutions are taken: "always", "never", or
    "conv_dim" (only when `conv_dim` > 0, and then the convolution blocks are added: kohya's LoCon).
    """

    unet_classes: frozenset[str]
    text_classes: frozenset[str]
    unet_names: frozenset[str] = frozenset()
    spatial_convs: str = "always"


_FULL_NAMES = frozenset({"conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"})
_ALL_BLOCKS = _TRANSFORMER | _CONV_BLOCKS

PRESETS: dict[str, Preset] = {
    "kohya": Preset(_TRANSFORMER, _TEXT, spatial_convs="conv_dim"),
    "full": Preset(_ALL_BLOCKS, _TEXT, _FULL_NAMES),
    "full-lin": Preset(_ALL_BLOCKS, _TEXT, _FULL_NAMES, spatial_convs="never"),
    "attn-mlp": Preset(_TRANSFORMER, _TEXT),
    "attn-only": Preset(_ATTENTION, _ATTENTION),
    "unet-only": Preset(_ALL_BLOCKS, frozenset(), _FULL_NAMES),
    "unet-transformer-only": Preset(_TRANSFORMER, frozenset()),
    "unet-convblock-only": Preset(_CONV_BLOCKS, frozenset(), frozenset({"conv_in", "conv_out"})),
}


FORMS = ("lora", "dora", "loha", "lokr")
"""What an adapter's weight difference is made of; LoCon is the form lora on 3x3 convolutions, too."""


@dataclass(frozen=True)
class AdapterSpec:
    """The settings of one adapter.

    `network_alpha` 0 means alpha = dim, as in sd-scripts. `conv_dim` is the dim of k x k convolutions (1 x 1
    ones and linears use `network_dim`): 0 means none with the preset `kohya`, and "as network_dim /
    network_alpha" with the LyCORIS presets, which is what LyCORIS does. Dropouts are those of sd-scripts:
    `network_dropout` acts on single activations of the rank, `rank_dropout` on a rank of a sample,
    `module_dropout` on a module for a whole batch. `seed` decides the initial weights, module by module.

    Forms other than lora are LyCORIS': there, `rank_dropout` drops rows of the weight difference (outputs),
    and `network_dropout` does nothing. `factor` and `decompose_both` belong to lokr, `wd_on_output` to dora
    (whether its magnitudes belong to outputs or inputs). `modules`, where given, replaces dims and alphas:
    the adapter has exactly the modules named there, each with (dim, alpha); `network_dim` and `conv_dim` then
    are the largest dims. `blocks` are learning rates of U-Net blocks as shares of the run's (see `blocks`); a
    block of 0 has no modules.
    """

    network_dim: int
    network_alpha: float
    conv_dim: int = 0
    conv_alpha: float = 0.0
    preset: str = "kohya"
    network_dropout: float = 0.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    train_unet: bool = True
    train_text_encoder: bool = True
    seed: int = 0
    form: str = "lora"
    factor: int = -1
    decompose_both: bool = False
    wd_on_output: bool = True
    modules: Mapping[str, tuple[int, float]] | None = None
    blocks: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ConfigError("\n".join(problems))

    def rank(self, kind: str, name: str = "") -> int:
        """The dim of a module of this kind (`linear`, `conv1x1`, `conv`), or of the module `name`."""
        if self.modules and name in self.modules:
            return self.modules[name][0]
        return self.network_dim if kind != "conv" or not self.conv_dim else self.conv_dim

    def alpha(self, kind: str, name: str = "") -> float:
        """The alpha of a module of this kind or name, with 0 resolved to its dim."""
        if self.modules and name in self.modules:
            return self.modules[name][1]
        if kind != "conv":
            return self.network_alpha or float(self.network_dim)
        if self.conv_dim and self.preset == "kohya":
            return self.conv_alpha or float(self.conv_dim)
        return self.conv_alpha or self.network_alpha or float(self.rank(kind))

    def scale(self, kind: str, name: str = "") -> float:
        """alpha / dim: the factor on up(down(x))."""
        return self.alpha(kind, name) / self.rank(kind, name)

    @property
    def has_dropout(self) -> bool:
        """Whether any of the three dropouts acts."""
        of_ranks = self.network_dropout if self.form == "lora" else 0.0
        return max(of_ranks, self.rank_dropout, self.module_dropout) > 0


def _problems(spec: AdapterSpec) -> Iterator[str]:
    if spec.preset not in PRESETS:
        yield f"network.preset={spec.preset!r} is unknown; known: {', '.join(sorted(PRESETS))}"
    if spec.form not in FORMS:
        yield f"network.type={spec.form!r} is unknown; known: {', '.join(FORMS)}"
    if spec.factor != -1 and spec.factor < 1:
        yield f"network.factor={spec.factor} must be -1 (as square as possible) or at least 1"
    if spec.network_dim < 1:
        yield f"network.network_dim={spec.network_dim} must be at least 1"
    for name in ("conv_dim", "network_alpha", "conv_alpha"):
        if not getattr(spec, name) >= 0:
            yield f"network.{name}={getattr(spec, name)} must not be negative"
    for name in ("network_dropout", "rank_dropout", "module_dropout"):
        if not 0 <= getattr(spec, name) < 1:
            yield f"network.{name}={getattr(spec, name)} must lie in [0, 1)"
    if not (spec.train_unet or spec.train_text_encoder):
        yield "network.train_unet and network.train_text_encoder are both off: there is nothing to train"

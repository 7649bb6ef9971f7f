"""The optimizers by config name, and the facts that planning and training need. Imports without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lora_lab.optim.class_defaults import CLASS_DEFAULTS

Layout = Literal["flat", "stacked", "tensors"]
"""How parameters may be handed over without changing the result.

flat: 1-D tensors of any cut: the update is elementwise, or uses sums over all parameters.
stacked: `[n_modules, ...]`, each leading index a tensor of its own.
tensors: one by one, as the network defines them, because the update depends on where a tensor ends.
"""

Kind = Literal["number", "integer", "flag", "pair", "betas", "three betas", "number or none"]
"""What an argument must be; see `registry.arguments`."""


def _never(_args: Mapping[str, object]) -> bool:
    return False


def _adafactor_sets_its_rate(args: Mapping[str, object]) -> bool:
    return bool(args.get("relative_step", True) or args.get("warmup_init"))


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer and what is known of it.

    Attributes:
        target: Dotted path of the class.
        arguments: The arguments it takes, each with its kind; None where they are not known (a dotted
            class).
        defaults: Arguments that are passed unless the user gives others.
        package: The distribution it comes from, at least of version `minimum`.
        ignored: Arguments that the class accepts and does not use, with the reason.
        ignores_learning_rate: Says of the arguments (defaults included) whether the optimizer finds its own
            rate.
        learning_rate_about_one: The rate is a factor of a rate that the optimizer finds; 1 is the usual
            value.
        one_lr_only: Parts (U-Net, text encoder) cannot have different rates.
        needs_cuda: Its point (paging to CPU memory) exists on CUDA only; elsewhere it runs without.
        sign_update: Every weight moves by the whole learning rate at every step.
        schedule_free: It averages instead of following a schedule, and has weights for training and for
            use.
        whole_tensors: Arguments that, when set to more than 1, make the result depend on the cut into
            tensors.
        alias_of: The entry of which this is another name.
        own_defaults: What the class takes for arguments that nobody gives, where `class_defaults` does not
            say it.
    """

    name: str
    target: str
    doc: str
    arguments: Mapping[str, Kind] | None
    defaults: Mapping[str, object] = field(default_factory=dict)
    layout: Layout = "flat"
    package: str = "torch"
    minimum: str = ""
    ignored: Mapping[str, str] = field(default_factory=dict)
    ignores_learning_rate: Callable[[Mapping[str, object]], bool] = _never
    learning_rate_about_one: bool = False
    one_lr_only: bool = False
    needs_cuda: bool = False
    sign_update: bool = False
    schedule_free: bool = False
    whole_tensors: tuple[str, ...] = ()
    alias_of: str | None = None
    own_defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def class_defaults(self) -> Mapping[str, object]:
        """What the class takes for arguments that nobody gives; empty where that is not known."""
        return CLASS_DEFAULTS.get(self.target, self.own_defaults)

    def layout_for(self, args: Mapping[str, object]) -> Layout:
        """The layout under these arguments."""
        cut_matters = any(args.get(name, 1) != 1 for name in self.whole_tensors)
        return "tensors" if cut_matters else self.layout


_ADAM: dict[str, Kind] = {"betas": "betas", "eps": "number", "weight_decay": "number"}
_LION: dict[str, Kind] = {"betas": "betas", "weight_decay": "number"}
_EIGHT_BIT: dict[str, Kind] = {"min_8bit_size": "integer"}
_SGD: dict[str, Kind] = {
    "momentum": "number", "dampening": "number", "weight_decay": "number", "nesterov": "flag",
}  # fmt: skip
_D: dict[str, Kind] = {"d0": "number", "growth_rate": "number", "log_every": "integer"}
_ADAN: dict[str, Kind] = {
    "betas": "three betas",
    "eps": "number",
    "weight_decay": "number",
    "no_prox": "flag",
    **_D,
}
_FREE: dict[str, Kind] = {"weight_decay": "number", "r": "number", "weight_lr_power": "number"}

_NESTEROV = {"nesterov": True, "momentum": 0.9}
_NO_NESTEROV = "bitsandbytes' 8-bit SGD accepts it and uses plain momentum"
_NO_DAMPENING = "bitsandbytes' 8-bit SGD accepts it and does not use it"

_ENTRIES = (
    OptimizerEntry(
        "adamw",
        "torch.optim.AdamW",
        "Adam with decoupled weight decay (arXiv 1711.05101)",
        {**_ADAM, "amsgrad": "flag", "maximize": "flag"},
    ),
    OptimizerEntry(
        "adamw8bit",
        "bitsandbytes.optim.AdamW8bit",
        "AdamW with 8-bit state (arXiv 2110.02861)",
        {**_ADAM, **_EIGHT_BIT},
        layout="tensors",
        package="bitsandbytes",
        minimum="0.50",
    ),
    OptimizerEntry(
        "pagedadamw",
        "bitsandbytes.optim.PagedAdamW",
        "AdamW whose state moves to CPU memory under pressure",
        _ADAM,
        package="bitsandbytes",
        minimum="0.50",
        needs_cuda=True,
    ),
    OptimizerEntry(
        "pagedadamw8bit",
        "bitsandbytes.optim.PagedAdamW8bit",
        "AdamW8bit whose state moves to CPU memory under pressure",
        {**_ADAM, **_EIGHT_BIT},
        layout="tensors",
        package="bitsandbytes",
        minimum="0.50",
        needs_cuda=True,
    ),
    OptimizerEntry(
        "pagedadamw32bit",
        "bitsandbytes.optim.PagedAdamW32bit",
        "AdamW with 32-bit state that moves to CPU memory under pressure",
        _ADAM,
        package="bitsandbytes",
        minimum="0.50",
        needs_cuda=True,
    ),
    OptimizerEntry(
        "lion",
        "lora_lab.optim.lion.Lion",
        "sign of an interpolated momentum (arXiv 2302.06675)",
        _LION,
        sign_update=True,
    ),
    OptimizerEntry(
        "lion8bit",
        "bitsandbytes.optim.Lion8bit",
        "Lion with 8-bit state",
        {**_LION, **_EIGHT_BIT},
        layout="tensors",
        package="bitsandbytes",
        minimum="0.50",
        sign_update=True,
    ),
    OptimizerEntry(
        "pagedlion8bit",
        "bitsandbytes.optim.PagedLion8bit",
        "Lion8bit whose state moves to CPU memory under pressure",
        {**_LION, **_EIGHT_BIT},
        layout="tensors",
        package="bitsandbytes",
        minimum="0.50",
        needs_cuda=True,
        sign_update=True,
    ),
    OptimizerEntry("sgd", "torch.optim.SGD", "stochastic gradient descent", {**_SGD, "maximize": "flag"}),
    OptimizerEntry(
        "sgdnesterov",
        "torch.optim.SGD",
        "stochastic gradient descent with Nesterov momentum",
        {**_SGD, "maximize": "flag"},
        defaults=_NESTEROV,
    ),
    OptimizerEntry(
        "sgdnesterov8bit",
        "bitsandbytes.optim.SGD8bit",
        "gradient descent with momentum in 8-bit state; not Nesterov, whatever its name says",
        {**_SGD, **_EIGHT_BIT},
        defaults=_NESTEROV,
        layout="tensors",
        package="bitsandbytes",
        minimum="0.50",
        ignored={"nesterov": _NO_NESTEROV, "dampening": _NO_DAMPENING},
    ),
    OptimizerEntry(
        "adafactor",
        "lora_lab.optim.adafactor.Adafactor",
        "factored second moments (arXiv 1804.04235); finds its own rate unless relative_step=false",
        {
            "eps": "pair", "clip_threshold": "number", "decay_rate": "number", "beta1": "number or none",
            "weight_decay": "number", "scale_parameter": "flag", "relative_step": "flag",
            "warmup_init": "flag",
        },
        defaults={"relative_step": True},
        layout="stacked",
        ignores_learning_rate=_adafactor_sets_its_rate,
    ),
    OptimizerEntry(
        "dadaptation",
        "dadaptation.experimental.DAdaptAdamPreprint",
        "another name of dadaptadampreprint",
        {**_ADAM, **_D, "decouple": "flag"},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
        alias_of="dadaptadampreprint",
    ),
    OptimizerEntry(
        "dadaptadampreprint",
        "dadaptation.experimental.DAdaptAdamPreprint",
        "D-Adaptation of Adam as first published (arXiv 2301.07733v1)",
        {**_ADAM, **_D, "decouple": "flag"},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "dadaptadam",
        "dadaptation.DAdaptAdam",
        "D-Adaptation of Adam (arXiv 2301.07733)",
        {**_ADAM, **_D, "decouple": "flag", "use_bias_correction": "flag"},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "dadaptadagrad",
        "dadaptation.DAdaptAdaGrad",
        "D-Adaptation of AdaGrad (arXiv 2301.07733)",
        {"momentum": "number", "weight_decay": "number", "eps": "number", **_D},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "dadaptadan",
        "dadaptation.DAdaptAdan",
        "D-Adaptation of Adan (arXiv 2208.06677)",
        _ADAN,
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "dadaptadanip",
        "dadaptation.experimental.DAdaptAdanIP",
        "D-Adaptation of Adan by inner products",
        _ADAN,
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "dadaptlion",
        "dadaptation.DAdaptLion",
        "D-Adaptation of Lion",
        {**_LION, "d0": "number", "log_every": "integer"},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
        sign_update=True,
    ),
    OptimizerEntry(
        "dadaptsgd",
        "dadaptation.DAdaptSGD",
        "D-Adaptation of gradient descent (arXiv 2301.07733)",
        {"momentum": "number", "weight_decay": "number", **_D},
        package="dadaptation",
        minimum="3.1",
        learning_rate_about_one=True,
        one_lr_only=True,
    ),
    OptimizerEntry(
        "prodigy",
        "prodigyopt.Prodigy",
        "Adam that estimates its rate (arXiv 2306.06101)",
        {
            **_ADAM, "beta3": "number or none", "decouple": "flag", "use_bias_correction": "flag",
            "safeguard_warmup": "flag", "d0": "number", "d_coef": "number", "growth_rate": "number",
            "slice_p": "integer",
        },
        package="prodigyopt",
        minimum="1.1",
        learning_rate_about_one=True,
        one_lr_only=True,
        whole_tensors=("slice_p",),
    ),
    OptimizerEntry(
        "adamwschedulefree",
        "schedulefree.AdamWScheduleFree",
        "AdamW that averages instead of following a schedule (arXiv 2405.15682)",
        {**_FREE, "betas": "betas", "eps": "number", "warmup_steps": "integer"},
        package="schedulefree",
        minimum="1.3",
        schedule_free=True,
    ),
    OptimizerEntry(
        "radamschedulefree",
        "schedulefree.RAdamScheduleFree",
        "schedule-free AdamW with RAdam's own warmup (arXiv 1908.03265)",
        {**_FREE, "betas": "betas", "eps": "number", "silent_sgd_phase": "flag"},
        package="schedulefree",
        minimum="1.3",
        schedule_free=True,
    ),
    OptimizerEntry(
        "sgdschedulefree",
        "schedulefree.SGDScheduleFree",
        "gradient descent that averages instead of following a schedule (arXiv 2405.15682)",
        {**_FREE, "momentum": "number", "warmup_steps": "integer"},
        package="schedulefree",
        minimum="1.3",
        schedule_free=True,
    ),
)  # fmt: skip

ENTRIES: Mapping[str, OptimizerEntry] = {entry.name: entry for entry in _ENTRIES}


TORCH_CLASSES: Mapping[str, str] = {
    name.lower(): name
    for name in ("ASGD", "Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop")
}
"""Further classes of `torch.optim` that a name without a dot may mean, by their names in lower case.

Left out: LBFGS needs the loss as a function, SparseAdam sparse gradients, Muon whole matrices.
"""


def dotted_entry(path: str) -> OptimizerEntry:
    """The entry of a class given by its dotted path, of which nothing is known but what its name says."""
    return OptimizerEntry(
        path,
        path,
        "a class given by its dotted path",
        None,
        layout="tensors",
        package=path.split(".")[0],
        schedule_free=path.lower().endswith("schedulefree"),
    )

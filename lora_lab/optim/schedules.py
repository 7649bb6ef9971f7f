"""Learning-rate schedules as functions of the step. Imports without torch.

`lr_factor(i, ...)` is the rate of optimizer step i (from 0) as a share of the base rate; a warmup starts at
0, so the first step of a warmup moves nothing. Formulas as in transformers.optimization and, for
piecewise_constant, diffusers.optimization, with the arguments that sd-scripts gives them.
"""

import difflib
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lora_lab.config.schema import LrSchedulerConfig
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings, cannot_act, refused, warned

POLYNOMIAL_END = 1e-7
"""The rate at which `polynomial` ends unless `args.lr_end` says another; absolute, as in transformers."""


def number(settings: LrSchedulerConfig, argument: str, default: float) -> float:
    """An argument of `args` as a number.

    Raises:
        ConfigError: It is none.
    """
    value = settings.args.get(argument, default)
    if not isinstance(value, (int, float)):
        raise ConfigError(f"lr_scheduler.args.{argument}={value!r}: must be a number")
    return float(value)


def _length(text: object) -> tuple[float, bool]:
    """A length as (number, whether it is a share of the run)."""
    value = str(text).strip()
    try:
        number = float(value.rstrip("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = -1.0
    share = value.endswith("%") or number < 1
    if number < 0 or (share and number > 1) or (not share and number != int(number)):
        raise ConfigError(
            f"lr_scheduler.lr_warmup_steps, lr_scheduler.lr_decay_steps: {text!r} must be a number of steps "
            "(100), a fraction below 1 (0.1) or a percentage (10%)"
        )
    return number, share


def is_share(text: object) -> bool:
    """Whether a length is a share of the run ('10%', '0.1') and not a number of steps ('100', '0')."""
    number, share = _length(text)
    return share and number > 0


def steps_of(text: object, total_steps: int) -> int:
    """A length in steps: '100' is that, '0.1' and '10%' are shares of the total, rounded down as there.

    Raises:
        ConfigError: The text is none of the three.
    """
    number, share = _length(text)
    return int(number * total_steps) if share else int(number)


@dataclass(frozen=True)
class _Point:
    """What a formula sees: the step and the lengths, resolved to steps."""

    step: int
    warmup: int
    total: int
    settings: LrSchedulerConfig
    learning_rate: float | None

    @property
    def progress(self) -> float:
        """Share of the steps after the warmup that are over."""
        return (self.step - self.warmup) / max(1, self.total - self.warmup)

    @property
    def in_warmup(self) -> bool:
        return self.step < self.warmup

    @property
    def warmed(self) -> float:
        return self.step / max(1, self.warmup)


def _constant(_: _Point) -> float:
    return 1.0


def _constant_with_warmup(at: _Point) -> float:
    return at.warmed if at.in_warmup else 1.0


def _linear(at: _Point) -> float:
    return at.warmed if at.in_warmup else max(0.0, 1.0 - at.progress)


def _wave(turns: float) -> float:
    return 0.5 * (1.0 + math.cos(2.0 * math.pi * turns))


def _cosine(at: _Point) -> float:
    cycles = number(at.settings, "num_cycles", 0.5)
    return at.warmed if at.in_warmup else max(0.0, _wave(cycles * at.progress))


def _cosine_with_restarts(at: _Point) -> float:
    if at.in_warmup:
        return at.warmed
    if at.progress >= 1.0:
        return 0.0
    return max(0.0, _wave(0.5 * ((at.settings.num_cycles * at.progress) % 1.0)))


def _above_floor(factor: float, floor: float) -> float:
    return max(0.0, factor * (1.0 - floor) + floor)


def _cosine_with_min_lr(at: _Point) -> float:
    if at.in_warmup:
        return at.warmed
    return _above_floor(_wave(at.settings.num_cycles / 2 * at.progress), at.settings.min_lr_ratio)


def _polynomial(at: _Point) -> float:
    end = 0.0
    if at.learning_rate:
        end = number(at.settings, "lr_end", POLYNOMIAL_END) / at.learning_rate
    if at.in_warmup:
        return at.warmed
    if at.step > at.total or at.total == at.warmup:
        return end
    return float((1.0 - end) * (1.0 - at.progress) ** at.settings.power + end)


def _inverse_sqrt(at: _Point) -> float:
    if at.in_warmup:
        return at.warmed
    scale = at.settings.timescale or at.warmup or 10_000
    return 1.0 / math.sqrt((at.step + scale - at.warmup) / scale)


def _rise(shape: str, share: float) -> float:
    if shape == "cosine":
        return _wave(0.5 + 0.5 * share)
    return share if shape == "linear" else 1.0 - math.sqrt(1.0 - share)


def _fall(shape: str, share: float, cycles: float) -> float:
    if shape == "cosine":
        return _wave(cycles * share)
    return 1.0 - share if shape == "linear" else 1.0 - math.sqrt(share)


def _warmup_stable_decay(at: _Point) -> float:
    settings = at.settings
    decay = steps_of(settings.lr_decay_steps, at.total)
    floor = settings.min_lr_ratio
    start = at.total - decay
    if at.in_warmup:
        return _above_floor(_rise(str(settings.args.get("warmup_type", "linear")), at.warmed), floor)
    if at.step < start:
        return 1.0
    if at.step >= at.total:
        return floor
    share = (at.step - start) / max(1, decay)
    shape = str(settings.args.get("decay_type", "cosine"))
    return _above_floor(_fall(shape, share, settings.num_cycles / 2), floor)


def parse_rules(text: str) -> tuple[tuple[tuple[int, float], ...], float]:
    """Read '1:10,0.1:20,0.01': factor 1 before step 10, 0.1 before step 20, 0.01 from there on.

    Returns:
        The (step, factor) pairs sorted by step, and the last factor.

    Raises:
        ConfigError: The text has another form.
    """
    *rules, last = text.split(",")
    try:
        pairs = [rule.split(":") for rule in rules]
        return tuple(sorted((int(step), float(factor)) for factor, step in pairs)), float(last)
    except ValueError:
        raise ConfigError(
            f"lr_scheduler.step_rules={text!r}: must be factor:step pairs and a last factor, such "
            "as '1:10,0.1:20,0.01'"
        ) from None


def _piecewise_constant(at: _Point) -> float:
    rules, last = parse_rules(at.settings.step_rules)
    return next((factor for step, factor in rules if at.step < step), last)


FORMULAS: Mapping[str, Callable[[_Point], float]] = {
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _warmup_stable_decay,
    "piecewise_constant": _piecewise_constant,
    "adafactor": _constant,
}


def lr_factor(
    step: int, settings: LrSchedulerConfig, total_steps: int, learning_rate: float | None = None
) -> float:
    """The rate of optimizer step `step` (from 0) as a share of the base rate.

    Args:
        learning_rate: The base rate, which only `polynomial` needs: its end is an absolute rate. None ends
            at 0.

    Raises:
        ConfigError: The name is not one of `FORMULAS`; for a dotted class see `factor_function`.
    """
    formula = FORMULAS.get(settings.name)
    if formula is None:
        raise ConfigError(
            f"lr_scheduler.name: unknown schedule '{settings.name}'; known: {', '.join(FORMULAS)}"
        )
    warmup = steps_of(settings.lr_warmup_steps, total_steps)
    return formula(_Point(step, warmup, total_steps, settings, learning_rate))


def factor_function(
    settings: LrSchedulerConfig, total_steps: int, learning_rate: float | None
) -> Callable[[int], float]:
    """The schedule as a function of the step, also for the dotted path of a torch scheduler class.

    A class is run through once, on a stand-in for the optimizer, so that resuming needs no state of it.

    Raises:
        ConfigError: The class is not there, refuses its arguments, or follows a metric.
    """
    if "." not in settings.name:
        return lambda step: lr_factor(step, settings, total_steps, learning_rate)
    table = importlib.import_module("lora_lab.optim.dotted_schedules").factor_table(
        settings.name, settings.args, total_steps, learning_rate or 1.0
    )
    return lambda step: float(table[min(step, total_steps - 1)])


def depends_on_total(settings: LrSchedulerConfig) -> bool:
    """Whether the rate of some step depends on how long the run is.

    Where it does not, a shorter run is the beginning of a longer one.
    """
    if settings.name in ("constant", "piecewise_constant", "adafactor"):
        return False
    if settings.name in ("constant_with_warmup", "inverse_sqrt"):
        return is_share(settings.lr_warmup_steps)
    if settings.name == "warmup_stable_decay" and steps_of(settings.lr_decay_steps, 10**9) == 0:
        return is_share(settings.lr_warmup_steps)
    return True


_ACTS_ON: Mapping[str, tuple[str, ...]] = {
    "lr_warmup_steps": (
        "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr",
        "polynomial", "inverse_sqrt", "warmup_stable_decay",
    ),
    "lr_decay_steps": ("warmup_stable_decay",),
    "num_cycles": ("cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"),
    "power": ("polynomial",),
    "min_lr_ratio": ("cosine_with_min_lr", "warmup_stable_decay"),
    "timescale": ("inverse_sqrt",),
    "step_rules": ("piecewise_constant",),
}  # fmt: skip
"""The schedules on which each setting acts."""

_ARGUMENTS: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "cosine": {"num_cycles": None},
    "polynomial": {"lr_end": None},
    "warmup_stable_decay": {
        "warmup_type": ("linear", "cosine", "1-sqrt"),
        "decay_type": ("linear", "cosine", "1-sqrt"),
    },
}
"""What `args` may hold for a named schedule: the allowed values, None for a number."""


def check_company(settings: LrSchedulerConfig, optimizer: str) -> Findings:
    """Refuse `adafactor`, sd-scripts' name for leaving the rate to that optimizer, beside another one."""
    if settings.name != "adafactor" or optimizer.lower() == "adafactor":
        return Findings()
    return refused(
        f"lr_scheduler.name=adafactor: goes with optimizer=adafactor alone, not with {optimizer}; "
        "use lr_scheduler=constant"
    )


def check(
    settings: LrSchedulerConfig, total_steps: int | None = None, learning_rate: float | None = None
) -> Findings:
    """What can be said of a schedule before anything runs; total and base rate where they are known."""
    dotted = "." in settings.name
    if not dotted and settings.name not in FORMULAS:
        near = difflib.get_close_matches(settings.name, FORMULAS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return refused(
            f"lr_scheduler.name: unknown schedule '{settings.name}'; {hint}known: {', '.join(FORMULAS)}, or "
            "a dotted class such as torch.optim.lr_scheduler.OneCycleLR"
        )
    try:
        found = _lengths(settings, total_steps)
        if settings.name == "piecewise_constant":
            parse_rules(settings.step_rules)
    except ConfigError as error:
        return refused(str(error))
    found += _inert(settings)
    return found if dotted else found + _named_arguments(settings) + _polynomial_end(settings, learning_rate)


def _lengths(settings: LrSchedulerConfig, total_steps: int | None) -> Findings:
    total = total_steps or 0
    warmup = steps_of(settings.lr_warmup_steps, total)
    decay = steps_of(settings.lr_decay_steps, total)
    acts = settings.name in _ACTS_ON["lr_warmup_steps"]
    if total_steps is None or not acts:
        return Findings()
    if warmup >= total_steps:
        return warned(
            f"lr_scheduler.lr_warmup_steps={settings.lr_warmup_steps}: the warmup of {warmup} steps never "
            f"ends in a run of {total_steps}; the full rate is not reached"
        )
    if settings.name == "warmup_stable_decay" and warmup + decay > total_steps:
        return warned(
            f"lr_scheduler.lr_decay_steps={settings.lr_decay_steps}: warmup {warmup} + decay {decay} steps "
            f"are more than the run's {total_steps}; the decay begins before the warmup ends"
        )
    return Findings()


def _inert(settings: LrSchedulerConfig) -> Findings:
    found = Findings()
    unset = LrSchedulerConfig()
    for name, acts_on in _ACTS_ON.items():
        off = (
            steps_of(settings.lr_warmup_steps, 10**9) == 0
            if name == "lr_warmup_steps"
            else getattr(settings, name) == getattr(unset, name)
        )
        if settings.name not in acts_on and not off:
            reason = f"{settings.name} does not use it"
            if name == "lr_warmup_steps":
                reason = f"{settings.name} has no warmup"
                reason += "; use constant_with_warmup" if settings.name == "constant" else ""
            found += cannot_act(reason, f"lr_scheduler.{name}")
    return found


def _named_arguments(settings: LrSchedulerConfig) -> Findings:
    known = _ARGUMENTS.get(settings.name, {})
    found = Findings()
    for name, value in settings.args.items():
        key = f"lr_scheduler.args.{name}"
        allowed = known.get(name)
        if name not in known:
            hint = f"it takes {', '.join(known)}" if known else "it takes none"
            found += refused(f"{key}: {settings.name} has no such argument; {hint}")
        elif allowed is None and not isinstance(value, (int, float)):
            found += refused(f"{key}={value!r}: must be a number")
        elif allowed is not None and value not in allowed:
            found += refused(f"{key}={value!r}: must be one of {', '.join(allowed)}")
    return found


def _polynomial_end(settings: LrSchedulerConfig, learning_rate: float | None) -> Findings:
    if settings.name != "polynomial" or not learning_rate:
        return Findings()
    end = settings.args.get("lr_end", POLYNOMIAL_END)
    if not isinstance(end, (int, float)) or learning_rate > end:
        return Findings()
    return refused(
        f"optimizer.learning_rate={learning_rate:g}: polynomial ends at {end:g} and must begin above it; "
        "raise the rate or set lr_scheduler.args.lr_end"
    )

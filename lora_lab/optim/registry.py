"""Optimizers by name: which arguments they take, and what a plan must know of them. Imports without torch."""

import ast
import difflib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping

from lora_lab.errors import ConfigError
from lora_lab.findings import Findings, cannot_act, refused, warned
from lora_lab.optim.entries import ENTRIES, TORCH_CLASSES, Kind, OptimizerEntry, dotted_entry

RATE_KEYS = ("optimizer.learning_rate", "optimizer.unet_lr", "optimizer.text_encoder_lr")
"""The keys of the three learning rates, in the order of `check`'s arguments."""


def names() -> tuple[str, ...]:
    """The known optimizer names, sorted."""
    return tuple(sorted(ENTRIES))


def find(name: str) -> OptimizerEntry:
    """The entry of an optimizer: by config name or class of `torch.optim`, both in any case, or dotted path.

    Raises:
        ConfigError: The name is neither.
    """
    entry = ENTRIES.get(name.lower())
    if entry is not None:
        return entry
    if "." in name and all(part.isidentifier() for part in name.split(".")):
        return dotted_entry(name)
    if name.lower() in TORCH_CLASSES:
        return dotted_entry(f"torch.optim.{TORCH_CLASSES[name.lower()]}")
    near = difflib.get_close_matches(name.lower(), [*ENTRIES, *TORCH_CLASSES], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"optimizer.name: unknown optimizer '{name}'; {hint}known: {', '.join(names())}, "
        f"a class of torch.optim ({', '.join(TORCH_CLASSES.values())}), or a dotted class"
    )


def arguments(entry: OptimizerEntry, given: Mapping[str, object]) -> dict[str, object]:
    """The arguments to build with: the entry's defaults, overlaid by the user's, as Python values.

    Text is read as a Python literal where it is one (`'0.9,0.99'` is a pair); lists become tuples.

    Raises:
        ConfigError: An argument is unknown or has a value of the wrong kind; all of them in one message.
    """
    values: dict[str, object] = {**entry.defaults, **{name: _literal(value) for name, value in given.items()}}
    problems = [text for name in given if (text := _problem(entry, name, values[name]))]
    if problems:
        raise ConfigError("; ".join(problems))
    if values.get("warmup_init") and "relative_step" in values:
        values["relative_step"] = (
            True  # warmup_init is a form of the relative step, and sd-scripts turns it on, too
        )
    return values


def _literal(value: object) -> object:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return {"true": True, "false": False, "none": None, "null": None}.get(str(value).lower(), value)
    if isinstance(value, (list, tuple)):
        return tuple(_literal(element) for element in value)
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _betas(count: int) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == count
        and all(_is_number(beta) and 0 <= beta < 1 for beta in value)
    )


_KINDS: Mapping[Kind, tuple[Callable[[object], bool], str]] = {
    "number": (_is_number, "a number"),
    "integer": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "number or none": (lambda value: value is None or _is_number(value), "a number or null"),
    "pair": (
        lambda value: isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)),
        "two numbers such as [1e-30, 1e-3]",
    ),
    "betas": (_betas(2), "two numbers from 0 to below 1, such as [0.9, 0.99]"),
    "three betas": (_betas(3), "three numbers from 0 to below 1, such as [0.98, 0.92, 0.99]"),
}


_NOT_NEGATIVE = frozenset(
    {"weight_decay", "momentum", "eps", "d0", "d_coef", "min_8bit_size", "warmup_steps"}
)


def _problem(entry: OptimizerEntry, name: str, value: object) -> str | None:
    key = f"optimizer.args.{name}"
    if name in ("lr", "params"):
        return f"{key}: cannot be set here; set optimizer.learning_rate"
    if entry.arguments is None:
        return None
    if name not in entry.arguments:
        near = difflib.get_close_matches(name, entry.arguments, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{key}: {entry.name} has no such argument; {hint}known: {', '.join(sorted(entry.arguments))}"
    fits, rule = _KINDS[entry.arguments[name]]
    if not fits(value):
        return f"{key}={value!r}: must be {rule}"
    if name in _NOT_NEGATIVE and isinstance(value, (int, float)) and value < 0:
        return f"{key}={value!r}: must be at least 0"
    return None


def check(
    name: str,
    learning_rate: float | None,
    unet_lr: float | None,
    text_encoder_lr: float | None,
    args: Mapping[str, object],
    device_type: str,
    loraplus_lr_ratio: float = 1.0,
) -> Findings:
    """What can be said of an optimizer before anything runs, without importing it.

    Args:
        name: Config name or dotted class.
        learning_rate: Rate of all parts, in the optimizer's own sense; 0 leaves a part out.
        unet_lr: Rate of the U-Net, None for `learning_rate`.
        text_encoder_lr: Rate of the text encoders, None for `learning_rate`.
        args: The user's arguments by name.
        device_type: cpu, cuda or mps.
        loraplus_lr_ratio: Rate of lora_up as a multiple of lora_down's.
    """
    try:
        entry = find(name)
        values = arguments(entry, args)
    except ConfigError as error:
        return refused(str(error))
    rates = (learning_rate, unet_lr, text_encoder_lr)
    return (
        _package(entry)
        + _rates(entry, rates, values)
        + _loraplus(entry, loraplus_lr_ratio)
        + _device(entry, device_type)
        + _inert_arguments(entry, args, values)
    )


def _package(entry: OptimizerEntry) -> Findings:
    wanted = f"{entry.package}>={entry.minimum}" if entry.minimum else entry.package
    if not _is_installed(entry.package):
        return refused(
            f"optimizer.name={entry.name}: needs the package {entry.package}, which is not installed; "
            f"pip install '{wanted}', or choose another optimizer"
        )
    if not entry.minimum:
        return Findings()
    have = importlib.metadata.version(entry.package)
    if _version(have) >= _version(entry.minimum):
        return Findings()
    return refused(f"optimizer.name={entry.name}: needs {wanted}, found {have}; pip install '{wanted}'")


_installed: set[str] = set()
"""Packages that were found: looking for one takes most of a millisecond, for every row of a plan."""


def _is_installed(package: str) -> bool:
    if package not in _installed and importlib.util.find_spec(package) is not None:
        _installed.add(package)
    return package in _installed


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


def _rates(entry: OptimizerEntry, rates: tuple[float | None, ...], values: Mapping[str, object]) -> Findings:
    parts = [rates[0] if rate is None else rate for rate in rates[1:]]
    trained = [rate for rate in parts if rate != 0]
    if not trained:
        return refused("optimizer.learning_rate=0: nothing would be trained; set a rate above 0")
    if entry.ignores_learning_rate(values):
        reason = f"{entry.name} with relative_step sets its own learning rate"
        given = [key for key, rate in zip(RATE_KEYS, rates, strict=True) if rate]
        return cannot_act(reason, *given, "optimizer.loraplus_lr_ratio", "lr_scheduler")
    if None in trained:
        return refused(f"optimizer.learning_rate: not set, and {entry.name} needs one")
    return _given_rates(entry, [rate for rate in trained if rate is not None])


def _loraplus(entry: OptimizerEntry, ratio: float) -> Findings:
    if ratio == 1 or not entry.one_lr_only:
        return Findings()
    return refused(f"optimizer.loraplus_lr_ratio={ratio:g}: {entry.name} has one rate for all; set it to 1")


def _given_rates(entry: OptimizerEntry, rates: list[float]) -> Findings:
    found = Findings()
    if entry.one_lr_only and len(set(rates)) > 1:
        unet, text_encoder = rates
        found += refused(
            f"optimizer.unet_lr={unet:g}, optimizer.text_encoder_lr={text_encoder:g}: {entry.name} has "
            "one rate for all parts; make them equal, or set one of them to 0 to leave that part out"
        )
    if entry.learning_rate_about_one and min(rates) < 0.1:
        found += warned(
            f"optimizer.learning_rate={min(rates):g}: {entry.name} finds its own rate and multiplies it by "
            "this one; the usual value is 1"
        )
    elif entry.sign_update and not entry.learning_rate_about_one and max(rates) > 1e-3:
        found += warned(
            f"optimizer.learning_rate={max(rates):g}: {entry.name} moves every weight by the whole rate at "
            "every step; 1e-2 is known to end in black images, 1e-4 and below is usual"
        )
    if entry.schedule_free:
        reason = f"{entry.name} averages instead of following a schedule"
        if entry.arguments and "warmup_steps" in entry.arguments:
            reason += "; its own warmup is optimizer.args.warmup_steps"
        found += cannot_act(reason, "lr_scheduler")
    return found


def _device(entry: OptimizerEntry, device_type: str) -> Findings:
    if entry.needs_cuda and device_type != "cuda":
        return warned(
            f"degraded: optimizer.name={entry.name} pages its state on CUDA only; on {device_type} it "
            "runs unpaged, with the same numbers"
        )
    return Findings()


def _inert_arguments(
    entry: OptimizerEntry, given: Mapping[str, object], values: Mapping[str, object]
) -> Findings:
    found = Findings()
    for name, reason in entry.ignored.items():
        if name in given:
            found += cannot_act(reason, f"optimizer.args.{name}")
        elif name in entry.defaults:
            found += warned(f"optimizer.name={entry.name}: {reason}")
    if given.get("relative_step") is not None and values["relative_step"] != _literal(given["relative_step"]):
        found += warned(
            "optimizer.args.relative_step=false: warmup_init=true turns it on; set warmup_init=false "
            "to set the rate"
        )
    return found

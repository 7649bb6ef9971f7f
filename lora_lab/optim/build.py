"""Make an optimizer from its name; steer it; read what rate it really used; resume it exactly."""

import contextlib
import importlib
import io
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lora_lab.errors import ConfigError
from lora_lab.optim import registry
from lora_lab.optim.entries import Layout, OptimizerEntry

_FUSED = (torch.optim.AdamW, torch.optim.SGD)
Pairs = list[tuple[Tensor, Tensor]]
"""Parameters and the copies that an optimizer works on in their place."""

_pairs: "weakref.WeakKeyDictionary[Optimizer, Pairs]" = weakref.WeakKeyDictionary()
_training_weights: "weakref.WeakKeyDictionary[Optimizer, list[Tensor]]" = weakref.WeakKeyDictionary()
_loading: "weakref.WeakKeyDictionary[Optimizer, Mapping[str, Any]]" = weakref.WeakKeyDictionary()


def layout(name: str, args: Mapping[str, Any]) -> Layout:
    """How parameters are handed to `build` under this name and these arguments; see `rows.Layout`."""
    entry = registry.find(name)
    return entry.layout_for(registry.arguments(entry, args))


def build(name: str, groups: Sequence[Mapping[str, Any]], args: Mapping[str, Any]) -> Optimizer:
    """Make the optimizer of one run.

    Args:
        name: Config name or dotted class.
        groups: One mapping per group: `params` (tensors in the layout that `layout` names), `lr` (the rate;
            a group of rate 0 or None is left out, but None stays where the optimizer sets its own rate),
            `part` (its name in logs), and anything else that should lie in `param_groups`.
        args: The user's arguments by name.

    Raises:
        ConfigError: An unknown name or argument, no group left, or the class refuses the arguments.
    """
    entry = registry.find(name)
    values = registry.arguments(entry, args)
    own_rate = entry.ignores_learning_rate(values)
    kept = [dict(group, params=list(group["params"])) for group in groups if _trains(group["lr"], own_rate)]
    if not kept:
        raise ConfigError("optimizer.learning_rate: every part has rate 0 or none, nothing would be trained")
    if entry.one_lr_only and len({group["lr"] for group in kept}) > 1:
        raise ConfigError(
            f"optimizer.unet_lr, optimizer.text_encoder_lr: {entry.name} has one rate for all parts"
        )
    for group in kept:
        group["lr"] = None if own_rate else group["lr"]
        group["initial_lr"] = group["lr"]
    pairs = _replace_by_copies(entry, kept)
    optimizer = _construct(entry, kept, values)
    if pairs:
        _pairs[optimizer] = pairs
        optimizer.register_step_pre_hook(_pull)
        optimizer.register_step_post_hook(_push)
    optimizer.register_load_state_dict_post_hook(_restore_when_loaded)
    optimizer.register_load_state_dict_pre_hook(_keep_for_restoring)
    if entry.target.endswith("DAdaptSGD"):
        _skip_at_rate_zero(optimizer)
    train_mode(optimizer)
    return optimizer


def _trains(rate: float | None, own_rate: bool) -> bool:
    return rate != 0 and (own_rate or rate is not None)


def _construct(entry: OptimizerEntry, groups: list[dict[str, Any]], values: Mapping[str, Any]) -> Optimizer:
    maker = _class_of(entry)
    if not (isinstance(maker, type) and issubclass(maker, Optimizer)):
        raise ConfigError(f"optimizer.name={entry.name}: is not a class of torch.optim.Optimizer's kind")
    arguments = dict(values)
    if maker in _FUSED and all(p.device.type in ("cpu", "cuda", "mps") for g in groups for p in g["params"]):
        arguments["fused"] = True
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some classes print that they decouple weight decay
            optimizer: Optimizer = maker(groups, lr=groups[0]["lr"], **arguments)  # type: ignore[call-arg]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"optimizer.args: {entry.name} refuses them: {error}") from error
    return optimizer


def _class_of(entry: OptimizerEntry) -> Callable[..., Any]:
    module_name, _, class_name = entry.target.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), class_name)  # type: ignore[no-any-return]
    except ImportError as error:
        raise ConfigError(
            f"optimizer.name={entry.name}: cannot import {module_name} ({error}); "
            f"install {entry.package} or choose another"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"optimizer.name={entry.name}: {module_name} has no class {class_name}") from error


def _replace_by_copies(entry: OptimizerEntry, groups: list[dict[str, Any]]) -> Pairs:
    """Replace parameters that the class cannot work on by copies; returns (original, copy) pairs.

    - Not contiguous: bitsandbytes trains `p.data.contiguous()`, which nobody would see; others call `view`.
    - fp16: the state of most classes has the weights' type, in which their eps of 1e-8 is 0, so that 0 / 0
      comes up with the first zero gradient. They get fp32 copies, rounded to fp16 after every step.
    """
    if entry.layout == "stacked":
        return []
    wide_state = entry.package == "bitsandbytes" or entry.target.startswith("lora_lab.")
    pairs = []
    for group in groups:
        for index, parameter in enumerate(group["params"]):
            too_narrow = parameter.dtype == torch.float16 and not wide_state
            if too_narrow or not parameter.is_contiguous():
                copy = parameter.detach().to(torch.float32 if too_narrow else parameter.dtype, copy=True)
                group["params"][index] = copy.contiguous()
                pairs.append((parameter, group["params"][index]))
    return pairs


@torch.no_grad()
def _pull(optimizer: Optimizer, *_: Any) -> None:
    """Weights and gradients into the copies."""
    for original, copy in _pairs.get(optimizer, ()):
        copy.copy_(original)
        copy.grad = None if original.grad is None else original.grad.to(copy.dtype).contiguous()


@torch.no_grad()
def _push(optimizer: Optimizer, *_: Any) -> None:
    """Weights out of the copies."""
    for original, copy in _pairs.get(optimizer, ()):
        original.copy_(copy)


def _skip_at_rate_zero(optimizer: Optimizer) -> None:
    """DAdaptSGD divides by zero where the rate is 0, as in a warmup's first step; nothing would move then."""
    step = optimizer.step

    def guarded(closure: Callable[[], float] | None = None) -> float | None:
        return step(closure) if any(group["lr"] for group in optimizer.param_groups) else None

    optimizer.step = guarded  # type: ignore[method-assign, assignment]


def _keep_for_restoring(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    _loading[optimizer] = state_dict


def _restore_when_loaded(optimizer: Optimizer) -> None:
    """Undo the cast that torch makes on loading: fp32 state must not become bf16 because the weights are."""
    _training_weights.pop(optimizer, None)
    saved = _loading.pop(optimizer)["state"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in saved.items():
        state = optimizer.state[parameters[index]]
        for key, value in values.items():
            if isinstance(value, Tensor) and state[key].dtype != value.dtype:
                state[key] = value.detach().clone().to(state[key].device)


def set_lrs(optimizer: Optimizer, factors: float | Sequence[float]) -> None:
    """Set each group's rate to its own base rate times a factor: one for all groups, or one per group.

    Groups without a rate (Adafactor with `relative_step`) stay as they are.
    """
    groups = optimizer.param_groups
    each = [factors] * len(groups) if isinstance(factors, (int, float)) else factors
    for group, factor in zip(groups, each, strict=True):
        if group["initial_lr"] is not None:
            group["lr"] = group["initial_lr"] * factor


def effective_lrs(optimizer: Optimizer) -> dict[str, float]:
    """The rate that is really in use, by the groups' `part` names (`unet`, `unet.1` for its second group).

    D-Adaptation and Prodigy: their estimate d times the rate, as sd-scripts logs it. Adafactor: the mean over
    its tensors of the last step's rate; before the first step, nan where it sets its own. Others: the
    group's rate.
    """
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        part = str(group["part"]) if "part" in group else "all"
        same = sum(name.split(".")[0] == part for name in rates)
        rates[f"{part}.{same}" if same else part] = _effective(optimizer, group)
    return rates


def _effective(optimizer: Optimizer, group: Mapping[str, Any]) -> float:
    rates = [state["rate"] for p in group["params"] if "rate" in (state := optimizer.state.get(p, {}))]
    if rates:
        return float(torch.cat(rates).mean())
    rate = group["lr"]
    if rate is None:
        return float("nan")
    if "d" in group:
        gradient_norm = group["g0_norm"] if group.get("g0_norm") else 1.0
        return float(group["d"] * rate / gradient_norm)
    if group.get("k") and "scheduled_lr" in group:
        return float(group["scheduled_lr"])
    return float(rate)


def train_mode(optimizer: Optimizer) -> None:
    """Put the weights that training goes on from into the parameters; nothing to do unless schedule-free.

    After `eval_mode` the weights are those of before, bit for bit: going back and forth never adds
    rounding.
    """
    enter = getattr(optimizer, "train", None)
    if enter is None:
        return
    enter()
    kept = _training_weights.pop(optimizer, None)
    if kept is not None:
        with torch.no_grad():
            for parameter, weight in zip(_parameters(optimizer), kept, strict=True):
                parameter.copy_(weight)
        _push(optimizer)


def eval_mode(optimizer: Optimizer) -> None:
    """Put the weights to save and render into the parameters; nothing to do unless schedule-free."""
    enter = getattr(optimizer, "eval", None)
    if enter is None:
        return
    if optimizer not in _training_weights:
        _pull(optimizer)
        _training_weights[optimizer] = [parameter.detach().clone() for parameter in _parameters(optimizer)]
        enter()
        _push(optimizer)


def given_parameters(optimizer: Optimizer) -> list[Tensor]:
    """The parameters as they were handed to `build`, in the optimizer's order: not the copies it works on."""
    originals = {id(copy): original for original, copy in _pairs.get(optimizer, ())}
    return [originals.get(id(parameter), parameter) for parameter in _parameters(optimizer)]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]

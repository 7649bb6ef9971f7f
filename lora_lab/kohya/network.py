"""The network: the GUI's LoRA_type or sd-scripts' network_module, and which of its options act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_lab.kohya.lines import CONTRADICTORY
from lora_lab.kohya.values import off

if TYPE_CHECKING:
    from lora_lab.kohya.convert import Work

LYCORIS = "lycoris.kohya"

GUI_TYPES = {
    "Standard": ("lora", ""),
    "Kohya LoCon": ("locon", ""),
    "Kohya LoHa": ("loha", ""),
    "Kohya LoKr": ("lokr", ""),
    "LoCon": ("locon", LYCORIS),
    "LyCORIS/LoCon": ("locon", LYCORIS),
    "LyCORIS/LoHa": ("loha", LYCORIS),
    "LyCORIS/LoKr": ("lokr", LYCORIS),
}
"""The GUI's names that can be trained here: our type, and the module of LyCORIS where that does it there."""

MODULES = {"networks.lora": "lora", "networks.loha": "loha", "networks.lokr": "lokr", LYCORIS: ""}
ALGORITHMS = {"locon": "locon", "lora": "locon", "loha": "loha", "lokr": "lokr"}
_CONVOLUTIONS = ("conv_dim", "conv_alpha")


def take(work: Work) -> None:
    """Take the keys that say which network it is, and those whose effect depends on it."""
    kind, lycoris = _from_gui(work) if work.value("LoRA_type") is not None else _from_arguments(work)
    kind = _decomposed(work, kind)
    if not kind:
        return
    work.settings["network.type"] = kind
    _convolutions(work, kind, lycoris)
    _preset(work, lycoris)
    _dropouts(work, kind, lycoris)
    if kind != "lokr":
        for name in ("factor", "decompose_both"):
            work.ignore(name, "left over: only LoKr has it")
    for name in ("unit", "train_on_input", "constrain", "rescaled"):
        work.ignore(name, "left over: only DyLoRA, iA3 or Diag-OFT have it")
    if not lycoris:
        for name in ("use_tucker", "use_scalar", "bypass_mode", "rank_dropout_scale", "train_norm"):
            work.ignore(name, "left over: only LyCORIS has it")
    if kind != "dora":
        work.ignore("wd_on_output", "left over: only DoRA has it")
    if off(work.value("factor")):
        work.ignore("factor", "empty")


def _from_gui(work: Work) -> tuple[str, bool]:
    name = str(work.value("LoRA_type"))
    kind, module = GUI_TYPES.get(name, ("", ""))
    if not kind:
        why = f"no such network here; there are {', '.join(GUI_TYPES)}"
        work.ignore("LoRA_type", why, CONTRADICTORY)
    else:
        work.compute("LoRA_type", "network.type", kind, "by LyCORIS there" if module else "")
    for name in ("network_module", "algo"):
        work.ignore(name, "LoRA_type says it")
    return kind, bool(module)


def _from_arguments(work: Work) -> tuple[str, bool]:
    work.ignore("LoRA_type", "empty")
    module = str(work.value("network_module") or "networks.lora")
    lycoris = module == LYCORIS
    if lycoris:
        algorithm = str(work.value("algo") or "lora").lower()
        kind = ALGORITHMS.get(algorithm, "")
        if not kind:
            work.ignore("algo", f"no such algorithm here; there are {', '.join(ALGORITHMS)}", CONTRADICTORY)
    else:
        kind = MODULES.get(module, "")
        if kind == "lora" and not off(work.value("conv_dim")):
            kind = "locon"
        work.ignore("algo", "left over: only lycoris.kohya has it")
    if not kind:
        why = "cannot be trained here" if not lycoris else "see algo"
        work.ignore("network_module", f"{module[:60]} {why}", CONTRADICTORY)
    else:
        why = "by LyCORIS there" if lycoris else "with conv_dim: a LoCon" if kind == "locon" else ""
        work.compute("network_module", "network.type", kind, why)
        work.compute("algo", "network.type", kind, "")
    return kind, lycoris


def _decomposed(work: Work, kind: str) -> str:
    """DoRA is a switch of LyCORIS there, and a type here."""
    if off(work.value("dora_wd")):
        work.ignore("dora_wd", "off")
    elif kind == "locon":
        work.compute("dora_wd", "network.type", "dora", "DoRA is a type of its own here")
        return "dora"
    else:
        work.ignore(
            "dora_wd", f"{kind or 'this network'} with weight decomposition is not here", CONTRADICTORY
        )
    return kind


def _convolutions(work: Work, kind: str, lycoris: bool) -> None:
    if kind == "lora" and not lycoris:
        for name in _CONVOLUTIONS:
            work.ignore(name, "left over: a Standard LoRA has no 3x3 convolutions")
    elif lycoris:
        for name in _CONVOLUTIONS:
            if name in work.given and off(work.value(name)):
                rest = "network_dim" if name == "conv_dim" else "network_alpha"
                work.compute(name, f"network.{name}", 0, f"0 or empty: as {rest}, in LyCORIS and here")
    elif work.value("conv_alpha") is None and not off(work.value("conv_dim")):
        # networks/lora.py of sd-scripts, create_network; here it would be the alpha of the rest.
        work.compute("conv_alpha", "network.conv_alpha", 1.0, "empty: sd-scripts takes 1")
        work.settings["network.conv_alpha"] = 1.0


def _preset(work: Work, lycoris: bool) -> None:
    if not lycoris:
        work.ignore("preset", "left over: a preset of LyCORIS, which is not used")
        work.settings["network.preset"] = "kohya"
    elif work.value("preset") is None:
        work.compute("preset", "network.preset", "full", "LyCORIS' own default")
        work.settings["network.preset"] = "full"


def _dropouts(work: Work, kind: str, lycoris: bool) -> None:
    inert = lycoris and kind in ("locon", "dora") and off(work.value("bypass_mode"))
    if inert and not off(work.value("network_dropout")):
        why = "LyCORIS' LoCon passes it over unless bypass_mode is on: there it did nothing, so it is off"
        work.compute("network_dropout", "network.network_dropout", 0.0, why)
    if lycoris and kind == "locon" and not off(work.value("rank_dropout")):
        why = "LyCORIS zeroes rows of the output with it, not ranks: results can differ"
        work.keep("rank_dropout", "network.rank_dropout", why)

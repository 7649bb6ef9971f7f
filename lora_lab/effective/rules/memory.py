"""What can be said at plan time of settings that save memory: compressed base models, attention."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from lora_lab.findings import Findings, refused


def check_memory(asked: Mapping[str, Any], device_type: str) -> Findings:
    """Refusals of what this machine lacks, or what excludes each other.

    Args:
        asked: The flat values of a config.
        device_type: cuda, cpu or mps.
    """
    return _compressed(asked, device_type) + _attention(asked["train.attention"], device_type)


def _compressed(asked: Mapping[str, Any], device_type: str) -> Findings:
    chosen = [key for key in ("base_model.fp8_base", "base_model.nf4_base") if asked[key]]
    if len(chosen) > 1:
        return refused(f"{chosen[0]} and {chosen[1]} exclude each other; set one of them to false")
    if not chosen:
        return Findings()
    if device_type == "mps":
        return refused(f"{chosen[0]}=true: Apple's GPUs have no such numbers; set it to false")
    if chosen == ["base_model.nf4_base"]:
        if importlib.util.find_spec("bitsandbytes") is None:
            return refused(
                "base_model.nf4_base=true: needs the package bitsandbytes; pip install bitsandbytes"
            )
        if asked["network.type"] == "dora":
            return refused(
                "base_model.nf4_base=true: network.type=dora needs the base's own weights; use fp8_base"
            )
    return Findings()


def _attention(name: str, device_type: str) -> Findings:
    if name != "xformers":
        return Findings()
    if importlib.util.find_spec("xformers") is None:
        return refused(
            "train.attention=xformers: the package xformers is not installed; pip install xformers, or use "
            "train.attention=sdpa, which is as fast on current cards"
        )
    if device_type != "cuda":
        return refused(
            f"train.attention=xformers: needs CUDA, this is {device_type}; use train.attention=sdpa"
        )
    return Findings()

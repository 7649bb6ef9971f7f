"""Base model, images, previews, attention: keys whose meaning depends on others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lora_lab.config import settings
from lora_lab.counts import whole_number
from lora_lab.kohya.entries import GUI
from lora_lab.kohya.ignored_keys import FAMILIES
from lora_lab.kohya.lines import CONTRADICTORY
from lora_lab.kohya.values import UnfitError, empty, fit, off, switch
from lora_lab.models.families import ASSUMED
from lora_lab.models.families import FAMILIES as OURS

if TYPE_CHECKING:
    from lora_lab.kohya.convert import Work


def family(work: Work) -> str:
    """Take the switches of the base model's family; returns the family, or '' where none is said."""
    for name in FAMILIES:
        if not off(work.value(name)):
            why = f"this is a preset for {FAMILIES[name]}, which is not trained here"
            work.ignore(name, why, CONTRADICTORY)
    # The later family wins, as in the GUI; a preset that knows the switches and has none on is of the first.
    switches = {row.switch: name for name, row in reversed(OURS.items()) if row.switch}
    on = [key for key in switches if not off(work.value(key))]
    other = any(not off(work.value(name)) for name in FAMILIES)
    if not on:
        known = work.kind == GUI and any(key in work.given for key in switches) and not other
        found = ASSUMED if known else ""
    else:
        found = switches[on[0]]
    for key in switches:
        if key in on[1:]:
            work.ignore(key, f"{on[0]} is on, too, and wins", CONTRADICTORY)
        elif key in on:
            work.compute(key, "base_model.family", found, "what the base model has to be")
        else:
            work.ignore(key, "off")
    return found


def take(work: Work) -> None:
    """Take the keys of the base model, the images, the previews and the attention."""
    _images(work)
    _seed(work)
    _noise(work)
    _attention(work)
    _previews(work)
    _words(work)


def _images(work: Work) -> None:
    _base_model(work)
    if work.value("dataset_config") is not None:
        work.keep("dataset_config", "dataset.path", "the dataset file goes before train_data_dir")
        if work.value("train_data_dir") is not None:
            work.ignore("train_data_dir", "dataset_config is given, too, and wins", CONTRADICTORY)
    elif work.value("train_data_dir") is not None:
        work.keep("train_data_dir", "dataset.path")
    size = work.value("resolution")
    if size is not None:
        sides = size if isinstance(size, (list, tuple)) else re.split(r"[,x]", str(size).lower())
        words = [str(side).strip().removesuffix(".0") for side in sides]
        square = len(set(words)) == 1
        text = words[0] if square else "x".join(words)
        try:
            fit(text, settings()["dataset.resolution"])
        except (UnfitError, ValueError):
            work.ignore("resolution", "must be pixels such as 512, or 512,768", CONTRADICTORY)
        else:
            work.compute("resolution", "dataset.resolution", text, "" if square else "width x height")
    if "caption_extension" in work.given and work.value("caption_extension") is None:
        why = "an empty field is dropped, and sd-scripts then reads .caption files, not .txt"
        work.compute("caption_extension", "dataset.caption_extension", ".caption", why)
    masked = [name for name in ("alpha_mask", "masked_loss") if not off(work.value(name))]
    for name in masked:
        work.compute(name, "dataset.alpha_mask", True, "transparent parts do not count in the loss")
    for name in {"alpha_mask", "masked_loss"} - set(masked):
        work.ignore(name, "off")


def _base_model(work: Work) -> None:
    path = str(work.value("pretrained_model_name_or_path") or "")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not path.endswith((".safetensors", ".ckpt")):
        why = "looks like a name on the Hugging Face hub; nothing is downloaded here: give a folder or file"
        work.keep("pretrained_model_name_or_path", "base_model.path", why)


def _seed(work: Work) -> None:
    if "seed" in work.given and work.kind == GUI and off(work.value("seed")):
        work.ignore(
            "seed", "empty or 0 is a new seed each time there; train.seed is fixed here, so runs compare"
        )


def _noise(work: Work) -> None:
    """The GUI hands over one of two kinds of noise: the one that is chosen."""
    chosen = work.value("noise_offset_type")
    work.ignore("noise_offset_type", "chooses which kind of noise is used: see noise_offset and multires_*")
    if chosen is None or work.kind != GUI:
        return
    kinds = {
        "Original": ("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength"),
        "Multires": ("multires_noise_iterations", "multires_noise_discount"),
    }
    for kind, names in kinds.items():
        for name in names:
            if kind != chosen and name in work.given:
                what = "off" if off(work.value(name)) else "left over"
                work.ignore(name, f"{what}: noise_offset_type={chosen!s:.20} hands over the other kind only")
    if off(work.value("multires_noise_iterations")):
        work.ignore("multires_noise_discount", "left over: there is no multi-resolution noise")


def _attention(work: Work) -> None:
    """Of several switches sd-scripts takes mem_eff_attn before xformers before sdpa."""
    said = work.value("xformers")
    word = str(said).strip().lower()
    xformers = word in ("true", "xformers", "1")
    if not off(work.value("mem_eff_attn")):
        work.compute("mem_eff_attn", "train.attention", "sdpa", "the same numbers by PyTorch's own kernels")
    work.ignore("mem_eff_attn", "off")
    if "xformers" in work.given:
        why = "empty, false or none: PyTorch's own kernels give the same numbers"
        choice = "xformers" if xformers else "sdpa"
        work.compute(
            "xformers", "train.attention", choice, "as chosen" if xformers or word == "sdpa" else why
        )
    if not off(work.value("sdpa")) and not xformers:
        work.compute("sdpa", "train.attention", "sdpa", "PyTorch's own kernels")
    work.ignore("sdpa", "off, or another switch goes before it")


_FLAGS = {
    "s": ("preview.steps", ""),
    "l": ("preview.guidance_scale", ""),
    "d": ("preview.seeds", ""),
    "n": ("preview.negative_prompt", ""),
    "ss": ("preview.sampler", ""),
}


def _previews(work: Work) -> None:
    text = work.value("sample_prompts")
    if not isinstance(text, str):
        work.ignore("sample_prompts", "no text")
    elif work.kind != GUI and re.search(r"\.(txt|toml|json)$", text.strip(), re.I):
        work.ignore("sample_prompts", "a file of prompts: give its lines as preview.prompts")
    else:
        _prompts(work, text)
    if (sampler := work.value("sample_sampler")) is not None:
        known = settings()["preview.sampler"]
        if known.rule and known.rule(sampler):
            work.ignore("sample_sampler", f"no such sampler here; preview.sampler {known.rule(sampler)}")


def _prompts(work: Work, text: str) -> None:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    prompts = [re.split(r"\s--\w+\s", f"{line} ")[0].strip() for line in lines]
    if not any(prompts):
        work.ignore("sample_prompts", "empty")
        return
    flags = dict(re.findall(r"\s--(\w+)\s+(.*?)(?=\s--\w+\s|$)", lines[0]))
    found: dict[str, Any] = {}
    for flag, value in flags.items():
        setting = _FLAGS.get(flag, ("", ""))[0]
        try:
            if setting == "preview.seeds":
                found[setting] = fit([int(value)], settings()[setting])
            elif setting:
                found[setting] = fit(value.strip(), settings()[setting])
        except (UnfitError, ValueError):
            continue
    if flags.keys() >= {"w", "h"} and all(whole_number(flags[side].strip()) is not None for side in "wh"):
        found["preview.size"] = f"{flags['w'].strip()}x{flags['h'].strip()}"
    work.settings.update(found)
    why = "sampling options are taken from the first line: " + (", ".join(found) or "it has none")
    work.compute("sample_prompts", "preview.prompts", prompts, why)


def _words(work: Work) -> None:
    """Precisions, which have another word for fp32, and token lengths, which stand as text."""
    word = str(work.value("save_precision")).lower()
    if word in ("float", "fp32"):
        work.compute("save_precision", "train.save_precision", "fp32", "float is fp32")
    if "cache_latents" in work.given and not empty(work.value("cache_latents")):
        try:
            cached = switch(work.value("cache_latents"))
        except UnfitError:
            return
        if cached and not off(work.value("random_crop")):
            why = "random_crop needs fresh latents; a cached image has one crop"
            work.ignore("cache_latents", why, CONTRADICTORY)
            work.settings["dataset.cache_latents"] = False

"""`lora-lab lora VERB`: look at LoRA files, and make new ones out of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lora_lab import loras
from lora_lab.cli.as_json import print_json
from lora_lab.cli.show import console, grid, number
from lora_lab.counts import counted
from lora_lab.lora_files.factors import PRODUCT_LEAVES
from lora_lab.lora_files.kinds import BAKED, PRODUCTS
from lora_lab.loras.info import Info, summary
from lora_lab.models.families import FAMILIES

_SETTINGS = {
    "ss_output_name": "name",
    "ss_base_model_version": "base version",
    "ss_sd_model_name": "base model",
    "ss_network_module": "network",
    "ss_network_dim": "dim",
    "ss_network_alpha": "alpha",
    "ss_network_args": "network args",
    "ss_optimizer": "optimizer",
    "ss_learning_rate": "learning rate",
    "ss_unet_lr": "U-Net rate",
    "ss_text_encoder_lr": "text encoder rate",
    "ss_lr_scheduler": "schedule",
    "ss_num_epochs": "epochs",
    "ss_epoch": "epoch",
    "ss_steps": "steps",
    "ss_num_train_images": "images x repeats",
    "ss_total_batch_size": "batch size",
    "ss_resolution": "resolution",
    "ss_clip_skip": "clip skip",
    "ss_min_snr_gamma": "min SNR gamma",
    "ss_noise_offset": "noise offset",
    "ss_seed": "seed",
    "ss_training_comment": "comment",
    "modelspec.architecture": "architecture",
    "modelspec.prediction_type": "predicts",
    "modelspec.merged_from": "merged from",
    "modelspec.date": "written",
}
"""What `info` shows of the metadata; `--json` has all of it."""

_HASH = {
    "matches": "matches the content",
    "differs": "does not match the content: the file was changed after it was written, or is damaged",
    "none": "not in the file",
}


def info(given: argparse.Namespace) -> int:
    """Show what files are."""
    found = [loras.info(loras.read(path)) for path in given.files]
    if given.json:
        print_json([item.as_dict() for item in found])
        return 0
    for item in found:
        _show(item, blocks=not given.brief)
    return 0


def _show(item: Info, *, blocks: bool) -> None:
    out = console()
    size = f"{item.bytes / 1e6:.1f} MB" if item.bytes >= 1e5 else f"{item.bytes / 1e3:.1f} kB"
    family = FAMILIES[item.family].title if item.family in FAMILIES else "unknown family"
    out.print(f"{item.file}: {size}, {item.precision}, {family}", markup=False)
    kinds = ", ".join(f"{count} {kind}" for kind, count in item.kinds.items())
    out.print(f"{counted(len(item.modules), 'module')}: {kinds or 'none'}", markup=False)
    if item.embeddings:
        count = counted(len(item.embeddings), "embedding")
        out.print(f"{count}: {', '.join(item.embeddings[:5])}", markup=False)
    if item.strange:
        count = counted(len(item.strange), "tensor")
        out.print(f"{count} of no module: {', '.join(item.strange[:5])}", markup=False)
    for verbs, odd in item.limits.items():
        whom = f"only {verbs} takes" if verbs else "no verb takes"
        out.print(f"{whom} {', '.join(odd)}; the others go on without, with --leave-out-rest", markup=False)
    out.print(f"sshs_model_hash {_HASH[item.hash_check]}\n", markup=False)
    rows = [(key, summary(items)) for key, items in item.groups().items()]
    if blocks:
        rows += [(key, summary(items)) for key, items in item.groups("block").items()]
    out.print(_table(rows))
    said = {label: item.metadata[key] for key, label in _SETTINGS.items() if _worth(item.metadata.get(key))}
    if said:
        width = max(map(len, said))
        out.print("\n" + "\n".join(f"{label:<{width}}  {text}" for label, text in said.items()), markup=False)
    out.print()


def _table(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    heads = ("norm, mean", "norm, max", "effective rank", "99 % in")
    table = grid("part", "modules", "rank", "alpha", *heads, right=("modules", *heads))
    for key, found in rows:
        table.add_row(
            key,
            str(found["modules"]),
            _counted(found["ranks"]),
            _counted(found["alphas"]),
            number(found["norm_mean"]),
            number(found["norm_max"]),
            number(found["effective_rank_mean"], 3),
            number(found["rank_99_max"]),
        )
    return table


def _counted(counts: Mapping[Any, int]) -> str:
    """Few different values as a list, many as a range."""
    values = [f"{value:g}" if isinstance(value, float) else str(value) for value in counts]
    return ", ".join(values) if len(values) <= 3 else f"{values[0]} to {values[-1]}"


def _worth(text: str | None) -> bool:
    return text not in (None, "", "None", "{}")


def merge(given: argparse.Namespace) -> int:
    """Write the exact weighted sum."""
    files, ratios = _inputs(given)
    result = loras.merge(files, ratios)
    return _write(given, result, loras.Making("merge", files, {}, ratios))


def svd_merge(given: argparse.Namespace) -> int:
    """Write the best approximation of the weighted sum."""
    files, ratios = _inputs(given)
    ranks = loras.Ranks(given.new_rank, given.new_conv_rank)
    result = loras.svd_merge(files, ratios, ranks, given.clamp_quantile)
    options = {
        "new_rank": given.new_rank,
        "new_conv_rank": given.new_conv_rank,
        "clamp_quantile": given.clamp_quantile,
    }
    return _write(given, result, loras.Making("svd-merge", files, options, ratios))


def resize(given: argparse.Namespace) -> int:
    """Write a file with fewer ranks."""
    ranks = loras.Ranks(
        given.new_rank,
        given.new_conv_rank,
        given.dynamic_method,
        given.dynamic_param,
        given.conv1x1_as_conv,
    )
    loras.check_output(Path(given.output), [given.file], force=given.force)
    file = _products(given, loras.read(given.file))
    options = {
        "new_rank": given.new_rank,
        "new_conv_rank": given.new_conv_rank,
        "dynamic_method": given.dynamic_method,
        "dynamic_param": given.dynamic_param if given.dynamic_method else None,
        "conv1x1_as_conv": True if given.conv1x1_as_conv else None,
    }
    return _write(given, loras.resize(file, ranks), loras.Making("resize", [file], options))


def extract(given: argparse.Namespace) -> int:
    """Write a LoRA of the difference of two base models."""
    from lora_lab.loras.extract import Wish, extract

    wish = Wish(given.dim, given.conv_dim, given.clamp_quantile, given.min_diff)
    loras.check_output(Path(given.output), [given.original, given.tuned], force=given.force)
    found = extract(given.original, given.tuned, wish)
    options = {
        "original": Path(given.original).name,
        "tuned": Path(given.tuned).name,
        "dim": given.dim,
        "conv_dim": given.conv_dim,
        "clamp_quantile": given.clamp_quantile,
    }
    _write(
        given,
        found.result,
        found.making(options),
        {"outside": found.outside, "parts_left_out": found.left_out},
    )
    if given.json:
        return 0
    if found.outside >= 0.0005:
        print(f"{100 * found.outside:.3g} % of the difference is in weights that this LoRA does not touch")
    for part in found.left_out:
        name = part.replace("te", "text encoder ")
        print(f"left out: {name}, none of its weights differs by more than --min-diff {given.min_diff:g}")
    return 0


def bake(given: argparse.Namespace) -> int:
    """Write a base model with a LoRA in it."""
    from lora_lab.loras.bake import bake

    base, output = Path(given.base).expanduser(), Path(given.output)
    folder = base.is_dir() or given.base == "demo"
    suffix = "" if folder else ".safetensors"
    loras.check_output(output, [given.file, base], force=given.force, suffix=suffix)
    te_ratio = given.ratio if given.te_ratio is None else given.te_ratio
    file = loras.read(given.file)
    file = _said(given, file.only(BAKED)) if given.leave_out_rest else file
    count = bake(given.base, file, output, (given.ratio, te_ratio), given.force)
    if given.json:
        print_json({"output": str(output), "modules": count, "left_out": dict(file.left_out)})
        return 0
    print(f"wrote {output}: {counted(count, 'module')} changed")
    return 0


def _inputs(given: argparse.Namespace) -> tuple[list[loras.LoraFile], list[float]]:
    loras.check_output(Path(given.output), given.files, force=given.force)
    files = [_products(given, loras.read(path)) for path in given.files]
    if given.ratios is None:
        return files, [1.0] * len(files)
    return files, [ratio for part in given.ratios for ratio in part]


def _products(given: argparse.Namespace, file: loras.LoraFile) -> loras.LoraFile:
    """The file, without what is no low-rank product where that is asked for."""
    return _said(given, file.only(PRODUCTS, PRODUCT_LEAVES)) if given.leave_out_rest else file


def _said(given: argparse.Namespace, file: loras.LoraFile) -> loras.LoraFile:
    """The file, after saying what was left out of it."""
    if file.left_out and not given.json:
        counts = ", ".join(f"{count} {kind}" for kind, count in file.left_out.items())
        print(f"left out of {file.path}: {counts}")
    return file


def _write(
    given: argparse.Namespace,
    result: loras.Result,
    making: loras.Making,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Write the file, and say what it holds: in words, or with `more` as JSON."""
    path = Path(given.output)
    loras.save(path, result.modules, making, given.precision)
    ranks = sorted({item.rank for item in result.modules.values()})
    if given.json:
        print_json(_told(path, result, ranks, making) | dict(more))
        return 0
    shown = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    count = counted(len(result.modules), "module")
    print(f"wrote {path}: {count} of rank {shown}, {path.stat().st_size / 1e6:.1f} MB")
    if result.kept:
        worst = min(result.kept, key=lambda name: result.kept[name].share)
        lowest = result.kept[worst].share
        print(f"retained energy: {100 * result.share:.4g} % in all, {100 * lowest:.4g} % in {worst}")
        if given.report:
            _report(result)
    return 0


def _told(path: Path, result: loras.Result, ranks: Sequence[int], making: loras.Making) -> dict[str, Any]:
    """What a new file holds, module by module where it is an approximation."""
    kept = {
        name: {"rank": item.rank, "retained": item.share, "norm": item.energy**0.5}
        for name, item in result.kept.items()
    }
    return {
        "output": str(path),
        "bytes": path.stat().st_size,
        "modules": len(result.modules),
        "ranks": list(ranks),
        "retained": result.share,
        "kept": kept,
        "left_out": {str(file.path): dict(file.left_out) for file in making.inputs if file.left_out},
    }


def _report(result: loras.Result) -> None:
    """Retained energy, module by module."""
    table = grid("module", "rank", "retained %", "norm", right=("rank", "retained %", "norm"))
    for name, item in result.kept.items():
        table.add_row(name, str(item.rank), f"{100 * item.share:.4g}", number(item.energy**0.5))
    console().print(table)
    sys.stdout.flush()

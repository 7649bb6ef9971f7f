"""From a config to the adapter that a run trains, and to the LoRAs that lie under it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lora_lab.config.schema import NetworkConfig
from lora_lab.errors import ModelError
from lora_lab.lora_files.reading import LoraFile, read
from lora_lab.models import BaseModel
from lora_lab.networks.blocks import block_weights
from lora_lab.networks.file_tensors import alpha_of, rank_of, trainable
from lora_lab.networks.merging import merge
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import Target, all_targets
from lora_lab.resolved import Resolved


def adapter_spec(resolved: Resolved, base: BaseModel) -> AdapterSpec:
    """The adapter of a run.

    With `dim_from_weights` the file decides about layers, dims and alphas.

    Raises:
        ModelError: The file of `network_weights` cannot be read, or does not belong to the base model.
    """
    own = resolved.network
    dims: dict[str, Any] = {
        "network_dim": own.network_dim,
        "network_alpha": own.network_alpha,
        "conv_dim": own.conv_dim,
        "conv_alpha": own.conv_alpha,
        "preset": own.preset,
    }
    if own.dim_from_weights and own.network_weights:
        dims = _dims_of(Path(own.network_weights).expanduser(), base)
    return AdapterSpec(
        **dims,
        network_dropout=own.network_dropout,
        rank_dropout=own.rank_dropout,
        module_dropout=own.module_dropout,
        train_unet=own.train_unet,
        train_text_encoder=own.train_text_encoder,
        seed=resolved.train.seed,
        form="lora" if own.type == "locon" else own.type,
        factor=own.factor,
        decompose_both=own.decompose_both,
        wd_on_output=own.wd_on_output,
        blocks=block_weights(
            base.family, own.down_lr_weight, own.mid_lr_weight, own.up_lr_weight, own.block_lr_zero_threshold
        ),
    )


@contextmanager
def naming(setting: str, path: str | Path) -> Iterator[None]:
    """Have what is wrong with a LoRA file told with the setting that names it, and its path once.

    Raises:
        ModelError: What was wrong.
    """
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{setting}={path}: {str(error).removeprefix(f'{path}: ')}") from None


def merge_base_weights(base: BaseModel, own: NetworkConfig) -> None:
    """Merge the LoRAs of `network.base_weights` into a base model, in their order.

    Raises:
        ModelError: A file cannot be read, or does not belong to the base model.
    """
    merged = own.merged()
    for name, strength in merged:
        with naming("network.base_weights", name):
            file = read(name)
            merge(base.unet, base.text_encoders, base.family, file, strength)
        # Captions that were cached for the text encoders as they came are others now.
        mark = f"{base.text_identity} {strength} {_content(file)}"
        base.text_identity = hashlib.sha256(mark.encode()).hexdigest()


def _content(file: LoraFile) -> str:
    found = hashlib.sha256()
    for name, module in sorted(file.modules.items()):
        for leaf, tensor in sorted(module.leaves.items()):
            found.update(f"{name}.{leaf} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.double().numpy().tobytes())
    return found.hexdigest()


def _dims_of(path: Path, base: BaseModel) -> dict[str, Any]:
    """Layers, dims and alphas of a LoRA file, as fields of `AdapterSpec`."""
    targets = {t.name: t for t in all_targets(base.unet, base.text_encoders, base.family)}
    with naming("network.network_weights", path):
        paths = {name: target.path for name, target in targets.items()}
        modules = trainable(read(path), paths, base.family, base.unet)
    unknown = sorted(modules.keys() - targets.keys())
    if unknown:
        raise ModelError(
            f"network.network_weights={path}: {len(unknown)} of its modules are not in the base model "
            f"({unknown[0]}, ...); it was made for another family"
        )
    dims: dict[str, tuple[int, float]] = {}
    for name, leaves in modules.items():
        whole = max(leaves["lokr_w2"].shape[:2]) if "lokr_w2" in leaves else 0
        rank = rank_of(leaves) or whole
        dims[name] = rank, alpha_of(leaves, rank)
    return {
        "network_dim": _largest(dims, targets, spatial=False) or 1,
        "network_alpha": 0.0,
        "conv_dim": _largest(dims, targets, spatial=True),
        "modules": dims,
    }


def _largest(dims: dict[str, tuple[int, float]], targets: dict[str, Target], *, spatial: bool) -> int:
    ranks = [rank for name, (rank, _) in dims.items() if (targets[name].kind == "conv") == spatial]
    return max(ranks, default=0)

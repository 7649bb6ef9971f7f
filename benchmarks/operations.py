"""How many operations a training step dispatches: what the host has to launch, whatever the card.

The base model has the public topology (SD 1.5 or SDXL) at a tiny width, which the counts do not depend on: it
takes seconds on a CPU. Counted is what reaches torch's dispatcher and is no view (`aten::view`, `transpose`,
`_unsafe_view`, ...), in the whole of `PackTrainer.step`: batches, forward, backward, norms, optimizer.

    python benchmarks/operations.py --runs 1 8 16
    python benchmarks/operations.py --base sdxl --optimizer adafactor --text-encoder
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import models
import report
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lora_lab.config import compose
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.run.prepare import Caches, on_base, prepare
from lora_lab.train import PackTrainer, Runner

BASES = {"sd15": "sd1", "sdxl": "sdxl"}
"""Names of bases, with the families whose public configs are made small."""
WARM_STEPS = 2
"""Steps before the counted one: captions are cached, routes are planned, optimizers have their state."""
WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "item", "equal")
"""Operations that make the host wait for the device."""
_FACTS = ("promote_types", "result_type", "can_cast")
KINDS = (
    "batches", "frozen linear layers", "adapted linear layers", "frozen convolutions", "adapted convolutions",
    "other adapted layers", "attention", "norms", "activations", "sums, copies, the rest", "loss",
    "norms of gradients", "optimizer",
)  # fmt: skip
_BY_FUNCTION = {
    "ConvFunction": "adapted convolutions",
    "LinearFunction": "adapted linear layers",
    "SiblingFunction": "adapted linear layers",
}
_BY_FILE = (
    ("lora_lab/optim/", "optimizer"),
    ("torch/optim/", "optimizer"),
    ("lora_lab/train/source", "batches"),
    ("lora_lab/run/prepare", "batches"),
    ("lora_lab/losses/loss", "loss"),
    ("lora_lab/networks/dense", "other adapted layers"),
)
_BY_NAME = (
    ("convolution", "frozen convolutions"),
    ("mm", "frozen linear layers"),
    ("scaled_dot_product", "attention"),
    ("group_norm", "norms"),
    ("layer_norm", "norms"),
    ("silu", "activations"),
    ("gelu", "activations"),
    ("sigmoid", "activations"),
    ("vector_norm", "norms of gradients"),
)


class Operations(TorchDispatchMode):
    """Counts what is dispatched inside: `kinds` by kind of layer, `names` by operation, `views`, `waits`."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()
        self.names: Counter[str] = Counter()
        self.views = 0
        self.waits: Counter[str] = Counter()
        self._tolist = torch.Tensor.tolist

    def __enter__(self) -> "Operations":
        """Count; lists of numbers are read past the dispatcher."""

        def counted(tensor: torch.Tensor) -> Any:
            self.waits["tolist"] += 1
            return self._tolist(tensor)

        torch.Tensor.tolist = counted  # type: ignore[method-assign, assignment]
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        """Count no more."""
        torch.Tensor.tolist = self._tolist  # type: ignore[method-assign]
        super().__exit__(*exc)

    @property
    def total(self) -> int:
        """All operations that are no views."""
        return self.names.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and do."""
        space, name = func.overloadpacket._qualified_op_name.split("::")
        if space != "aten" or name in _FACTS:
            pass  # marks for profilers, questions about types
        elif _is_view(func):
            self.views += 1
        else:
            self.names[name] += 1
            self.kinds[_kind(name)] += 1
        result = func(*args, **(kwargs or {}))
        if name in WAITS or (name == "_to_copy" and _leaves_the_device(args, result)):
            self.waits[name] += 1
        return result


def _is_view(func: Any) -> bool:
    if func.overloadpacket._qualified_op_name == "aten::_unsafe_view":
        return True
    return any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)


def _leaves_the_device(args: Sequence[Any], result: Any) -> bool:
    return args[0].device.type != "cpu" and result.device.type == "cpu"


def _kind(name: str) -> str:
    """Of which kind of layer an operation is: by the innermost file of ours that asks for it, or its name."""
    frame: FrameType | None = sys._getframe(2)
    while frame:
        file, function = frame.f_code.co_filename, frame.f_code.co_qualname
        if "lora_lab/networks/" in file and function.startswith(tuple(_BY_FUNCTION)):
            return next(layers for start, layers in _BY_FUNCTION.items() if function.startswith(start))
        for part, found in _BY_FILE:
            if part in file:
                return found
        if "/diffusers/" in file or "/transformers/" in file:
            break
        frame = frame.f_back
    return next((found for part, found in _BY_NAME if part in name), "sums, copies, the rest")


@contextmanager
def training(base: BaseModel, runs: int, settings: Sequence[str], size: int = 64) -> Iterator[PackTrainer]:
    """A pack of `runs` on a random image of `size` pixels, batch 1, dim 4; they differ in their seeds."""
    with tempfile.TemporaryDirectory() as place:
        images = models.draw_images(Path(place) / "1_miko girl", size, count=1)
        common = [
            f"base_model={next(name for name, family in BASES.items() if family == base.family)}",
            f"dataset.path={images.parent}",
            f"dataset.resolution='{size}'",
            f"dataset.min_bucket_reso={size}",
            f"dataset.max_bucket_reso={size}",
            f"cache={place}/cache",
            "train.train_batch_size=1",
            "train.max_train_epochs=null",
            "train.max_train_steps=1000",
            "network.network_dim=4",
            "network.network_alpha=1",
            "preview=off",
        ]
        prepared = []
        for run in range(runs):
            own = [f"name=run{run}", f"train.seed={run}", *settings]
            prepared.append(prepare(on_base(compose([*common, *own], checked=False), base), Caches(base)))
        pack = Pack(
            base.unet,
            base.text_encoders,
            base.family,
            [run.job.adapter for run in prepared],
            compute_dtype=base.dtype,
            master_dtype=torch.promote_types(base.dtype, torch.float32),
        ).attach()
        trainer = PackTrainer(base, pack)
        for slot, one in enumerate(prepared):
            if one.texts:
                one.texts.pack = pack
            trainer.add(Runner(one.job, slot, pack, one.source))
        try:
            yield trainer
        finally:
            pack.detach()


def counted(base: BaseModel, runs: int, settings: Sequence[str]) -> Operations:
    """The operations of one step of a pack of `runs`, after warming up."""
    with training(base, runs, settings) as trainer:
        for _ in range(WARM_STEPS):
            trainer.step()
        with Operations() as found:
            records = trainer.step()
    assert not any(record.ended for record in records)
    return found


def main() -> None:
    """Count packs of all sizes asked for, print the table."""
    given = _arguments()
    base = models.tiny_model(BASES[given.base])
    settings = [
        f"optimizer={given.optimizer}",
        f"network={given.network}",
        f"network.train_text_encoder={str(given.text_encoder).lower()}",
        *given.set,
    ]
    found = {runs: counted(base, runs, settings) for runs in given.runs}
    rows = [[kind, *(str(one.kinds[kind]) for one in found.values())] for kind in KINDS]
    rows = [row for row in rows if any(cell != "0" for cell in row[1:])]
    rows.append(["all", *(str(one.total) for one in found.values())])
    rows.append(["all, per run", *(f"{one.total / runs:.0f}" for runs, one in found.items())])
    rows.append(["views (not counted above)", *(str(one.views) for one in found.values())])
    rows.append(["waits for the device", *(str(one.waits.total()) for one in found.values())])
    parts = "U-Net and text encoder" if given.text_encoder else "U-Net only, captions cached"
    report.finish(
        given,
        f"Operations of a step: {given.base}, {given.network}, {given.optimizer}, {parts}",
        f"torch {torch.__version__}",
        ["kind", *(f"K = {runs}" for runs in found)],
        rows,
    )


def _arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--base", default="sd15", choices=sorted(BASES), help="default: sd15")
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 8, 16], help="default: 1 8 16")
    parser.add_argument("--optimizer", default="adamw", help="default: adamw")
    parser.add_argument("--network", default="lora", help="default: lora")
    parser.add_argument("--text-encoder", action="store_true", help="train the text encoder, too")
    parser.add_argument("--set", nargs="*", default=[], help="more settings: train.train_batch_size=2")
    return parser.parse_args()


if __name__ == "__main__":
    main()

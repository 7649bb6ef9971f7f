"""Runs trained in a pack against the same runs one after the other: seconds per step and samples per second.

Every round trains the same runs in packs of each size, in turn, so that other work on the machine hits all
sizes alike; the median over all steps counts. `ratio` is the time of a pack's step over that of its runs one
after the other, at the same batch size. CPU seconds are those of this process: on a busy machine, trust them
rather than the clock. Target on 2 CPU cores with the demo base: at most 0.7 for 8 runs at batch 1.

On a GPU: python benchmarks/packed.py --device cuda --base random-sd15 --sizes 1 2 4 8 16 --precision bf16
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import models
import report
import torch

from lora_lab.config import RunConfig, compose
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.run.prepare import Caches, Prepared, on_base, pick_device, prepare
from lora_lab.train import PackTrainer, Runner

WARM_STEPS = 3
"""Steps before the timed ones: memory is allocated, routes are planned, kernels are chosen."""


def main() -> None:
    """Measure all pack sizes, print the table."""
    given = _arguments()
    device = pick_device(given.device)
    with tempfile.TemporaryDirectory() as place:
        base = models.load(given.base, device, given.precision)
        runs = [prepare(on_base(config, base), Caches(base)) for config in _configs(given, Path(place))]
        steps = _measure(base, runs, given)
    cpu = device.type == "cpu"
    where = (
        f"{report.processor()}, {torch.get_num_threads()} threads"
        if cpu
        else torch.cuda.get_device_name(device)
    )
    report.finish(
        given,
        f"Packs on {given.base}, batch {given.batch_size}, dims {given.dims}, {given.precision}",
        where,
        ["runs in pack", "wall ms/step", "CPU ms/step", "samples/s", "wall ratio", "CPU ratio"],
        _rows(steps, given.batch_size),
    )


def _arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--base", default="demo", help="demo (default), random-sd15, random-sdxl or a model")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:N or mps")
    parser.add_argument("--precision", default="fp32", choices=sorted(models.DTYPES), help="default: fp32")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8], help="default: 1 2 4 8")
    parser.add_argument("--batch-size", type=int, default=1, help="samples per run and step, default 1")
    parser.add_argument("--resolution", type=int, default=0, help="0: 64 for the demo base, else 512")
    parser.add_argument("--dims", type=int, nargs="+", default=[8], help="network_dim of the runs, in turn")
    parser.add_argument("--steps", type=int, default=10, help="timed steps per size and round, default 10")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--set", nargs="*", default=[], help="more settings: network=locon optimizer=lion")
    given = parser.parse_args()
    given.sizes = sorted({1, *given.sizes})
    return given


def _configs(given: argparse.Namespace, place: Path) -> list[RunConfig]:
    """As many runs as the largest pack holds; they differ in learning rate, seed and, if asked, in dim."""
    size = given.resolution or (64 if given.base == "demo" else 512)
    images = models.draw_images(place / "1_miko girl", size)
    return [
        compose(
            [
                f"dataset.path={images.parent}",
                f"dataset.resolution='{size}'",
                f"dataset.min_bucket_reso={size}",
                f"dataset.max_bucket_reso={size}",
                f"cache={place}/cache",
                f"name=run{number}",
                f"train.seed={number}",
                f"train.train_batch_size={given.batch_size}",
                "train.max_train_epochs=null",
                "train.max_train_steps=1000000",
                f"network.network_dim={given.dims[number % len(given.dims)]}",
                f"optimizer.learning_rate={1e-4 * (1 + number)}",
                *given.set,
            ],
            checked=False,
        )
        for number in range(max(given.sizes))
    ]


def _measure(
    base: BaseModel, runs: Sequence[Prepared], given: argparse.Namespace
) -> dict[int, list[tuple[float, float]]]:
    """(wall, CPU) seconds of every timed step, by pack size."""
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in given.sizes}
    for number in range(given.rounds):
        for size in given.sizes:
            # Over the rounds, the runs that train alone are all of them.
            start = number % len(runs) if size == 1 else 0
            with _training(base, runs[start : start + size]) as trainer:
                for _ in range(WARM_STEPS):
                    trainer.step()
                found[size] += [_timed(trainer, base.device) for _ in range(given.steps)]
            wall = statistics.median(wall for wall, _ in found[size])
            print(f"round {number + 1}/{given.rounds}, {size} runs: {wall * 1e3:.1f} ms/step", flush=True)
    return found


@contextmanager
def _training(base: BaseModel, runs: Sequence[Prepared]) -> Iterator[PackTrainer]:
    specs = [run.job.adapter for run in runs]
    pack = Pack(base.unet, base.text_encoders, base.family, specs, compute_dtype=base.dtype).attach()
    trainer = PackTrainer(base, pack)
    for slot, run in enumerate(runs):
        if run.texts:
            run.texts.pack = pack
        trainer.add(Runner(run.job, slot, pack, run.source))
    try:
        yield trainer
    finally:
        pack.detach()


def _timed(trainer: PackTrainer, device: torch.device) -> tuple[float, float]:
    _wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    records = trainer.step()
    _wait(device)
    assert len(records) == len(trainer.active) and not any(record.ended for record in records)
    return time.perf_counter() - wall, time.process_time() - cpu


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rows(steps: dict[int, list[tuple[float, float]]], batch_size: int) -> list[list[str]]:
    medians = {
        size: (statistics.median(w for w, _ in times), statistics.median(c for _, c in times))
        for size, times in steps.items()
    }
    alone_wall, alone_cpu = medians[1]
    return [
        [
            str(size),
            f"{wall * 1e3:.1f}",
            f"{cpu * 1e3:.1f}",
            f"{size * batch_size / wall:.1f}",
            f"{wall / (size * alone_wall):.2f}",
            f"{cpu / (size * alone_cpu):.2f}",
        ]
        for size, (wall, cpu) in medians.items()
    ]


if __name__ == "__main__":
    main()

"""Run folders on a tiny base model, and a worker for them in this process."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lora_lab.config import compose, dump
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import RunFolder, RunRecord, SweepFolder, read_record
from tests import tiny


class Stop(Interrupt):
    """An interrupt that comes when asked for the `at`-th time; 0 = never."""

    def __init__(self, at: int = 0) -> None:
        super().__init__(None)
        self.left = at

    @property
    def reason(self) -> str:
        self.left -= self.left > 1
        return "stopped by SIGTERM" if self.left == 1 else ""


def write_images(folder: Path, count: int = 5, name: str = "1_zz girl") -> Path:
    """Noise in two aspect-ratio buckets, with captions."""
    target = folder / name
    target.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 255, (32 if number < 3 else 48, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(target / f"{number}.png")
        (target / f"{number}.txt").write_text(f"zz, tag{number}, smile", encoding="utf-8")
    return folder


class Bench:
    """Makes and works through runs of one sweep; five images, two epochs, so ten updates."""

    def __init__(self, images: Path, cache: Path, sweep: Path, base: Path | None = None) -> None:
        self.sweep = SweepFolder(sweep)
        self.common = [
            # Every setting that these tests count on is said here: the shipped choices may change.
            "base_model=sd15",
            "dataset.repeats=null",
            "dataset.flip_aug=false",
            "train.train_batch_size=1",
            "train.gradient_accumulation_steps=1",
            "lr_scheduler=constant",
            f"base_model.path={base or tiny.folder()}",
            "base_model.family=auto",
            f"dataset.path={images}",
            f"cache={cache}",
            f"results={sweep.parent}",
            "device=cpu",
            "dataset.resolution='32'",
            "dataset.min_bucket_reso=64",
            "dataset.max_bucket_reso=64",
            "dataset.enable_bucket=false",
            "dataset.trigger_word=zz",
            "network.network_dim=2",
            "optimizer.learning_rate=1e-2",
            "train.max_train_epochs=2",
            "train.save_every_n_epochs=1",
            "train.mixed_precision='no'",
            "preview.prompts=['{trigger}, smile']",
            "preview.seeds=[3]",
            "preview.strengths=[1.0]",
            "preview.steps=2",
            "preview.sampler=ddim",
        ]

    def write(self, name: str, *extra: str) -> RunFolder:
        """Write a run's job, as launching does."""
        folder = self.sweep.run(name)
        config = compose([*self.common, *extra], checked=False)
        config.name = name
        folder.path.mkdir(parents=True, exist_ok=True)
        dump(config, folder.config_file)
        return folder

    def work(
        self, folders: Sequence[RunFolder], slots: int = 0, stop: Stop | None = None, rounds: int = 1
    ) -> None:
        """Work through run folders in this process, or through the next of several rounds."""
        tasks = [task for folder in folders if (task := Task.open(folder))]
        try:
            PackWork(tasks, slots or len(tasks), Events(None), stop or Stop(), rounds).run()
        finally:
            for task in tasks:
                task.lock.release()

    def run(self, *names: str, extra: Sequence[str] = (), slots: int = 0) -> list[RunRecord]:
        """Write runs that differ in name only, work through them, and read their records."""
        folders = [self.write(name, *extra) for name in names]
        self.work(folders, slots)
        return [read_record(folder) for folder in folders]

"""kill -9 at random moments of a sweep of seven runs on the demo base: what is lost, left, or different.

A sweep is started as a user starts it. At a random moment its launcher, its worker or both are killed, and
the same command is given again at once, until the sweep is done; then the next one begins, until there were
as many kills as asked for. Afterwards every LoRA is compared with that of a sweep that nobody disturbed,
a run that was done must have the files it had then, every step must stand in the log once, and nothing half
written may be left.

    python benchmarks/kills.py --kills 100 --seed 1
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from lora_lab.files import TEMPORARY, read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.store import SweepFolder, read_or_failed

TOLERANCE = 1e-5
"""Of weights in float32, where a pack does not go on in step."""
KINDS = ("launcher", "worker", "both")
STEPS = 24
BASE = ("base_model=demo", "dataset=demo", f"train.max_train_steps={STEPS}", "train.save_every_n_epochs=0",
        "train.save_every_n_steps=8", "train.save_state_every_n_steps=3", "train.save_precision=fp32",
        "preview=off", "network.network_dim=4")  # fmt: skip
ROWS = {
    "reference": (),
    "alpha-1": ("network.network_alpha=1",),
    "dim-8": ("network.network_dim=8",),
    "short": ("train.max_train_steps=10",),
    "batch-3": ("train.train_batch_size=3",),
    "accumulated": ("train.gradient_accumulation_steps=2", "train.max_train_steps=12"),
    "adafactor": ("optimizer=adafactor", "optimizer.learning_rate=1e-3"),
}


@dataclass
class Found:
    """What went on: kills by kind, and faults in words; differences by run."""

    kills: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    files: int = 0
    equal: int = 0
    largest: float = 0.0
    faults: list[str] = field(default_factory=list)


class Trial:
    """One sweep in a folder of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.folder = SweepFolder(root / "results" / name)
        file = root / f"{name}.yaml"
        # A file that is JSON is YAML, too.
        file.write_text(
            json.dumps({"base": list(BASE), "patterns": {key: list(row) for key, row in ROWS.items()}})
        )
        self._words = [sys.executable, "-m", "lora_lab", "sweep", str(file), f"results={root / 'results'}",
                       f"cache={root / 'cache'}", "engine.workers=1", "device=cpu"]  # fmt: skip
        self.finished: dict[str, dict[str, int]] = {}

    def start(self) -> subprocess.Popen[bytes]:
        """The command, as a user gives it."""
        with open(self.root / "output.txt", "ab") as out:
            return subprocess.Popen(self._words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def remember(self) -> None:
        """Note the files of the runs that are done, with the times of their last change."""
        for run in self.folder.runs():
            if read_or_failed(run).status == "done":
                self.finished.setdefault(run.name, _times(run.checkpoints))

    def compare(self, whole: "Trial", found: Found) -> None:
        """Look for everything that a kill may have cost."""
        for name in ROWS:
            run, other = self.folder.run(name), whole.folder.run(name)
            record = read_or_failed(run)
            if record.status != "done":
                found.faults.append(f"{self.name}/{name} is {record.status}: {record.reason}")
                continue
            if self.finished.get(name) not in (None, _times(run.checkpoints)):
                found.faults.append(f"{self.name}/{name} was done, and trained again")
            # A run that is the beginning of another one, or the same, has the steps of that.
            steps = [row["step"] for row in read_lines(run.steps_file)]
            if steps != list(range(1, record.total_steps + 1)):
                found.faults.append(f"{self.name}/{name}: its log holds the steps {steps}")
            for item in read_or_failed(other).checkpoints:
                self._compare_file(name, run.checkpoint(item.tag), other.checkpoint(item.tag), found)
        for path in [*self.folder.path.rglob(".*"), *(self.root / "cache").rglob(".*")]:
            if TEMPORARY.match(path.name):
                found.faults.append(f"{path} was left behind")
        found.sweeps += 1

    @staticmethod
    def _compare_file(name: str, file: Path, other: Path, found: Found) -> None:
        if not file.is_file():
            found.faults.append(f"{file} is missing")
            return
        one, two = read_lora(file)[0], read_lora(other)[0]
        largest = max(float((one[key].double() - two[key].double()).abs().max()) for key in two)
        found.files += 1
        found.equal += all(torch.equal(one[key], two[key]) for key in two)
        found.largest = max(found.largest, largest)
        if largest > TOLERANCE:
            found.faults.append(f"{name}: {file.name} differs by {largest:.1e}")


def _times(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.safetensors")}


def _kill(launcher: subprocess.Popen[bytes], kind: str) -> bool:
    """Kill what `kind` says; False where there was nothing of it to be killed."""
    workers = psutil.Process(launcher.pid).children() if launcher.poll() is None else []
    targets = [] if kind == "launcher" else [process.pid for process in workers]
    targets += [] if kind == "worker" or launcher.poll() is not None else [launcher.pid]
    for pid in targets:
        os.kill(pid, signal.SIGKILL)
    if kind != "worker":
        launcher.wait()
    return bool(targets)


def _disturb(trial: Trial, seconds: float, left: int, rng: random.Random, found: Found) -> None:
    """Run a sweep to its end, with up to `left` kills on the way."""
    launcher = trial.start()
    while True:
        kind, wait = rng.choice(KINDS), rng.uniform(0.0, seconds)
        try:
            launcher.wait(wait if left else None)
        except subprocess.TimeoutExpired:
            trial.remember()
            if _kill(launcher, kind):
                found.kills[kind] += 1
                left -= 1
            if kind != "worker":
                launcher = trial.start()
            continue
        if launcher.returncode != 0:
            found.faults.append(f"{trial.name}: the command ended with exit code {launcher.returncode}")
        return


def disturbed(root: Path, kills: int, seed: int, seconds: float = 0.0) -> Found:
    """Do it all.

    Args:
        root: A folder for results and caches.
        seconds: Kills come after up to so many seconds; 0: as long as the undisturbed sweep took.
    """
    rng, found = random.Random(seed), Found()
    whole, started = Trial(root, "whole"), time.monotonic()
    if whole.start().wait() != 0:
        found.faults.append("the undisturbed sweep failed")
        return found
    seconds = seconds or time.monotonic() - started
    while sum(found.kills.values()) < kills and len(found.faults) < 10:
        trial = Trial(root, f"sweep-{found.sweeps + 1}")
        _disturb(trial, seconds, kills - sum(found.kills.values()), rng, found)
        trial.compare(whole, found)
        print(f"{trial.name}: {said(found)}", flush=True)
    return found


def said(found: Found) -> str:
    """The state of things in a line."""
    kinds = ", ".join(f"{found.kills[kind]} of the {kind}" for kind in KINDS).replace("the both", "both")
    return (
        f"{sum(found.kills.values())} kills ({kinds}), {found.sweeps} sweeps of {len(ROWS)} runs, "
        f"{found.files} LoRAs: {found.equal} equal bit for bit, "
        f"largest difference {found.largest:.1e}; {len(found.faults)} faults"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """1 where something was lost, left behind or different."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="the longest time to a kill; 0 = a whole sweep"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        found = disturbed(Path(folder), arguments.kills, arguments.seed, arguments.seconds)
        for fault in found.faults:
            print("FAULT:", fault)
            print((Path(folder) / "output.txt").read_text(errors="replace")[-2000:])
    print(f"seed {arguments.seed}: {said(found)}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Killed at any write, a pack is taken up from one moment, and ends bit for bit as if nothing had been."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_lab import files
from lora_lab.files import TEMPORARY, read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.state import Group, Saved, in_step
from lora_lab.store import RunFolder, SweepFolder, read_record
from tests.run.bench import Bench

COMMON = ("preview=off", "train.save_precision=fp32", "train.save_every_n_epochs=1")
ROWS = {
    # Ends long before the others, and decides their padding; then one with another optimizer.
    "a": ("network.network_dim=12", "train.max_train_epochs=1"),
    "b": ("network.network_dim=3", "optimizer=adafactor", "optimizer.learning_rate=1e-2"),
    # In the middle of an update when the others save.
    "c": ("network.network_dim=5", "train.gradient_accumulation_steps=2"),
    "d": ("network.network_dim=5", "train.save_every_n_epochs=0", "train.save_state_every_n_steps=3"),
}

TEN = {
    name: (f"optimizer={name}", "optimizer.learning_rate=1e-3", "train.train_batch_size=2")
    for name in (
        "adamw",
        "lion",
        "adafactor",
        "adafactor_fixed",
        "sgd",
        "sgdnesterov",
        "adam",
        "prodigy",
        "dadaptlion",
    )
} | {"accumulating": ("train.gradient_accumulation_steps=2",)}
ROWS |= TEN


class Killed(BaseException):
    """No error that anything could answer."""


class Writes:
    """Counts what changes names on the disk, and ends everything before the `at`-th of all or of a kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count: Counter[str] = Counter()
        self.at, self.kind = 0, ""
        for owner, name in ((os, "replace"), (Path, "rename"), (shutil, "rmtree"), (files, "_write_all")):
            monkeypatch.setattr(owner, name, self._counted(name, getattr(owner, name)))

    def kill(self, at: int, kind: str = "") -> None:
        self.count.clear()
        self.at, self.kind = at, kind

    def _counted(self, name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count.update([name, ""])
            if self.at and self.count[self.kind] == self.at:
                raise Killed
            return true(*args, **kwargs)

        return counted


@pytest.fixture
def benches(bench: Bench) -> Callable[[str], Bench]:
    """Further sweeps on the same images and caches."""

    def make(name: str) -> Bench:
        other = object.__new__(Bench)
        other.sweep = SweepFolder(bench.sweep.path.with_name(name))
        other.common = bench.common
        return other

    return make


def work(bench: Bench, names: Iterable[str] = "abcd") -> list[RunFolder]:
    """Work through what is not done yet, in one pack."""
    folders = [bench.sweep.run(name) for name in names]
    for name, folder in zip(names, folders, strict=True):
        if not folder.config_file.is_file():
            bench.write(name, *COMMON, *ROWS[name])
    left = [folder for folder in folders if read_record(folder).status != "done"]
    if left:
        bench.work(left)
    return folders


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


@pytest.fixture
def whole(bench: Bench) -> list[RunFolder]:
    """The sweep that nobody disturbed."""
    return work(bench)


def as_if_nothing_had_been(whole: list[RunFolder], hurt: Bench) -> None:
    """Finish a sweep, and compare it with the whole one."""
    for one, other in zip(whole, work(hurt, [folder.name for folder in whole]), strict=True):
        records = read_record(one), read_record(other)
        assert records[1].status == "done"
        tags = [item.tag for item in records[0].checkpoints]
        assert [item.tag for item in records[1].checkpoints] == tags
        for tag in tags:
            a, b = (read_lora(folder.checkpoint(tag))[0] for folder in (one, other))
            assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a), (other.path, tag)
        logs = [[(row["step"], row["loss"]) for row in read_lines(run.steps_file)] for run in (one, other)]
        assert logs[0] == logs[1], other.path
    left = [
        path for path in hurt.sweep.path.rglob("*") if path.name == "state.pt" or TEMPORARY.match(path.name)
    ]
    assert not left


@pytest.mark.slow  # workers that are killed
def test_killed_among_its_states_a_pack_goes_on_in_step(
    bench: Bench, benches: Callable[[str], Bench], whole: list[RunFolder], writes: Writes
) -> None:
    # In the first group; when a run was at its end and its mates' group was not whole; while old states go.
    for kind, at in (("rename", 2), ("rename", 6), ("rmtree", 3)):
        hurt = benches(f"{kind}-{at}")
        writes.kill(at, kind)
        with pytest.raises(Killed):
            work(hurt)
        writes.kill(0)
        as_if_nothing_had_been(whole, hurt)


@pytest.mark.slow  # a pack of ten, four times
def test_ten_optimizers_killed_three_times_go_on_in_step(
    bench: Bench, benches: Callable[[str], Bench], writes: Writes
) -> None:
    whole = work(bench, TEN)
    hurt = benches("thrice")
    for kind, at in (("rename", 7), ("rename", 12), ("replace", 30)):
        writes.kill(at, kind)
        with pytest.raises(Killed):
            work(hurt, TEN)
    writes.kill(0)
    as_if_nothing_had_been(whole, hurt)


@pytest.mark.slow  # some twenty packs, each trained twice
def test_killed_at_any_write_a_pack_goes_on_in_step(
    bench: Bench, benches: Callable[[str], Bench], whole: list[RunFolder], writes: Writes
) -> None:
    writes.kill(0)
    work(benches("counted"))
    total = writes.count[""]
    assert total > 100
    for at in range(3, total, 7):
        hurt = benches(f"at-{at}")
        writes.kill(at)
        with pytest.raises(Killed):
            work(hurt)
        writes.kill(0)
        as_if_nothing_had_been(whole, hurt)


def states(*groups: tuple[int, str]) -> list[Saved]:
    """States of one run: the number of each one's group, and the runs in it."""
    return [
        Saved(Path(f"{number:08d}"), number, Group(f"g{number}", number, list(runs)))
        for number, runs in groups
    ]


@pytest.mark.parametrize(
    "own, expected",
    [
        ({"a": [(1, "ab"), (2, "ab")], "b": [(1, "ab"), (2, "ab")]}, {"a": 2, "b": 2}),
        ({"a": [(1, "ab"), (2, "ab")], "b": [(1, "ab")]}, {"a": 1, "b": 1}),
        # The first group is not whole, or a mate's state was lost later.
        ({"a": [(1, "ab")], "b": []}, {"a": None, "b": None}),
        ({"a": [(5, "ab")], "b": []}, {"a": 5, "b": None}),
        # A mate that went on alone does not come back, and one that has ended is not missed.
        ({"a": [(2, "ab")], "b": [(4, "bc")], "c": [(4, "bc")]}, {"a": 2, "b": 4, "c": 4}),
        ({"a": [(3, "ab")]}, {"a": 3}),
        # Saved alone by an earlier version.
        ({"a": [(0, "")], "b": [(0, "")]}, {"a": 0, "b": 0}),
    ],
)
def test_pack_mates_go_on_from_one_moment(
    own: dict[str, list[tuple[int, str]]], expected: dict[str, int | None]
) -> None:
    chosen = in_step({run: states(*groups) for run, groups in own.items()})
    assert {run: state and state.step for run, state in chosen.items()} == expected

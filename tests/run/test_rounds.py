"""Breadth first: a pack is set aside at a checkpoint, and ends as if it had not been."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from lora_lab.config import compose
from lora_lab.errors import ConfigError
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.rounds import next_round, round_end
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import RunFolder, SweepFolder, read_record
from tests.run.bench import Bench

FOUR = SaveSchedule(40, 10, 1, 0, 0, True)
"""Checkpoints after 10, 20, 30 and 40 updates."""


@pytest.mark.parametrize(
    ("rounds", "ends"), [(2, [20, 40]), (3, [20, 30, 40]), (4, [10, 20, 30, 40]), (8, [10, 10, 20, 20])]
)
def test_a_round_ends_with_a_checkpoint(rounds: int, ends: list[int]) -> None:
    assert [round_end(FOUR, number, rounds) for number in range(1, len(ends) + 1)] == ends


def test_where_a_pack_stands_follows_from_its_updates() -> None:
    short = SaveSchedule(10, 10, 1, 0, 0, True)
    assert next_round([(FOUR, 0)], 4) == 1
    assert next_round([(FOUR, 9)], 4) == 1
    assert next_round([(FOUR, 10)], 4) == 2
    # The one that is behind decides; the last round is no place to stop at.
    assert next_round([(FOUR, 30), (FOUR, 10)], 4) == 2
    assert next_round([(FOUR, 30)], 4) == 4
    # Its only checkpoint is the last: every round takes it to its end.
    assert next_round([(FOUR, 10), (short, 10)], 4) == 2
    assert next_round([(FOUR, 0)], 1) == 1


def weights(folders: Iterable[RunFolder]) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    return {
        (folder.name, item.tag): read_lora(folder.checkpoint(item.tag))[0]
        for folder in folders
        for item in read_record(folder).checkpoints
    }


@pytest.fixture
def twin(bench: Bench) -> Bench:
    """Another sweep on the same images and caches."""
    other = object.__new__(Bench)
    other.sweep, other.common = SweepFolder(bench.sweep.path.with_name("twin")), bench.common
    return other


def test_set_aside_and_taken_up_it_ends_bit_for_bit_the_same(bench: Bench, twin: Bench) -> None:
    rows = {
        "a": ("network.network_dim=3", "train.save_precision=fp32"),
        # In the middle of an update at the end of the round of the other.
        "b": ("network.network_dim=5", "train.save_precision=fp32", "train.gradient_accumulation_steps=2"),
    }
    whole, parts = ([one.write(name, *rows[name]) for name in rows] for one in (bench, twin))
    bench.work(whole)
    twin.work(parts, rounds=2)
    for folder in parts:
        record = read_record(folder)
        assert record.status == "planned" and record.reason.startswith("set aside at step ")
        assert [item.tag for item in record.checkpoints] == ["000001"]
        assert folder.saved_states() == [record.step]
        assert list((folder.path / "previews" / "000001").glob("*.png"))
    twin.work(parts, rounds=2)
    one, other = weights(whole), weights(parts)
    assert [read_record(folder).status for folder in parts] == ["done", "done"]
    assert {tag for _, tag in one} == {"000001", "000002"}
    assert one.keys() == {(name, tag) for name, tag in other}
    for key, tensors in one.items():
        assert all(torch.equal(tensors[name], other[key][name]) for name in tensors), key


def test_a_pack_whose_states_cannot_be_saved_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.write("a", "preview=off", "train.save_every_n_epochs=1")

    def full(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("lora_lab.run.together.save_state", full)
    monkeypatch.setattr("lora_lab.run.together._state_due", lambda task, step: False)
    bench.work([run], rounds=2)
    record = read_record(run)
    assert (record.status, [item.tag for item in record.checkpoints]) == ("done", ["000001", "000002"])


def test_a_stop_by_hand_is_heeded_between_rounds(bench: Bench) -> None:
    run = bench.write("a", "preview=off")
    run.stop_request.touch()
    bench.work([run], rounds=2)
    assert read_record(run).status == "stopped"
    assert Path(run.path / "checkpoints").is_dir() is False


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("engine.name=slurm", "engine.rounds=2 works with engine.name=local only"),
        ("engine.name=ray", "with ray set engine.rounds=1"),
        ("train.save_state=false", "engine.rounds=2 needs train.save_state=true"),
    ],
)
def test_rounds_are_refused_where_a_pack_cannot_be_set_aside(bench: Bench, extra: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compose([*bench.common, "engine.rounds=2", extra])
    compose([*bench.common, extra])

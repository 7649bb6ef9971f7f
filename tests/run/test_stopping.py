"""A run that is stopped by hand: at its next checkpoint, alone, and to go on later."""

from pathlib import Path

import pytest

from lora_lab.run.training import Training
from lora_lab.store import read_record
from lora_lab.store.locks import newest
from lora_lab.store.locks import take as claim
from tests.run.bench import Bench


@pytest.mark.slow
def test_it_ends_at_its_next_checkpoint_and_goes_on_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "mate", "third", "never")
    one, mate, third, never = (bench.write(name, "preview.seeds=[]") for name in names)
    never.stop_request.touch()
    take = Training._take

    def asked(self: Training, task, record):  # type: ignore[no-untyped-def]
        if task.name == "one" and record.step == 2:
            one.stop_request.touch()
        return take(self, task, record)

    monkeypatch.setattr(Training, "_take", asked)
    bench.work([one, mate, third, never], slots=2)
    record = read_record(one)
    assert (record.status, record.reason, record.step) == ("stopped", "by hand at epoch 1", 5)
    assert one.saved_states() == [5] and not one.stop_request.exists()
    assert [read_record(run).status for run in (mate, third)] == ["done", "done"], "its place was free"
    assert (read_record(never).status, read_record(never).reason) == ("stopped", "by hand before it began")
    bench.work([one])
    record = read_record(one)
    assert (record.status, record.step, record.resumed_at_steps) == ("done", 10, [5])
    assert [item.tag for item in record.checkpoints] == ["000001", "000002"]


def test_a_worker_that_lost_its_run_writes_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    one, mate = (bench.write(name, "preview.seeds=[]") for name in ("one", "mate"))
    do = Training._take

    def held_up(self: Training, task, record):  # type: ignore[no-untyped-def]
        if task.name == "one" and record.step == 2:
            # Another machine waited for a minute, took the run over, and is further by now.
            claim(one.lock_file, newest(one.lock_file))
            Path(one.run_file).write_text('{"status": "running", "step": 7}', encoding="utf-8")
            task.lock.lost()
        return do(self, task, record)

    monkeypatch.setattr(Training, "_take", held_up)
    bench.work([one, mate])
    record = read_record(one)
    assert (record.status, record.step) == ("running", 7)
    assert not one.saved_states() and not list(one.path.glob("checkpoints/*"))
    assert read_record(mate).status == "done"

import json
from pathlib import Path

import pytest

from lora_lab.data import steps
from lora_lab.data.buckets import assign
from lora_lab.data.order import Entry, Stream
from lora_lab.data.settings import BucketSettings
from lora_lab.errors import ConfigError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "steps.json").read_text())
ROWS = GOLDEN["rows"]


def _bucket_settings(kind: str, side: int) -> BucketSettings:
    step = {"off": 64, "steps64": 64, "steps32": 32}[kind]
    return BucketSettings((side, side), kind != "off", 32 if kind == "steps32" else 64, 128, step)


def _entries(row: dict) -> tuple[list[Entry], list[int]]:
    """The row's images as stream entries, and the batch size of each dataset."""
    data = GOLDEN["data"][row["data"]]
    sets = data.get("datasets") or [{"resolution": 64, "subsets": data["train"], "reg": data["reg"]}]
    entries, sizes = [], []
    for number, one in enumerate(sets):
        settings = _bucket_settings(row["bucket"], one["resolution"])
        subsets = one.get("subsets") or [one]
        train = [(size, s["repeats"]) for s in subsets for size in s["sizes"]]
        reg = [(size, s["repeats"]) for s in one.get("reg", []) for size in s["sizes"]]
        repeats = steps.regularisation_repeats([r for _, r in reg], sum(r for _, r in train))
        train += [(size, r) for (size, _), r in zip(reg, repeats, strict=True) if r]
        for size, count in train:
            bucket = assign(tuple(size), settings).bucket
            entries.append(Entry(str(len(entries)), bucket, count, number))
        sizes.append(row["batch_size"] + (1 if one.get("batch_size") == "bs+1" else 0))
    return entries, sizes


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['data']}-{r['bucket']}-{r['batch_size']}")
def test_batches_and_updates_are_the_peers(row):
    entries, sizes = _entries(row)
    per_dataset = [[e for e in entries if e.dataset == n] for n in range(len(sizes))]
    draws = [steps.draws_per_bucket((e.bucket, e.repeats) for e in part) for part in per_dataset]
    expected = [{tuple(b["reso"]): b["images"] for b in dataset} for dataset in row["buckets"]]
    assert draws == expected
    batches = sum(steps.batches_per_epoch(d, size) for d, size in zip(draws, sizes, strict=True))
    assert batches == row["batches_per_epoch"] == Stream(entries, sizes, 0).batches_per_epoch
    for run in row["runs"]:
        length = steps.run_length(
            batches,
            run["grad_accum"],
            max_train_epochs=run.get("max_train_epochs"),
            max_train_steps=run.get("max_train_steps_given"),
        )
        assert length.updates == run["max_train_steps"]
        assert length.epochs == run.get("num_epochs", run.get("max_train_epochs"))


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_simulated_batches_are_consumed(accumulation):
    runs = [
        (row, run)
        for row in ROWS
        for run in row["runs"]
        if "simulated" in run and run["grad_accum"] == accumulation
    ]
    for row, run in runs:
        stream = Stream(*_entries(row), 0)
        consumed = sum(
            len(stream.update(u, accumulation)) for u in range(run["simulated"]["optimizer_steps"])
        )
        assert consumed == run["simulated"]["batches_consumed"]
    assert accumulation == 3 or runs


def test_worked_examples():
    # 30 images in buckets of 11, 10 and 9, batch 4: 9 batches, not 7.5
    assert steps.updates_per_epoch({"a": 11, "b": 10, "c": 9}, 1, 4) == 9
    assert steps.updates_per_epoch({"a": 30}, 15, 1) * 20 == 9000
    assert steps.run_length(1 * 5, max_train_epochs=800).updates == 4000
    assert steps.run_length(450, max_train_epochs=20, max_train_steps=4000) == steps.RunLength(4000, 9, 450)


@pytest.mark.parametrize("arguments", [{}, {"max_train_epochs": None}])
def test_a_run_needs_a_length(arguments):
    with pytest.raises(ConfigError, match=r"train\.max_train_epochs"):
        steps.run_length(3, **arguments)


def test_an_empty_epoch_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        steps.run_length(0, max_train_epochs=1)


def test_regularisation_images_beyond_need_are_not_used():
    assert steps.regularisation_repeats([1] * 40, 10) == [1] * 10 + [0] * 30
    assert steps.regularisation_repeats([2] * 5, 36) == [8, 7, 7, 7, 7]
    assert steps.regularisation_repeats([], 36) == []

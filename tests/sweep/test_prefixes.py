"""Which rows of a plan take the weights of a longer one, and which are trained apart."""

import json
from collections.abc import Sequence
from pathlib import Path

from lora_lab.store import Checkpoint, RunRecord, write_record
from lora_lab.sweep import read_sweep
from lora_lab.sweep.launch import prepare

STEADY = (
    "base: [base_model=sd15, dataset.resolution=64, dataset.min_bucket_reso=64, dataset.max_bucket_reso=64, "
    "lr_scheduler=constant, train.max_train_epochs=4, dataset.repeats=3]\n"
)
LENGTHS = STEADY + (
    "patterns: {a: [], long: [train.max_train_epochs=8], few: [dataset.repeats=1], "
    "capped: [train.max_train_steps=7], other: [network.network_alpha=2, train.max_train_epochs=8]}\n"
)


def prefixes(found) -> dict[str, str]:
    return {row.name: row.prefix_of for row in found.rows}


def test_epochs_repeats_and_caps_are_labels_of_one_training(make) -> None:
    found = make(LENGTHS)
    assert prefixes(found) == {"a": "long", "long": "", "few": "long", "capped": "long", "other": ""}
    assert found.packs == [["long", "other"]] or found.packs == [["other", "long"]]
    assert sorted(found.followers("long")) == ["a", "capped", "few"] and found.followers("other") == []
    assert found.row("a").reason == "prefix of long: its weights after 360 of 720 steps"
    assert found.row("a").pack == found.row("long").pack
    assert {row["name"]: row["prefix_of"] for row in found.to_json()["rows"]} == prefixes(found)


def test_trained_apart_on_request(make) -> None:
    found = make(LENGTHS, "engine.share_prefixes=false")
    assert not any(prefixes(found).values()) and sum(map(len, found.packs)) == 5


def test_what_looks_ahead_is_trained_apart_and_why_is_said(make) -> None:
    by_name = "depends on the run's length"
    for setting, reason in {
        "lr_scheduler=cosine": f"lr_scheduler.name=cosine {by_name}",
        "lr_scheduler=constant_with_warmup lr_scheduler.lr_warmup_steps=0.1": by_name,
        "dataset.shuffle_caption=true dataset.token_warmup_step=0.5": "token_warmup_step below 1 is a share",
    }.items():
        found = make(LENGTHS, *setting.split())
        assert not any(prefixes(found).values()), setting
        # A warmup by a share ends at another step in every length: those do not differ in length alone.
        said = [text for text in found.warnings if reason in text]
        assert bool(said) == ("lr_warmup_steps" not in setting), (setting, found.warnings)
    for setting in (
        "lr_scheduler=constant_with_warmup lr_scheduler.lr_warmup_steps=5",
        "dataset.shuffle_caption=true dataset.token_warmup_step=5",
    ):
        assert prefixes(make(LENGTHS, *setting.split()))["a"] == "long", setting


def test_where_an_epoch_ends_in_a_smaller_batch_repeats_are_no_label(make) -> None:
    # 30 images x 1 and x 3 in batches of 4: 8 and 23 batches an epoch, the last one smaller.
    found = make(LENGTHS, "train.train_batch_size=4")
    assert prefixes(found) == {"a": "long", "long": "", "few": "", "capped": "long", "other": ""}


def test_states_are_kept_of_runs_that_are_trained_alone(make) -> None:
    assert not any(prefixes(make(LENGTHS, "train.keep_state=true")).values())


def left(found, name: str, status: str, steps: Sequence[int] = (), state: int = 0) -> None:
    """A run's folder as an earlier launch left it."""
    run, row = found.folder.run(name), found.row(name)
    items = []
    for tag, step in zip(row.checkpoints, steps, strict=False):
        file = run.checkpoint(tag)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        items.append(Checkpoint(tag, str(file.relative_to(run.path)), 1, step, step))
    if state:
        run.state(state).mkdir(parents=True)
    prints = {"fingerprint": row.fingerprint, "preview_fingerprint": row.preview_fingerprint}
    write_record(run, RunRecord(status=status, checkpoints=items, **prints))


def test_going_on_it_follows_only_where_all_it_lacks_is_still_before_the_leader(make) -> None:
    found = make(LENGTHS)
    left(found, "long", "cancelled", state=300)
    again = make(LENGTHS)
    assert again.row("long").status == "resume"
    # `a` saves at 180 and 360, and the leader is past the first; `capped` has `a` to follow.
    assert prefixes(again) == {"a": "", "long": "", "few": "a", "capped": "a", "other": ""}
    left(found, "a", "cancelled", [180])
    assert prefixes(make(LENGTHS))["a"] == "long", "it has the one that is past"


def test_from_a_run_that_is_done_only_what_it_saved(make) -> None:
    left(make(LENGTHS), "long", "done", [180, 360, 540, 720])
    again = make(LENGTHS)
    assert again.row("long").status == "done"
    assert prefixes(again) == {"a": "long", "long": "", "few": "", "capped": "few", "other": ""}
    assert not again.row("a").follows and any("a" in pack for pack in again.packs)


def test_the_records_say_who_takes_from_whom(make, tmp_path: Path) -> None:
    found = make(LENGTHS)
    prepare(found, read_sweep(tmp_path / "try.yaml"))
    records = {
        name: json.loads(found.folder.run(name).run_file.read_text(encoding="utf-8"))
        for name in ("a", "long", "other")
    }
    assert records["long"]["adopters"] == ["a", "few", "capped"] and records["a"]["prefix_of"] == "long"
    assert records["other"]["adopters"] == [] and records["other"]["prefix_of"] == ""

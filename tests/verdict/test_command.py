"""`lora-lab verdict` on a sweep's folder."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lora_lab.__main__ import main
from lora_lab.config import compose, dump
from lora_lab.effective import Facts, resolve
from lora_lab.store import (
    Checkpoint,
    Preview,
    RunRecord,
    SweepFolder,
    append_score_line,
    read_record,
    write_record,
)
from lora_lab.verdict.gather import evidence

ROWS = {
    "base": [],
    "base-2": ["train.seed=24"],
    "base-3": ["train.seed=25"],
    "alpha-1": ["network.network_alpha=1"],
    "ada": ["optimizer=adafactor", "optimizer.learning_rate=1e-4"],
    "ada-again": ["optimizer=adafactor", "optimizer.learning_rate=1e-2"],
    "lion": ["optimizer=lion", "optimizer.learning_rate=1e-3"],
}
SCORES = {"base": 71, "base-2": 69, "base-3": 70, "alpha-1": 30, "ada": 50}


@pytest.fixture
def sweep(template: Path, tmp_path: Path) -> SweepFolder:
    """A copy of the template."""
    return SweepFolder(Path(shutil.copytree(template, tmp_path / "made")))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with replicates, a duplicate, a failure; nothing is scored."""
    made, rows = SweepFolder(tmp_path_factory.mktemp("results") / "made"), []
    for name, own in ROWS.items():
        given = ["base_model=sd15", "base_model.path=m", "dataset.path=d", *own]
        config = compose(given)
        acting = resolve(config, Facts())
        folder = made.run(name)
        folder.path.mkdir(parents=True)
        dump(config, folder.config_file)
        same = "ada" if name == "ada-again" else ""
        record = RunRecord(status="done", fingerprint=same or name, same_as=same, images=10)
        if name == "lion":
            record.status, record.reason = "diverged", "the loss is nan at step 8"
        elif not same:
            record.checkpoints = [
                Checkpoint(f"{epoch:06d}", f"x-{epoch}", epoch, 10 * epoch, 20 * epoch, seconds=60.0 * epoch)
                for epoch in (10, 20)
            ]
            for item in record.checkpoints:
                item.metrics = {"likeness": float(SCORES[name] + item.epoch)}
        write_record(folder, record)
        changes = {} if name == "base" else {text.split("=")[0]: {} for text in own}
        rows.append(
            {"name": name, "effective": acting.acting, "fingerprint": record.fingerprint, "overrides": given,
             "changes": changes, "inert": [{"key": item.key, "reason": item.reason} for item in acting.inert]}
        )  # fmt: skip
    made.plan_file.write_text(json.dumps({"rows": rows}))
    made.sweep_file.write_text("question: Which?\n")
    return made.path


def score(sweep: SweepFolder, rater: str = "anna", shift: int = 0) -> None:
    for number, (run, value) in enumerate(SCORES.items()):
        own = {"session": rater, "rater": rater, "run": run, "tag": "000020"}
        append_score_line(sweep, "score", **own, position=number, value=value + shift)


def verdict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["verdict", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_without_scores_the_way_out_is_said(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = verdict(capsys, sweep.path)
    assert code == 2
    assert (
        "no run of made has a score yet: `lora-lab review made`" in told
        and "--metric NAME (likeness)" in told
    )


def test_a_verdict_in_words(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    score(sweep)
    code, told = verdict(capsys, sweep.path)
    words = " ".join(told.split())
    assert code == 0
    assert "made: Which?" in words
    assert "noise floor: measured 1" in words and "on 2 df (base, base-2, base-3), reckoned with 5.4" in words
    assert "16 -> 1 1 -40" in words and "hurts" in words and "hurts *" not in words, "it was run once"
    assert "ada-again and ada are one experiment and count once" in words
    assert "lion: diverged: the loss is nan at step 8" in words
    assert "recommended: base" in words
    assert max(map(len, told.splitlines())) <= 120


def test_a_verdict_in_japanese_has_the_same_numbers(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    score(sweep)
    _, english = verdict(capsys, sweep.path)
    code, japanese = verdict(capsys, sweep.path, "--language", "ja")
    words = "".join(japanese.split())
    assert code == 0
    assert "ada-againとadaは同じ実験で、1件として数えた" in words and "悪くなる" in words
    assert not re.search(r"noise floor|comparisons|recommended|differ|reckoned", japanese)
    numbers = re.compile(r"[+-]\d+(?:\.\d+)?")
    for number in numbers.findall(english):
        assert number in words
    code, told = verdict(capsys, sweep.path, "--language", "fr")
    assert code == 2 and "--language fr: must be en or ja" in told


def test_a_metric_is_said_loudly(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = verdict(capsys, sweep.path, "--metric", "likeness")
    assert code == 0 and "JUDGED BY THE AUTOMATIC METRIC likeness" in told
    code, told = verdict(capsys, sweep.path, "--metric", "dino")
    assert code == 2 and "has a metric 'dino'; there are: likeness" in told
    code, told = verdict(capsys, sweep.path, "--metric", "likeness", "--rater", "anna")
    assert code == 2 and "leave out --rater" in told


def test_a_metric_that_doing_nothing_wins_is_no_judge(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in sweep.runs():
        record = read_record(run)
        for checkpoint in record.checkpoints:
            checkpoint.metrics["drift"] = 0.1
        write_record(run, record)
    code, told = verdict(capsys, sweep.path, "--metric", "drift")
    assert code == 2 and "--metric drift: less of it is better" in told


def test_json_has_everything(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    score(sweep)
    score(sweep, "ben", shift=-10)
    code, told = verdict(capsys, sweep.path, "--json")
    found: dict[str, Any] = json.loads(told)
    assert code == 0 and found["noise"]["source"] == "measured"
    assert found["rater_alpha"] < 1 and len(found["evidence"]["raters"]) == 2
    alpha = next(item for item in found["settings"] if item["key"] == "network.network_alpha")
    assert alpha["call"] == "hurts" and alpha["contrasts"][0]["pairs"][0]["other"] == "alpha-1"
    code, told = verdict(capsys, sweep.path, "--json", "--rater", "ben")
    assert json.loads(told)["evidence"]["raters"][0]["name"] == "ben"
    code, told = verdict(capsys, sweep.path, "--rater", "bert")
    assert code == 2 and "no scores of 'bert': it has scores of anna, ben" in told


def test_checkpoints(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    score(sweep)
    found = evidence(sweep, score="best")
    assert found.run("base").chosen == "000020"
    assert evidence(sweep, score="20").run("base").score == 71
    assert evidence(sweep, score="10").scored == ()
    code, told = verdict(capsys, sweep.path, "--checkpoint", "30")
    assert code == 2 and "has a checkpoint '30'; there are: 000010, 000020" in told
    code, told = verdict(capsys, sweep.path, "--checkpoint", "10")
    assert code == 2 and "checkpoint 000010 is not scored yet" in told


def test_evidence_of_a_run(sweep: SweepFolder) -> None:
    score(sweep)
    found = evidence(sweep)
    base, again = found.run("base"), found.run("ada-again")
    assert base.seed != found.run("base-2").seed and base.group == found.run("base-3").group == "base"
    assert "train.seed" not in base.settings and base.changes == ()
    assert base.train_minutes == 20 and base.checkpoints[1].exposures == 40
    assert again.same_as == "ada" and again.score == 50 and again.inert[0].key == "optimizer.learning_rate"
    assert found.run("lion").usable is False and found.run("lion").score is None


def test_runs_of_an_earlier_version_are_read_from_their_configs(sweep: SweepFolder) -> None:
    sweep.plan_file.unlink()
    score(sweep)
    found = evidence(sweep)
    assert found.run("alpha-1").settings["network.network_alpha"] == 1
    assert found.run("base").group == found.run("base-2").group
    assert any("an earlier version trained these runs" in text for text in found.notes)


def test_comparisons_stand_apart(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    score(sweep)
    for number in range(3):
        append_score_line(
            sweep, "pair", session="p", rater="anna", left=["base", "000020"], right=["ada-again", "000020"],
            position=number, result="left",
        )  # fmt: skip
    before = json.loads(verdict(capsys, sweep.path, "--json")[1])
    assert [row["place"] for row in before["ranking"]] == [["base", "000020"], ["ada", "000020"]]
    assert before["evidence"]["runs"][0]["score"] == 71
    assert "blind comparisons: 3, a ranking apart from the scores" in verdict(capsys, sweep.path)[1]


def test_a_table_needs_no_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    article = Path(__file__).parents[1] / "data" / "article.csv"
    code, told = verdict(capsys, "--scores", article)
    assert code == 0 and "seems to hurt" in told and "run-to-run variation not measured" in told
    code, told = verdict(capsys)
    assert code == 2 and "say which sweep" in told


def test_damaged_lines_are_named_by_verdict_and_table(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    score(sweep)
    lines = sweep.scores_file.read_text().splitlines()
    broken = json.loads(lines[0]) | {"id": "x", "value": "70"}
    sweep.scores_file.write_text("\n".join([*lines, json.dumps(broken)]) + "\n")
    words = f"1 damaged line of {sweep.scores_file} left out: line {len(lines) + 1}: value"
    code, text = verdict(capsys, sweep.path, "--json")
    assert code == 0 and any(note.startswith(words) for note in json.loads(text)["notes"])
    assert main(["table", str(sweep.path)]) == 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ANNA", " anna ", "Anna"])
def test_a_rater_is_found_in_every_spelling(
    sweep: SweepFolder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    score(sweep)
    assert verdict(capsys, sweep.path, "--rater", name)[0] == 0


def test_two_spellings_of_a_rater_do_not_flip_the_recommendation(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for number, names in enumerate((("AB", "AB"), ("AB", "ab"))):
        sweep = SweepFolder(Path(shutil.copytree(template, tmp_path / str(number) / "made")))
        for name, runs in zip(names, (("base", "base-2"), ("alpha-1", "base-3", "ada")), strict=True):
            for place, run in enumerate(runs):
                own = {"session": name, "rater": name, "run": run, "tag": "000020", "position": place}
                append_score_line(sweep, "score", **{**own, "session": "s"}, value=SCORES[run])
        found[names] = json.loads(verdict(capsys, sweep.path, "--json")[1])
    one, other = found.values()
    assert [rater["name"] for rater in other["evidence"]["raters"]] == ["AB"]
    assert other["recommendation"] == one["recommendation"]


def test_scores_of_images_that_were_rendered_anew_are_named(sweep: SweepFolder) -> None:
    own = {"session": "s", "rater": "anna", "tag": "000020", "position": 0}
    for run in ("base", "alpha-1"):
        record = read_record(sweep.run(run))
        record.checkpoints[-1].previews = [Preview("p.png", 0, 7, 1.0, "hat", drawn="hat 7 1")]
        write_record(sweep.run(run), record)
        drawn = "hat 7 1" if run == "base" else "smile 7 1"  # another prompt was rendered since
        append_score_line(sweep, "score", **own, run=run, value=50, shots=[[0, 7, 1.0]], drawn=[drawn])
    notes = " ".join(evidence(sweep).notes)
    assert "1 of 2 scores were given to images that others have replaced since" in notes

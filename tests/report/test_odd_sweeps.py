"""Sweeps with odd words and odd runs, through everything that reads them."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab import config
from lora_lab.__main__ import main
from lora_lab.lora_files.disk import save_lora
from lora_lab.plots import Look, plots, subject, write
from lora_lab.report import write_report
from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder
from lora_lab.store.reading import read_sweep_folder
from tests import scored
from tests.report.test_export import METADATA, weights

WORDS = ("$\\bad{$", "a$b$c_2", "$x^{", "50 % of $", "みこ", "_a_ *b* <i>")


def change(sweep: SweepFolder, name: str, key: str, value: object) -> None:
    made = config.load(sweep.run(name).config_file, checked=False)
    group, _, field = key.rpartition(".")
    setattr(getattr(made, group), field, value)
    config.dump(made, sweep.run(name).config_file)


SLOW = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("word", WORDS)
def test_words_with_dollars_are_drawn_as_they_stand(tmp_path: Path, word: str) -> None:
    sweep = scored.sweep(tmp_path)
    change(sweep, "alpha-16", "dataset.trigger_word", word)
    change(sweep, "base", "dataset.trigger_word", "plain")
    about = subject(sweep)
    made = [plot for plot in plots(about) if "trigger_word" in plot.name]
    assert made
    files = write(made, tmp_path / "plots", ["png", "svg"], Look(outlines=False))
    svg = next(file for file in files if file.suffix == ".svg").read_text(encoding="utf-8")
    shown = word.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown in svg


@pytest.mark.slow
def test_a_report_of_odd_words_is_written(tmp_path: Path) -> None:
    sweep = scored.sweep(tmp_path, images=True)
    for name, word in zip(("base", "alpha-16", "alpha-64", "lion"), WORDS, strict=False):
        change(sweep, name, "dataset.trigger_word", word)
    text = write_report(subject(sweep), tmp_path / "report").read_text(encoding="utf-8")
    assert "a$b$c_2" in text


@pytest.mark.parametrize(
    ("key", "text"),
    [("loss.huber_c", ".inf"), SLOW("loss.huber_c", ".nan"), SLOW("network.network_alpha", "-.inf"),
     SLOW("network.network_alpha", ".nan"), ("network.network_alpha", "1e+308"),
     SLOW("loss.huber_c", "1" + 400 * "0")],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_a_run_of_an_impossible_number_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, text: str
) -> None:
    sweep = scored.sweep(tmp_path, images=True)
    file = sweep.run("alpha-16").config_file
    change(sweep, "alpha-16", "loss.loss_type", "huber")
    change(sweep, "alpha-16", key, 777.5)
    file.write_text(file.read_text().replace("777.5", text))
    for words in (["verdict", "--json"], ["verdict"], ["table"], ["table", "--csv"], ["table", "--json"]):
        assert main([words[0], str(sweep.path), *words[1:]]) == 0, capsys.readouterr().err
    write_report(subject(sweep), tmp_path / "report")


@pytest.mark.slow
def test_a_report_and_plots_of_damaged_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = scored.sweep(tmp_path, images=True)
    sweep.run("alpha-16").run_file.write_text('{"status": 5}')
    sweep.run("lion").config_file.write_text("colour: red")
    sweep.run("alpha-64").steps_file.write_text('{"step": "x"}\n{"step": 1, "loss": "low"}\n')
    write(plots(subject(sweep)), tmp_path / "plots", ["svg"], Look(), data=True)
    html = write_report(subject(sweep), tmp_path / "report").read_text(encoding="utf-8")
    assert "not compared with the others: alpha-16" in html and "not compared with the others: lion" in html
    assert main(["verdict", str(sweep.path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("not compared with the others: ")


def test_where_nothing_can_be_compared_that_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = scored.sweep(tmp_path)
    for run in sweep.runs():
        run.config_file.write_text("colour: red")
    assert main(["verdict", str(sweep.path)]) == 2
    assert capsys.readouterr().err.startswith("lora-lab: not compared with the others: ")


def test_runs_of_an_earlier_version_are_not_paired_with_newer_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lora_lab.store import read_record, write_record

    sweep = scored.sweep(tmp_path)
    for name, run in read_sweep_folder(sweep.path).runs.items():
        if name != "alpha-64":
            record = read_record(sweep.run(name))
            # The version of today knows of the images that every caption has the trigger word.
            record.resolved = {"acting": {**run.acting.settings, "train.seed": run.acting.seed,
                                          "dataset.trigger_word": ""}, "inert": []}  # fmt: skip
            write_record(sweep.run(name), record)
    assert main(["verdict", str(sweep.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (gap,) = found["evidence"]["gaps"]
    assert "alpha-64" in gap and "start its sweep again" in gap
    assert found["together"] == []
    paired = {
        pair["other"] for item in found["settings"] for one in item["contrasts"] for pair in one["pairs"]
    }
    assert "alpha-16" in paired and "alpha-64" not in paired


def test_the_mean_that_an_effect_is_measured_against_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = scored.sweep(tmp_path, images=True)
    monkeypatch.setattr("lora_lab.report.page.plots", lambda subject: [])
    for language, words in (("en", "mean of 2 seeds 85"), ("ja", "シード2個の平均85")):
        html = write_report(subject(sweep), tmp_path / language, language).read_text(encoding="utf-8")
        assert html.count(words) >= 3, "in the table of runs, and above the images that are compared"


@pytest.mark.parametrize("encoding", ["cp1252", SLOW("ascii"), SLOW("latin-1"), "utf-8"])
@pytest.mark.parametrize("words", [["table"], ["table", "--csv"], ["verdict"]])
def test_a_terminal_that_has_no_japanese_ends_nothing(
    tmp_path: Path, encoding: str, words: list[str]
) -> None:
    sweep = scored.sweep(tmp_path)
    change(sweep, "alpha-16", "dataset.trigger_word", "みこ🐈")
    change(sweep, "base", "dataset.trigger_word", "Café")
    ran = subprocess.run(
        [sys.executable, "-m", "lora_lab", words[0], str(sweep.path), *words[1:]],
        capture_output=True, env={"PYTHONIOENCODING": encoding, "PATH": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    out = ran.stdout.decode(encoding)
    if words[0] == "table":
        assert ("みこ🐈" if encoding == "utf-8" else "\\u307f\\u3053\\ud83d\\udc08") in "".join(out.split())


def test_json_on_such_a_terminal_is_the_same_text(tmp_path: Path) -> None:
    sweep = scored.sweep(tmp_path)
    change(sweep, "alpha-16", "dataset.trigger_word", "みこ🐈 Café")
    ran = subprocess.run(
        [sys.executable, "-m", "lora_lab", "table", str(sweep.path), "--json"],
        capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )  # fmt: skip
    found = {row["run"]: row["dataset.trigger_word"] for row in json.loads(ran.stdout)}
    assert found["alpha-16"] == "みこ🐈 Café"


def test_a_run_of_an_infinite_number_is_looked_at_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = scored.sweep(tmp_path, images=True)
    change(sweep, "alpha-16", "loss.loss_type", "huber")
    change(sweep, "alpha-16", "loss.huber_c", 777.5)
    file = sweep.run("alpha-16").config_file
    file.write_text(file.read_text().replace("777.5", ".inf"))
    with TestClient(create_app(tmp_path), "http://127.0.0.1:7868") as client:
        for page in (
            "look",
            "look?rows=loss.huber_c",
            "look/settings",
            "look/curves",
            "look/view?run=alpha-16",
        ):
            assert client.get(f"/sweep/made/{page}").status_code == 200, page
    for run in ("base", "alpha-16"):
        save_lora(sweep.run(run).checkpoint("000020"), weights(), {**METADATA, "lora_lab.fingerprint": ""})
    words = ["export", str(sweep.path), "base:20", "-o", str(tmp_path / "out")]
    assert main(words) == 0, capsys.readouterr().err

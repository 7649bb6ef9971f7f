"""The commands plot, report and export on the command line."""

import json
from pathlib import Path

import pytest

from lora_lab import config
from lora_lab.__main__ import main
from lora_lab.cli import add
from lora_lab.outputs import contents
from lora_lab.store import RunFolder, RunRecord
from lora_lab.store.reading import Run
from tests import scored


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.sweep(tmp_path_factory.mktemp("commands")).path


def test_plots_go_beside_the_sweep_or_where_the_user_says(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(sweep), "timings"]) == 0
    assert capsys.readouterr().out.split() == [str(sweep / "plots" / "timings.png")]
    words = [
        "plot",
        str(sweep),
        "setting",
        "--setting",
        "network_alpha",
        "--format",
        "svg",
        "--data",
        "-o",
        str(tmp_path),
    ]
    assert main(words) == 0
    assert {file.suffix for file in contents(tmp_path)} == {".svg", ".csv"}


def test_a_plot_that_stands_on_a_metric_says_so(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(sweep), "epochs", "--metric", "likeness", "-o", str(tmp_path)]) == 0
    assert "automatic metric 'likeness'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plot", "{}", "los"], "did you mean loss"),
        (["plot", "{}", "--setting", "network_dim"], "does not differ within the sweep"),
        (["plot", "{}", "--metric", "beauty"], "beauty"),
        (["plot", "{}", "timings", "--format", "pdf"], "png or svg"),
        (["plot", "{}-not"], "there are no results"),
        (["report", "{}", "--language", "de"], "en or ja"),
        (["export", "{}", "bse"], "there are: base"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_clear_message(
    sweep: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(sweep) for word in words]) == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error


def test_a_report_is_written(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_lab.report.page.plots", lambda subject: [])
    assert main(["report", str(sweep), "--language", "ja", "-o", str(tmp_path / "out")]) == 0
    assert "index.html (0." in capsys.readouterr().out
    assert '<html lang="ja">' in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["plot", "timings"], "timings.png"),
        (["plot", "timings", "--data", "--format", "svg"], "timings.csv"),
        pytest.param(["report"], "index.html", marks=pytest.mark.slow),
        (["suggest", "--metric", "likeness"], "next.yaml"),
        (["table"], "made.csv"),
        (["table"], "made.json"),
    ],
)  # fmt: skip
def test_no_command_overwrites_what_it_did_not_write(
    sweep: Path, tmp_path: Path, words: list[str], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one_file = words[0] in ("table", "suggest")
    target = tmp_path / file
    command = [words[0], str(sweep), *words[1:], "-o", str(target if one_file else tmp_path)]
    target.write_text("mine")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"{file} (lora-lab did not write it)" in error and "-o" in error
    assert target.read_text() == "mine" and [item.name for item in tmp_path.iterdir()] == [file]
    target.unlink()
    for _ in range(2):
        assert main(command) == 0
    target.write_text("edited")
    assert main(command) == 2 and target.read_text() == "edited"


@pytest.mark.parametrize("command", ["table", "plot", "report", "export"])
def test_every_reader_of_scores_knows_raters(
    sweep: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(sweep), "--rater", "bert"]) == 2
    assert "no scores of 'bert': it has scores of anna" in capsys.readouterr().err


def test_a_table_by_one_raters_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored.sweep(tmp_path)
    scored.give(folder, "base", "000020", "Ben", 10)
    found = {}
    for rater in ("ANNA", "ben"):
        assert main(["table", str(folder.path), "--json", "--rater", rater]) == 0
        rows = json.loads(capsys.readouterr().out)
        found[rater] = {row["score"] for row in rows if (row["run"], row["tag"]) == ("base", "000020")}
    assert found == {"ANNA": {90.0}, "ben": {10.0}}


def test_what_is_known_of_an_added_lora_is_what_it_has_otherwise() -> None:
    run = Run(RunFolder(Path("results/s/base")), RunRecord(), config.RunConfig())
    same = {"train.seed": run.settings["train.seed"], "optimizer.args": {}}
    assert add._known({}, run) == "its file does not say how it was trained"
    assert add._known({**same, "network.network_dim": 77}, run) == (
        "3 settings known, otherwise than in base: network.network_dim=77"
    )
    assert add._known(same, run) == "2 settings known, otherwise than in base: none"
    assert add._known({"train.seed": 5}, None) == "1 setting known: train.seed=5"

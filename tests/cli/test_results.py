"""The commands plot, report and export on the command line."""

from pathlib import Path

import pytest

from lora_lab.__main__ import main
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
    assert {file.suffix for file in tmp_path.iterdir()} == {".svg", ".csv"}


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

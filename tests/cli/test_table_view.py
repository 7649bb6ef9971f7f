"""The table of results at any width of a terminal, its columns and its order."""

import pytest

from lora_lab.__main__ import main
from lora_lab.cli.table_view import Column, fitting, widths
from tests import scored


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(scored.sweep(tmp_path_factory.mktemp("tables")).path)


def shown(
    words: list[str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What `table` prints into a terminal of that many letters."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("lora_lab.cli.table_view.console", lambda: _console(columns))
    assert main(["table", *words]) == 0
    return capsys.readouterr().out.splitlines()


def _console(columns: int) -> object:
    from rich.console import Console

    return Console(highlight=False, width=columns)


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_no_number_is_broken_and_what_has_no_room_is_named(
    sweep: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown([sweep], columns, monkeypatch, capsys)
    main(["table", sweep, "--columns", "run,score", "--csv"])
    scores = [line.split(",")[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert any(scores)
    for score in filter(None, scores):
        assert any(f"{float(score):.4g}" in line.split() for line in lines), (score, lines)
    named = [line for line in lines if line.startswith("no room for")]
    assert bool(named) == (40 < columns < 100), "at 40, rows are entries of several lines"


def test_columns_are_called_by_what_stands_over_them(sweep: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", sweep, "--columns", "run,settings,train s", "--csv"]) == 0
    run, *settings, seconds = capsys.readouterr().out.splitlines()[0].split(",")
    assert (run, seconds) == ("run", "train_seconds")
    assert settings and all("." in key for key in settings)


def test_a_terminal_of_80_letters_is_not_overrun(
    sweep: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown([sweep], 80, monkeypatch, capsys)
    rule = next(number for number, line in enumerate(lines) if line.startswith("───"))
    assert all(len(line) <= 80 for line in lines[: rule + 10])


def test_columns_go_in_the_stated_order_and_what_stands_for_a_score_last() -> None:
    texts = [Column("run", "run", ("a" * 20,)), Column("settings", "settings", ("b" * 40,))]
    keys = ("step", "loss", "metric.likeness", "metric.base_distance")
    numbers = [Column(key, key[:8], ("12345678",), True) for key in keys]
    kept, left_out = fitting([*texts, *numbers], 60)
    assert [item.key for item in left_out] == ["step", "metric.base_distance"]
    assert [item.key for item in kept] == ["run", "settings", "loss", "metric.likeness"]
    assert widths(kept, 60) == [20, 18, 8, 8]


def test_columns_and_order_are_the_users(sweep: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", sweep, "--columns", "score,run", "--sort", "score", "--reverse", "--csv"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "score,run"
    numbers = [float(row.split(",")[0]) for row in rows if row.split(",")[0]]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) > 2
    empty = [row.startswith(",") for row in rows]
    assert empty == sorted(empty), "rows without the number are last, whichever way"


def test_settings_that_end_alike_are_called_by_their_whole_names(
    sweep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`path=` may be the base model's or the images', `name=` the optimizer's or the run's."""
    assert main(["table", sweep]) == 0
    words = capsys.readouterr().out.split()
    assert "optimizer.name=lion" in words and "network_alpha=16" in words
    assert not any(word.startswith(("name=", "path=")) for word in words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--columns", "run,likness"], "did you mean metric.likeness"),
        (["--sort", "beauty"], "there is no column 'beauty'"),
        (["--columns", "run,,"], None),
    ],
)
def test_an_unknown_column_is_named_with_the_known_ones(
    sweep: str, words: list[str], says: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["table", sweep, *words])
    assert code == (2 if says else 0)
    assert (says or "") in capsys.readouterr().err

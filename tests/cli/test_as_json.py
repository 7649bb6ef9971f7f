"""`--json`: every command has it, and prints one JSON value and nothing else."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from lora_lab.__main__ import main
from lora_lab.cli import COMMANDS
from lora_lab.cli.as_json import print_json
from lora_lab.cli.command import Command
from tests import scored
from tests.loras.made import kohya


def every() -> Iterator[tuple[str, Command]]:
    for command in COMMANDS:
        for verb in command.verbs or (command,):
            yield (f"{command.name} {verb.name}" if command.verbs else command.name), verb


def test_every_command_has_it() -> None:
    without = []
    for name, command in every():
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        if not any("--json" in action.option_strings for action in parser._actions):
            without.append(name)
    assert not without


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.sweep(tmp_path_factory.mktemp("json")).path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_files_that_were_written(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plots = told(capsys, "plot", str(sweep), "timings", "-o", str(tmp_path / "plots"))
    assert plots == {"criterion": "score", "files": [str(tmp_path / "plots" / "timings.png")]}
    made = told(capsys, "suggest", str(sweep), "--n", "2", "-o", str(tmp_path / "next.yaml"))
    assert made["file"] == str(tmp_path / "next.yaml") and Path(made["file"]).is_file()
    assert {"base", "rows", "expected_of_recommended", "model"} <= set(made)
    drawn = told(capsys, "demo-data", str(tmp_path / "miko"), "--images", "2")
    assert drawn["images"] == 2 and len(list(Path(drawn["folder"]).glob("*.png"))) == 2


def test_a_report_is_its_page(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_lab.report.page.plots", lambda subject: [])
    report = told(capsys, "report", str(sweep), "-o", str(tmp_path))
    assert Path(report["page"]) == tmp_path / "index.html" and report["bytes"] > 1000


def test_runs_that_are_stopped(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "stop", str(sweep), "base", "broken")
    assert said == [
        {"run": "base", "said": "has ended already: done"},
        {"run": "broken", "said": "has ended already: diverged"},
    ]


def test_new_lora_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a.safetensors", 0), ("b.safetensors", 1)):
        save_file(kohya(seed=seed), name)
    merged = told(capsys, "lora", "merge", "a.safetensors", "b.safetensors", "-o", "c.safetensors")
    assert (merged["output"], merged["modules"], merged["ranks"]) == ("c.safetensors", 4, [8])
    assert merged["left_out"] == {} and merged["bytes"] == Path("c.safetensors").stat().st_size
    small = told(capsys, "lora", "resize", "a.safetensors", "--new-rank", "2", "-o", "d.safetensors")
    assert small["ranks"] == [2] and 0 < small["retained"] < 1 and len(small["kept"]) == 4


def test_numbers_that_json_lacks_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "best": [float("inf"), 1.0], "名": "みこ"})
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=pytest.fail) == {"loss": None, "best": [None, 1.0], "名": "みこ"}
    assert "みこ" in out

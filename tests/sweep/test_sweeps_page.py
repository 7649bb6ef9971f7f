"""The page on sweep files names every key, and shows what the program says."""

import re
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.search.spec import KEYS as SEARCH_KEYS
from lora_lab.sweep.file import KEYS, read_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")


def table_after(heading: str) -> tuple[str, ...]:
    """The first column of the first table behind a heading."""
    part = PAGE.split(f"\n{heading}\n", 1)[1]
    lines = part[part.index("|---") :].splitlines()[1:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(line.split("`")[1])
    return tuple(found)


def test_every_key_is_explained() -> None:
    assert table_after("## Keys") == KEYS
    assert table_after("### `search`") == SEARCH_KEYS


def test_the_first_file_is_one(tmp_path: Path) -> None:
    text, searched = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "person.yaml").write_text(text, encoding="utf-8")
    rows = [row.name for row in read_sweep(tmp_path / "person.yaml").rows]
    assert rows[:3] == ["03", "04", "05"] and len(rows) == 3 + 2 * 2 + 2
    (tmp_path / "search.yaml").write_text(searched, encoding="utf-8")
    assert read_sweep(tmp_path / "search.yaml").search


def test_the_plan_is_what_the_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(r"```console\n\$ lora-lab (plan .*?)\n(.*?)```", PAGE, re.DOTALL)
    assert block
    monkeypatch.setenv("COLUMNS", "200")
    places = [f"results={tmp_path}/results", f"cache={tmp_path}/cache", "device=cpu", "engine.workers=1"]
    assert main([*block[1].split(), *places]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in block[2].splitlines():
        assert " ".join(line.split()) in said, line

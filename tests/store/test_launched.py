"""What is kept of a sweep's start."""

import json
from pathlib import Path

import pytest

from lora_lab.store import SweepFolder
from lora_lab.store.launched import read_plan, write_launched

ROWS = [
    {"name": "a", "status": "planned", "changes": {}, "total_steps": 20, "inert": []},
    {"name": "b", "status": "planned", "changes": {"x": {"row": 2}}, "total_steps": 20, "inert": []},
    {"name": "猫", "status": "planned", "changes": {}, "total_steps": 40, "inert": []},
]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_rows_come_back_whole(tmp_path: Path, count: int) -> None:
    folder = SweepFolder(tmp_path)
    packs = [[row["name"] for row in ROWS[:count]]] if count else []
    write_launched(folder, "question: q\n", {"name": "s", "rows": ROWS[:count], "packs": packs})
    assert read_plan(folder) == {"rows": ROWS[:count], "packs": packs}
    assert folder.sweep_file.read_text() == "question: q\n"


def test_what_all_rows_share_is_written_once_and_each_has_a_line(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    write_launched(folder, "", {"name": "s", "rows": ROWS, "packs": []})
    text = folder.plan_file.read_text(encoding="utf-8")
    kept = json.loads(text)
    assert kept["every_row"] == {"status": "planned", "inert": []}
    assert kept["rows"][0] == {"name": "a", "changes": {}, "total_steps": 20}
    assert '{"name": "猫", "changes": {}, "total_steps": 40}' in [
        line.strip(" ,") for line in text.splitlines()
    ]


def test_a_plan_of_a_version_without_shared_values_is_read(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    folder.plan_file.write_text(json.dumps({"rows": ROWS[:1], "packs": [["a"]]}))
    assert read_plan(folder) == {"rows": ROWS[:1], "packs": [["a"]]}

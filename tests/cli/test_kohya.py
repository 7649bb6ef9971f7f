"""`lora-lab import` as a user meets it."""

import json
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from tests.kohya.presets import NEWEST, written


def test_a_preset_becomes_a_recipe_that_can_be_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recipe" / "mine.yaml"
    assert main(["import", str(written(tmp_path, NEWEST)), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "contradictory" not in told
    assert f"lora-lab train --config-dir {tmp_path} base_model=sdxl recipe=mine" in told
    assert "SECRET" not in told + out.read_text()
    assert f"{len(NEWEST)} keys" in told
    assert main(["import", str(tmp_path / "preset.json"), "--out", str(out)]) == 2
    assert "--force replaces it" in capsys.readouterr().err


def test_json_holds_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(written(tmp_path, NEWEST)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(item["key"] for item in told["keys"]) == sorted(NEWEST)
    assert told["settings"]["network.network_dim"] == 8


@pytest.mark.parametrize(
    ("out", "said"), [("mine.yaml", "a folder called recipe"), ("recipe/copier.yaml", "shipped choice")]
)
def test_a_place_where_no_recipe_can_lie(
    out: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(written(tmp_path, NEWEST)), "--out", str(tmp_path / out)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / out).exists()

"""Paths of a sweep mean the same from every folder; the embedded model is no folder."""

from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.sweep.places import anchored


def test_paths_become_absolute_and_the_embedded_model_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["base_model=demo", "dataset=demo", "preview.base_model=[demo,m/other,~/third]"]
    config = anchored(compose([*words, "network.base_weights=[demo,a.safetensors]"]))
    assert config.base_model.path == config.dataset.path == "demo"
    assert config.preview.base_model == ["demo", str(tmp_path / "m/other"), str(Path("~/third").expanduser())]
    assert config.network.base_weights == [str(tmp_path / "demo"), str(tmp_path / "a.safetensors")]
    assert config.results == str(tmp_path / "results")

"""The bench of the engines' tests."""

from pathlib import Path

import pytest

import lora_lab
from tests.engines.bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "started"))
    monkeypatch.setenv("PYTHONPATH", str(Path(lora_lab.__file__).parent.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Bench(tmp_path)

"""`lora-lab demo` on a sweep of two short rows: from training to a verdict."""

from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.cli import demo

SHORT = """
question: Which alpha?
base: [base_model=demo, network.network_dim=2, optimizer=adamw, train.max_train_epochs=null,
  train.max_train_steps=2]
patterns: {one: [], two: [network.network_alpha=1]}
"""


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "short.yaml"
    file.write_text(SHORT)
    monkeypatch.setattr(demo, "shipped_sweep", lambda name: file)
    return tmp_path


@pytest.mark.slow  # a sweep by workers
def test_it_ends_in_a_verdict_and_goes_on_where_it_was(
    short: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--quiet", "preview.seeds=[1]", "preview.steps=2"]) == 0
    first = capfd.readouterr()
    assert "two" in first.out and "alpha" in first.out and "2 done" in first.err
    assert "lora-lab review" in first.out.splitlines()[-1]
    assert main(["demo", "--quiet", "preview.seeds=[1]", "preview.steps=2"]) == 0
    again = capfd.readouterr()
    assert "2 done already" in again.err and again.out == first.out

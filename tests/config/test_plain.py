"""The quick way of reading a config gives what the thorough one gives."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab import config
from lora_lab.config import plain
from lora_lab.config.compose import load_any
from lora_lab.errors import ConfigError, RunFolderError


@pytest.fixture
def dumped(tmp_path: Path) -> Path:
    made = config.compose(
        ["base_model=demo", "optimizer=adafactor", "optimizer.learning_rate=1e-5", "loss.huber_c=3"]
    )
    file = tmp_path / "config.yaml"
    preview = replace(made.preview, prompts=["no: 1e-4", "yes"], seeds=[1, 2], strengths=[1.0, 0.5])
    config.dump(replace(made, name="on", preview=preview), file)
    return file


def test_what_was_dumped_is_read_the_same_without_the_slow_way(dumped: Path, monkeypatch) -> None:
    expected = load_any(dumped)
    monkeypatch.setattr(plain, "load_any", lambda *_, **__: pytest.fail("the slow way was taken"))
    assert config.load(dumped) == expected
    assert expected.optimizer.learning_rate == 1e-5 and expected.preview.prompts == ["no: 1e-4", "yes"]


@pytest.mark.parametrize(
    "old, new", [("learning_rate: 1.0e-05", "learning_rate: 1e-5"), ("seed: ", "seed: 0x")]
)
def test_a_file_written_by_hand_is_converted_as_always(dumped: Path, old: str, new: str) -> None:
    text = dumped.read_text()
    assert old in text
    dumped.write_text(text.replace(old, new))
    assert config.load(dumped, checked=False) == load_any(dumped)


def test_missing_files_and_unknown_keys_are_the_same_errors(dumped: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot read"):
        config.load(tmp_path / "nothing.yaml")
    dumped.write_text(dumped.read_text() + "colour: red\n")
    with pytest.raises(ConfigError, match="colour"):
        config.load(dumped)


def test_a_key_given_twice_is_refused_and_a_broken_rule_names_the_file(dumped: Path) -> None:
    text = dumped.read_text()
    dumped.write_text(text.replace("  seed: 23\n", "  seed: 23\n  seed: 24\n"))
    line = dumped.read_text().splitlines().index("  seed: 24") + 1
    with pytest.raises(RunFolderError, match=rf"line {line}, column 3: found duplicate key seed$"):
        config.load(dumped)
    dumped.write_text(text.replace("huber_c: 3.0", "huber_c: -3.0"))
    with pytest.raises(ConfigError, match=f"{dumped}: loss.huber_c must be greater than 0"):
        config.load(dumped)

"""`lora-lab settings`: the defaults are those that a run would have."""

import json

import pytest

from lora_lab.__main__ import main
from lora_lab.config import compose, flat


@pytest.mark.parametrize("base", ["demo", "sd15", "sd2", "sdxl"])
def test_defaults_are_those_of_the_base_model(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--base", base, "--json"]) == 0
    shown = {item["key"]: item["default"] for item in json.loads(capsys.readouterr().out)}
    assert shown == json.loads(json.dumps(flat(compose([f"base_model={base}"], checked=False))))


def test_without_a_base_they_are_those_of_a_command_that_names_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["settings", "network.network_dim", "--json"])
    (item,) = json.loads(capsys.readouterr().out)
    assert item["default"] == flat(compose([], checked=False))["network.network_dim"]


def test_a_base_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--base", "sd9"]) == 2
    assert "sd9" in capsys.readouterr().err

"""Settings written as options of sd-scripts: what to write is said, with the value that was given."""

import pytest

from lora_lab.__main__ import main
from lora_lab.config.flags import as_setting


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network_dim=16"], "network.network_dim=16"),
        (["--learning_rate", "1e-4"], "optimizer.learning_rate=1e-4"),
        (["--noise_offset", "-0.1"], "loss.noise_offset=-0.1"),
        (["--network-alpha", "1"], "network.network_alpha=1"),
        (["--gradient_checkpointing", "optimizer=lion"], "train.gradient_checkpointing=true"),
        (["--gradient_checkpointing", "--sdpa"], "train.gradient_checkpointing=true"),
        (["--train.seed=3"], "train.seed=3"),
        (["--max_train_steps"], "train.max_train_steps=VALUE"),
        (["--steps", "9"], "--steps is called train.max_train_steps here"),
        (["--lr", "1"], "--lr is called optimizer.learning_rate here"),
        (["--optimizer_type=Lion"], "--optimizer_type is called optimizer.name here"),
        (["--xformers"], "--xformers is called train.attention here"),
        (["--network_args", "conv_dim=4"], "--network_args is called network.KEY=VALUE here"),
        (["--save_model_as=safetensors"], "LoRA files are safetensors"),
        (["--networkdim=3"], "did you mean network.network_dim?"),
        (["--zzz"], "neither an option nor a setting"),
    ],
)
def test_an_option_that_is_none_is_said_as_a_setting(words: list[str], said: str) -> None:
    assert said in as_setting(words[0], words)


@pytest.mark.parametrize("command", ["train", "plan demo", "sweep demo"])
def test_commands_that_take_settings_say_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--network_dim=16", "--alpha", "2"]) == 2
    said = capsys.readouterr().err
    assert "unrecognized arguments: --network_dim=16" in said
    assert "network.network_dim=16" in said and "--alpha" in said.splitlines()[-1]


def test_what_is_missing_is_named_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 2
    assert capsys.readouterr().err.endswith("the following arguments are required: FILE|FOLDER\n")

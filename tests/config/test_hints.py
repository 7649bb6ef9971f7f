"""What is said of settings that are none, and of numbers that are not finite."""

import pytest

from lora_lab.config import check, compose, settings
from lora_lab.errors import ConfigError


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("network_dim", "network.network_dim"),
        ("network_alpha", "network.network_alpha"),
        ("alpha", "network.network_alpha"),
        ("dropout", "network.network_dropout"),
        ("weights", "network.network_weights"),
        ("train_data_dir", "dataset.path"),
        ("--train_data_dir", "dataset.path"),
        ("output_name", "name"),
        ("train.sed", "train.seed"),
        ("train.seeds", "train.seed"),
        ("traain.seed", "train.seed"),
        ("network_dimm", "network.network_dim"),
        ("netwrok_dim", "network.network_dim"),
        ("network.dim", "network.network_dim"),
        ("batch_size", "preview.batch_size or train.train_batch_size"),
        ("lr", "optimizer.learning_rate"),
        ("rank", "network.network_dim"),
        ("steps", "train.max_train_steps"),
        ("weight_decay", "optimizer.args.weight_decay"),
    ],
)
def test_a_hint_leads_to_what_is_meant(word: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([f"{word}=16"], checked=False)
    message = str(caught.value)
    assert message.startswith("unknown setting ") and "\n" not in message
    assert message.endswith((f"did you mean {meant}?", f"it is called {meant} here")), message


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train=3", "unknown setting 'train': it is a group; write train.SETTING=VALUE, or train=CHOICE"),
        ("~optimizer", "unknown setting 'optimizer': it is a group; write optimizer.SETTING=VALUE, or"),
        ("optimizer@x=lion", "cannot read 'optimizer@x=lion': a choice has its own place; write optimizer"),
        ("+optimizer@x.y=lion", "a choice has its own place; write optimizer=lion"),
    ],
)
def test_words_of_hydras_grammar_are_answered_in_ours(word: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([word], checked=False)
    assert says in str(caught.value) and "default" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("key", [key for key, item in settings().items() if "float" in item.type])
def test_a_number_is_finite(key: str, value: str) -> None:
    word = f"{key}=[{value}]" if "list" in settings()[key].type else f"{key}={value}"
    with pytest.raises(ConfigError) as caught:
        check(compose([word], checked=False))
    assert any(
        line.startswith(key) and ("finite" in line or "must be" in line)
        for line in str(caught.value).splitlines()
    ), caught.value


@pytest.mark.parametrize("value", ["inf", "nan", "[0.9,nan]"])
def test_an_argument_is_finite(value: str) -> None:
    with pytest.raises(ConfigError, match="optimizer.args must be a finite number"):
        check(compose([f"optimizer.args.x={value}"], checked=False))


def test_a_seed_of_previews_is_one_that_generators_take() -> None:
    check(compose([f"preview.seeds=[{2**64 - 1}]", "dataset.path=p", "base_model.path=m"], checked=False))
    with pytest.raises(ConfigError, match=r"preview\.seeds must be from 0 to 18446744073709551615"):
        check(compose([f"preview.seeds=[{2**64}]"], checked=False))

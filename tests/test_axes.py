"""How settings and values are shown."""

import pytest

from lora_lab.axes import DERIVED, LABELS, axis, show
from lora_lab.config import settings


@pytest.mark.parametrize("key", list(settings()))
def test_every_setting_has_an_axis(key: str) -> None:
    found = axis(key)
    assert found.label and "_" not in found.label
    assert found.scale in ("linear", "log", "category")


def test_labels_name_settings_that_exist() -> None:
    assert set(LABELS) <= set(settings())
    assert not set(DERIVED) & set(settings())


@pytest.mark.parametrize(
    ("key", "title", "scale"),
    [
        ("train.max_train_epochs", "epochs", "linear"),
        ("train.max_train_steps", "steps", "linear"),
        ("network.network_alpha", "alpha", "log"),
        ("optimizer.args.weight_decay", "weight decay", "category"),
        ("train_minutes", "training time (min)", "linear"),
    ],
)
def test_titles(key: str, title: str, scale: str) -> None:
    assert (axis(key).title, axis(key).scale) == (title, scale)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"), (0.00015, "1.5e-4"), (0.05, "0.05"), (16.0, "16"), (0.0, "0"), (3e6, "3e6"), (7, "7"),
        (True, "on"), (False, "off"), (None, "-"), ("", "-"), ([0.9, 0.99], "[0.9, 0.99]"), ("lion", "lion"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert show(value) == text

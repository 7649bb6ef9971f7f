"""How settings and values are shown."""

import pytest

from lora_lab.axes import DERIVED, axis, scale, show
from lora_lab.config import settings


@pytest.mark.parametrize("key", list(settings()))
def test_every_setting_has_an_axis(key: str) -> None:
    found = axis(key)
    assert found.label and "_" not in found.label
    assert found.scale in ("linear", "log", "category")


def test_derived_numbers_are_no_settings() -> None:
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


def test_labels_in_japanese() -> None:
    assert axis("train.max_train_epochs", "ja").title == "エポック数"
    assert axis("train.max_train_steps", "ja").title == "ステップ数"
    assert axis("optimizer.args.weight_decay", "ja") == axis("optimizer.args.weight_decay")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"), (0.00015, "1.5e-4"), (0.05, "0.05"), (16.0, "16"), (0.0, "0"), (3e6, "3e6"), (7, "7"),
        (True, "on"), (False, "off"), (None, "-"), ("", "-"), ([0.9, 0.99], "[0.9, 0.99]"), ("lion", "lion"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    ("key", "values", "kind", "places", "ticks"),
    [
        ("network.network_alpha", [16, 1.0, 64], "log", (16.0, 1.0, 64.0), ("1", "16", "64")),
        ("network.network_alpha", [16, 0, 64], "category", (1.0, 0.0, 2.0), ("0", "16", "64")),
        ("train.max_train_epochs", [40, 20, 20], "linear", (40.0, 20.0, 20.0), ("20", "40")),
        ("train.max_train_epochs", [40, None, 20], "category", (1.0, 2.0, 0.0), ("20", "40", "-")),
        ("optimizer.name", ["lion", "adamw", "lion"], "category", (0.0, 1.0, 0.0), ("lion", "adamw")),
        ("dataset.flip_aug", [True, False], "category", (0.0, 1.0), ("on", "off")),
        ("optimizer.learning_rate", [], "category", (), ()),
    ],
)  # fmt: skip
def test_where_values_lie(
    key: str, values: list[object], kind: str, places: tuple[float, ...], ticks: tuple[str, ...]
) -> None:
    found = scale(axis(key), values)
    assert (found.kind, found.places) == (kind, places)
    assert tuple(text for _, text in found.ticks) == ticks

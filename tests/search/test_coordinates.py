"""Physical coordinates: what acts together lies together."""

import math

import numpy as np
import pytest

from lora_lab.search.coordinates import Coordinates
from lora_lab.search.space import read_space

SPACE = {
    "optimizer.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "network.network_alpha": [1, 4, 16],
    "network.network_dim": [4, 16, 64],
    "train.max_train_epochs": [5, 10, 20],
    "train.train_batch_size": [1, 2, 4],
    "loss.loss_type": ["l2", "huber"],
}


def test_a_lower_alpha_is_met_by_a_higher_rate() -> None:
    rows = Coordinates(read_space(SPACE), {}).of(
        [
            {"optimizer.learning_rate": 1e-4, "network.network_alpha": 16, "network.network_dim": 16},
            {"optimizer.learning_rate": 1e-4 * 4**0.7, "network.network_alpha": 4, "network.network_dim": 16},
        ]
    )
    assert rows[0, 0] == pytest.approx(rows[1, 0])
    # Measured from the middle of the range, 1e-4.
    assert rows[0, :3] == pytest.approx([0.0, 0.0, math.log10(16)])


def test_each_kind_of_setting_has_its_coordinate() -> None:
    coordinates = Coordinates(read_space(SPACE), {})
    names = [item.name for item in coordinates.features]
    assert names[3:] == [
        "log train.max_train_epochs", "train.train_batch_size",
        "loss.loss_type is l2", "loss.loss_type is huber",
    ]  # fmt: skip
    row = coordinates.of(
        [{"train.max_train_epochs": 20, "train.train_batch_size": 4, "loss.loss_type": "huber"}]
    )[0]
    assert row[3:] == pytest.approx([math.log10(20), 1.0, 0.0, 1.0])


def test_what_the_base_holds_counts_and_what_is_missing_lies_in_the_middle() -> None:
    space = read_space({"network.network_alpha": [1, 4, 16], "train.train_batch_size": [1, 2, 3]})
    row = Coordinates(space, {"network.network_dim": 16, "optimizer.learning_rate": 1e-3}).of(
        [{"network.network_alpha": 4}]
    )[0]
    assert row == pytest.approx([0.7 * math.log10(4 / 16), math.log10(4 / 16), 0.5])


def test_rates_are_measured_within_their_optimizer() -> None:
    space = read_space(
        {
            "optimizer": {
                "lion": {"optimizer.learning_rate": [1e-6, 1e-5, 1e-4]},
                "adamw": {"optimizer.learning_rate": [1e-5, 1e-4, 1e-3]},
                "adafactor": {},
            }
        }
    )
    rows = Coordinates(space, {}).of(
        [
            {"optimizer": "lion", "optimizer.learning_rate": 1e-6},
            {"optimizer": "adamw", "optimizer.learning_rate": 1e-5},
            {"optimizer": "adafactor"},
        ]
    )
    assert rows[:, 0] == pytest.approx([-1, -1, 0])
    assert np.array_equal(rows[:, 1:], np.eye(3))


def test_a_rate_of_nothing_is_no_logarithm() -> None:
    space = read_space({"optimizer.learning_rate": [0, 1e-4, 1e-3], "network.network_dim": [4, 8]})
    rows = Coordinates(space, {}).of([{"optimizer.learning_rate": 0, "network.network_dim": 4}])
    assert np.isfinite(rows).all()

"""Which runs differ in one setting alone, and which settings never move alone."""

from typing import Any

from lora_lab.config import compose
from lora_lab.effective import Facts, compare, resolve


def effective(*overrides: str) -> dict[str, Any]:
    config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=d", *overrides])
    return resolve(config, Facts()).acting


def test_pairs_aliases_and_replicates() -> None:
    rows = {
        "base": effective(),
        "alpha": effective("network.network_alpha=1"),
        "alpha-4": effective("network.network_alpha=4"),
        "both": effective("train.train_batch_size=4", "loss.min_snr_gamma=5"),
        "again": effective("train.seed=24"),
    }
    found = compare(list(rows.items()))
    assert [item.key for item in found.settings] == ["network.network_alpha"]
    assert found.settings[0].values == (1.0, 4.0, 16.0)
    assert found.settings[0].pairs == (("base", "alpha"), ("base", "alpha-4"), ("alpha", "alpha-4"))
    assert found.aliased == (("loss.min_snr_gamma", "train.train_batch_size"),)
    assert found.replicates == (("base", "again"),)


def test_settings_that_once_move_alone_are_not_aliased() -> None:
    rows = [
        ("base", effective()),
        ("both", effective("train.train_batch_size=4", "loss.min_snr_gamma=5")),
        ("one", effective("train.train_batch_size=4")),
    ]
    found = compare(rows)
    assert found.aliased == ()
    assert {item.key for item in found.settings} == {"train.train_batch_size", "loss.min_snr_gamma"}

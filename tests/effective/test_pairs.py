"""Which runs differ in one setting alone, and which settings never move alone."""

import json
import random
from itertools import combinations
from typing import Any

import pytest

from lora_lab.config import compose
from lora_lab.effective import Facts, compare, resolve
from lora_lab.effective.differences import differing


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


OF_EACH = {
    "a": [1, 2, 3], "b": [1, 1.0, "x"], "c": [[1], [2], [1, 2]], "f": [0, 5], "train.seed": [1, 2, 3],
    "optimizer.name": ["adamw", "lion"], "optimizer.args.w": [None, 0.1, 0.2], "optimizer.args.z": [1, 2],
}  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_all_is_found_that_a_look_at_every_pair_finds(seed: int) -> None:
    rng = random.Random(seed)
    keys = rng.sample(list(OF_EACH), rng.randint(1, len(OF_EACH)))
    acts = 0.9 if seed % 2 else 1.0
    rows = [
        (f"r{n}", {key: rng.choice(OF_EACH[key]) for key in keys if rng.random() < acts})
        for n in range(rng.randint(0, 9))
    ]
    for _, own in rows:
        if "a" in own and seed % 3 == 0:
            own |= {"follows-a": own["a"] * 10, "as-a": [own["a"]]}
    found = compare(rows)

    firsts: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, own in rows:
        settings = {key: value for key, value in own.items() if key != "train.seed"}
        firsts.setdefault(repr(sorted(settings.items())), (name, settings))
    pairs: dict[str, list[tuple[str, str]]] = {}
    together: dict[str, set[str]] = {}
    for (one, mine), (other, others) in combinations(firsts.values(), 2):
        keys_found = set(differing(mine, others))
        if len(keys_found) == 1:
            pairs.setdefault(*keys_found, []).append((one, other))
        for key in keys_found:
            together[key] = together.get(key, keys_found) & keys_found
    assert {item.key: list(item.pairs) for item in found.settings} == pairs
    never_alone = {tuple(sorted(group)) for key, group in together.items() if key not in pairs}
    assert set(found.aliased) == {group for group in never_alone if len(group) > 1}


def test_a_thousand_seeds_are_a_group_and_no_half_million_pairs() -> None:
    own = effective()
    rows = [
        (f"a{alpha}-s{seed}", {**own, "network.network_alpha": float(alpha), "train.seed": seed})
        for alpha in (1, 2, 4, 8, 16)
        for seed in range(1000)
    ]
    found = compare(rows)
    assert [len(group) for group in found.replicates] == [1000] * 5
    (alpha,) = found.settings
    assert (alpha.key, len(alpha.pairs)) == ("network.network_alpha", 10)
    assert len(json.dumps([found.replicates, alpha.pairs])) < 100_000


def test_other_seeds_on_either_side_are_no_second_setting() -> None:
    """The verdict compares such rows, so the plan must not call them confounded."""
    rows = [
        *((f"base-{seed}", effective(f"train.seed={seed}")) for seed in (1, 2)),
        *((f"alpha-{seed}", effective("network.network_alpha=1", f"train.seed={seed}")) for seed in (3, 4)),
    ]
    found = compare(rows)
    assert found.aliased == ()
    assert [(item.key, item.pairs) for item in found.settings] == [
        ("network.network_alpha", (("base-1", "alpha-3"),))
    ]
    assert found.replicates == (("base-1", "base-2"), ("alpha-3", "alpha-4"))

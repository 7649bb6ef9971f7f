"""The demo's verdict holds for any seeds: likeness of its settings under many seeds, as they were
measured."""

from itertools import combinations, permutations

import pytest

from lora_lab.verdict.judge import judge
from lora_lab.verdict.prior import BY_CRITERION
from lora_lab.verdict.result import DEPENDS, HELPS, HURTS, MIXED, Verdict
from tests.verdict.made import evidence

REFERENCE = (60.4, 60.9, 66.6, 69.1, 63.8, 60.7, 72.3, 40.9, 41.8, 56.8, 71.0, 66.1)
OTHERS = {
    "epochs-24": (76.4, 45.8, 70.4, 77.3, 73.1, 78.6),
    "batch-4": (59.5, 64.6, 58.1, 54.7, 44.6, 67.5),
    "repeats-1": (25.3, 25.0, 52.6, 44.1, 46.6, 21.9),
    "alpha-1": (43.8, 48.0, 48.1, 41.5, 30.4, 24.1),
    "lion-alpha-1": (62.5, 51.9, 77.5, 77.4, 59.7, 55.6),
}
BASE = {"epochs": 12, "batch": 2, "repeats": 3, "alpha": 8, "optimizer": "adamw"}
CHANGES = {
    "epochs-24": {"epochs": 24},
    "batch-4": {"batch": 4},
    "repeats-1": {"repeats": 1},
    "alpha-1": {"alpha": 1},
    "lion-alpha-1": {"alpha": 1, "optimizer": "lion"},
}


def judged(reference: tuple[float, ...], others: dict[str, tuple[float, ...]]) -> Verdict:
    rows = [(f"reference-{seed}", BASE, seed, score) for seed, score in enumerate(reference)]
    for name, scores in others.items():
        rows += [
            (f"{name}-{seed}", {**BASE, **CHANGES[name]}, seed, score) for seed, score in enumerate(scores)
        ]
    return judge(evidence(rows), prior=BY_CRITERION["likeness"])


def called(verdict: Verdict) -> dict[tuple[str, str], str]:
    return {
        (item.key, str(contrast.level)): contrast.call
        for item in verdict.settings
        for contrast in item.contrasts
        if contrast.call in (HELPS, HURTS, MIXED, DEPENDS)
    }


ALL = judged(REFERENCE, OTHERS)
TRUE = {(item.key, str(each.level)): each.difference for item in ALL.settings for each in item.contrasts}


def test_what_all_seeds_show() -> None:
    assert called(ALL) == {("repeats", "1"): HURTS, ("alpha", "1"): HURTS, ("optimizer", "lion"): HELPS}
    assert ALL.noise.equal_p is not None and ALL.noise.equal_p > 0.5 and ALL.noise.sd is not None
    expected = BY_CRITERION["likeness"]
    assert abs(expected.sd - ALL.noise.sd) < 1, "what is shipped is what was measured"


def once(seed: int) -> dict[str, tuple[float, ...]]:
    return {name: (scores[seed % 6],) for name, scores in OTHERS.items()}


@pytest.mark.parametrize("repeats", [2, 3])
def test_calls_that_twelve_seeds_do_not_make_are_rare(repeats: int) -> None:
    """As the demo is run: the reference with `repeats` seeds, every other setting with one."""
    chosen = list(permutations(range(12), 2)) if repeats == 2 else list(combinations(range(12), 3))
    right, opposite, unconfirmed = called(ALL), 0, 0
    for seeds in chosen:
        verdict = judged(tuple(REFERENCE[seed] for seed in seeds), once(seeds[0]))
        found = called(verdict)
        opposite += any((TRUE[key] > 0) != (call == HELPS) for key, call in found.items())
        unconfirmed += bool(found.items() - right.items())
        assert not any(item.survives_all for item in verdict.settings), "all but the reference were run once"
    assert opposite == 0
    assert unconfirmed <= (0.05 if repeats == 3 else 0.06) * len(chosen), (unconfirmed, len(chosen))


def test_with_all_settings_run_three_times_most_of_what_is_true_is_found() -> None:
    found = count = 0
    for seeds in combinations(range(6), 3):
        others = {name: tuple(scores[seed] for seed in seeds) for name, scores in OTHERS.items()}
        calls = called(judged(tuple(REFERENCE[seed] for seed in seeds), others))
        count += 1
        found += calls.get(("repeats", "1")) == HURTS and calls.get(("alpha", "1")) == HURTS
    assert found >= 0.6 * count, (found, count)

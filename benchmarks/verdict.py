"""How often a verdict is wrong, and what it finds: simulated sweeps with a known truth.

    python benchmarks/verdict.py                    # all designs, about 8 minutes
    python benchmarks/verdict.py --sweeps 50 --only changes-base-3x-8

Some settings have an effect and the others have none. A false call is any call of a setting that has none
(helps, hurts, mixed, depends), "inter." the same of interactions. The columns 10, 20 and 30 are the power:
the share of settings with an effect of so many points that get the right call. "Wrongly none" is the share of
settings with an effect of which it was said that there is no difference larger than something smaller. A
rater's drift makes scores fall by 12 points over the session, in shuffled order.
"""

import argparse
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lora_lab.verdict.analysis import analyse
from lora_lab.verdict.effects import effects
from lora_lab.verdict.evidence import CheckpointEvidence, Evidence, RunEvidence, grouped, judged
from lora_lab.verdict.interactions import interactions
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    INTERACTS,
    MIXED,
    NO_DIFFERENCE,
    SEEMS_MIXED,
    SEEMS_TO_HELP,
    SEEMS_TO_HURT,
)

CALLED = (HELPS, HURTS, MIXED, DEPENDS)
SEEMS = (SEEMS_TO_HELP, SEEMS_TO_HURT, SEEMS_MIXED)
Row = dict[str, Any]

EFFECTS = {"b": -10.0, "d": 20.0, "f": -30.0}
"""The settings that do something, and what any other level than the first does to the score."""
BASE = 60.0
MOST = 60
"""Runs of the largest design; smaller ones are simulated as many times more often."""
DRIFT = 12.0


@dataclass(frozen=True)
class Design:
    """Settings of every run, replicates with a seed each."""

    name: str
    rows: list[Row]


def one_at_a_time(name: str, levels: dict[str, int], replicates: int) -> Design:
    """A base, each setting changed alone, and the base again with other seeds."""
    base: Row = dict.fromkeys(levels, 0)
    rows = [base] + [{**base, key: level} for key, count in levels.items() for level in range(1, count)]
    return _seeded(name, rows, [base] * (replicates - 1))


def grid(name: str, levels: dict[str, int], again: int, *, everything: bool = False) -> Design:
    """All combinations; the first run, or every one, again with other seeds."""
    rows = [
        dict(zip(levels, values, strict=True)) for values in itertools.product(*map(range, levels.values()))
    ]
    return _seeded(name, rows, rows * again if everything else rows[:1] * again)


def _seeded(name: str, rows: list[Row], again: list[Row]) -> Design:
    found, seeds = [], Counter[str]()
    for row in (*rows, *again):
        seeds[repr(row)] += 1
        found.append({**row, "seed": seeds[repr(row)]})
    return Design(f"{name}-{len(found)}", found)


def designs() -> list[Design]:
    """From 8 to 60 runs."""
    two = dict.fromkeys("abcdef", 2)
    mixed = {"a": 3, "b": 2, "c": 4, "d": 3, "e": 2, "f": 3, "g": 4, "h": 2}
    large = {**dict.fromkeys("abcdef", 5), **dict.fromkeys("ghijkl", 6)}
    return [
        one_at_a_time("changes-base-3x", dict.fromkeys("abcd", 2) | {"f": 2}, 3),
        one_at_a_time("changes-base-2x", two, 2),
        one_at_a_time("changes-base-6x", two, 6),
        one_at_a_time("changes-base-4x", mixed, 4),
        one_at_a_time("changes-base-6x", large, 6),
        grid("grid-2x2x2-all-twice", dict.fromkeys("abd", 2), 1, everything=True),
        grid("grid-2x2x2x2", dict.fromkeys("abcd", 2), 3),
        grid("grid-4x3x2", {"a": 4, "b": 3, "c": 2}, 6),
        grid("grid-3x3x3-all-twice", {"a": 3, "b": 3, "c": 3}, 1, everything=True),
    ]


@dataclass(frozen=True)
class Noise:
    """What blurs the scores: training again, the rater's eye, and drift over the session."""

    run_sd: float
    rater_sd: float
    drift: float = 0.0
    step: float = 1.0

    def __str__(self) -> str:
        return f"run sd {self.run_sd:g}, rater sd {self.rater_sd:g}" + (
            (", drift" if self.drift else "") + (f", steps of {self.step:g}" if self.step > 1 else "")
        )


NOISES = (
    Noise(0, 4),
    Noise(0, 4, DRIFT),
    Noise(5, 4),
    Noise(5, 4, DRIFT),
    Noise(10, 4),
    Noise(5, 4, step=10),
)


def simulate(design: Design, noise: Noise, draw: random.Random) -> Evidence:
    """One sweep, trained and scored."""
    order = list(range(len(design.rows)))
    draw.shuffle(order)
    place = {number: position for position, number in enumerate(order)}
    runs = []
    for number, row in enumerate(design.rows):
        settings = {key: value for key, value in row.items() if key != "seed"}
        true = BASE + sum(EFFECTS.get(key, 0.0) * (value > 0) for key, value in settings.items())
        score = true + draw.gauss(0, math.hypot(noise.run_sd, noise.rater_sd))
        score -= noise.drift * place[number] / max(1, len(order) - 1)
        value = float(min(100, max(0, noise.step * round(score / noise.step))))
        runs.append(
            RunEvidence(
                f"{number}",
                settings=settings,
                seed=row["seed"],
                checkpoints=(CheckpointEvidence("1", human=value),),
                usable=True,
            )
        )
    return judged(Evidence(design.name, "", "score", "last", grouped(runs)))


def count(design: Design, noise: Noise, sweeps: int, replicated: bool = True) -> Counter[str]:
    """What verdicts on simulated sweeps say."""
    draw = random.Random(f"{design.name} {noise}")
    found = Counter[str]()
    if not replicated:
        design = Design(design.name, [row for row in design.rows if row["seed"] == 1])
    for _ in range(sweeps):
        on = analyse(simulate(design, noise, draw))
        for effect in effects(on):
            true = EFFECTS.get(effect.key, 0.0)
            found[f"of {true:g}"] += 1
            found[f"called {true:g}"] += effect.call in CALLED
            found[f"seems {true:g}"] += effect.call in SEEMS
            found[f"right {true:g}"] += effect.call == (HELPS if true > 0 else HURTS)
            found["of any"] += true != 0
            found["wrongly none"] += effect.call == NO_DIFFERENCE and abs(true) > (effect.no_larger_than or 0)
        for item in interactions(on):
            found["squares"] += 1
            found["squares called"] += item.call == INTERACTS
    return found


def lines(sweeps: int, only: str) -> Iterator[str]:
    """The table, a line for each design and noise."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    heads = f"{'false':>6} {'inter.':>6} {'10':>6} {'20':>6} {'30':>6} {'wrongly none':>13}"
    yield f"{'design':<26} {'noise':<30} {heads}"
    for design in designs():
        if only and only != design.name:
            continue
        for noise in NOISES:
            found = count(design, noise, sweeps * MOST // len(design.rows))
            total["all"] += found
            total["with drift" if noise.drift else "without drift"] += found
            yield _line(design.name, str(noise), found)
    for name, found in total.items():
        yield _line("all", name, found)
    yield ""
    yield "without replicates: share of settings without an effect that 'seem' to have one"
    for design in designs()[:5]:
        for sd in (3.0, 5.0, 8.0, 12.0):
            times = sweeps * MOST // len(design.rows) // 4
            found = count(design, Noise(sd, 0), times, replicated=False)
            yield f"{design.name:<26} run sd {sd:<23g} {_share(found, 'seems 0', 'of 0'):>6}"


def _line(name: str, noise: str, found: Counter[str]) -> str:
    powers = [_share(found, f"right {value}", f"of {value}") for value in ("-10", "20", "-30")]
    return (
        f"{name:<26} {noise:<30} {_share(found, 'called 0', 'of 0'):>6} "
        f"{_share(found, 'squares called', 'squares'):>6} {powers[0]:>6} {powers[1]:>6} {powers[2]:>6} "
        f"{_share(found, 'wrongly none', 'of any'):>13}"
    )


def _share(found: Counter[str], part: str, whole: str) -> str:
    return f"{100 * found[part] / found[whole]:.1f}%" if found[whole] else "-"


def main() -> None:
    """Simulate and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--sweeps", type=int, default=300, help="sweeps of 60 runs, of smaller ones more (default: 300)"
    )
    parser.add_argument("--only", default="", help="one design")
    given = parser.parse_args()
    for line in lines(given.sweeps, given.only):
        print(line, flush=True)


if __name__ == "__main__":
    main()

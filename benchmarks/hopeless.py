"""What does `stop=hopeless` lose, and what does it save? Sweeps on random surfaces, stopped on the way.

    python benchmarks/hopeless.py --surfaces 400
    python benchmarks/hopeless.py --surfaces 400 --rows 8
    python benchmarks/hopeless.py --surfaces 400 --checkpoints 4

The learning curve. What a run would score after t of its epochs is what the surface has for t epochs: a low
rate climbs slowly, a high one has its best early and falls. `late` curves also lack D exp(-share / tau),
with D from 0 to 40 points and tau from 0.1 to 0.4 of the length, drawn for each run, so that curves cross.
The noise of sd 5 is either all in the look (the same LoRA, another score) or, as the surfaces have it, sd 4
of the training, which stays with a run, and sd 3 of each look. Looks are clipped to 0 and 100.

A run is near the best where its true score at its end (with its training's luck, without the look's) is
within 3 points of the best run of its sweep. Lost are those that were stopped,
saved is the share of all epochs.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from search import ALPHA, DIM, EPOCHS, LR, SPACE, draw, one_factor

from lora_lab.search.hopeless import NEAR, Seen, hopeless
from lora_lab.search.space import Settings

LATE, TAU = 40.0, (0.1, 0.4)
NOISES = {"look 5": (0.0, 5.0), "run 4, look 3": (4.0, 3.0)}
"""Standard deviations of a training and of a look."""
KINDS = ("random", "random lengths", "one factor")


@dataclass(frozen=True)
class Trained:
    """A run as it would be trained to its end: `true` and `seen` scores at its checkpoints."""

    epochs: int
    true: np.ndarray
    seen: np.ndarray


def settings_of(kind: str, count: int, rng: np.random.Generator) -> list[Settings]:
    """The rows of a sweep."""
    if kind == "one factor":
        return list(one_factor(count))
    lengths = (10, 20, 40) if kind == "random lengths" else (40,)
    grids = {part.key: part.grid() for part in SPACE.parts} | {EPOCHS: lengths}
    return [{key: values[rng.integers(len(values))] for key, values in grids.items()} for _ in range(count)]


def trained(
    asked: argparse.Namespace, kind: str, late: bool, noise: tuple[float, float], seed: int
) -> list[Trained]:
    """One surface's sweep."""
    rng = np.random.default_rng([asked.seed, seed])
    surface, runs = draw(rng), []
    for row in settings_of(kind, asked.rows, rng):
        shares = np.arange(1, asked.checkpoints + 1) / asked.checkpoints
        values = (np.full(len(shares), float(row[key])) for key in (LR, ALPHA, DIM))
        true = surface.scores(*values, shares * row[EPOCHS])
        if late:
            missing, tau = rng.uniform(0, LATE), rng.uniform(*TAU)
            true = true - missing * (np.exp(-shares / tau) - np.exp(-1 / tau))
        true = true + rng.normal(0, noise[0])
        seen = np.clip(true + rng.normal(0, noise[1], len(shares)), 0, 100)
        runs.append(Trained(int(row[EPOCHS]), true, seen))
    return runs


def stopped_at(runs: Sequence[Trained], times: float) -> list[int]:
    """How many checkpoints of each run are trained, breadth first, all looked at after each."""
    count = len(runs[0].seen)
    done = [count] * len(runs)
    curves: dict[str, list[Seen]] = {str(number): [] for number in range(len(runs))}
    for at in range(count - 1):
        active = [number for number in range(len(runs)) if done[number] == count]
        for number in active:
            share = (at + 1) / count
            point = Seen(share, share * runs[number].epochs, float(runs[number].seen[at]))
            curves[str(number)].append(point)
        for name in hopeless(curves, map(str, active), times=times):
            done[int(name)] = at + 1
    return done


def main() -> None:
    """Stop the runs of many sweeps and print a table."""
    asked = _arguments()
    print(
        f"{asked.surfaces} surfaces, {asked.rows} rows, {asked.checkpoints} checkpoints\n"
        "| rows | curve | noise sd | standard errors | near the best | of them lost | training saved |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for kind, late, noise in product(KINDS, (False, True), NOISES):
        sweeps = [trained(asked, kind, late, NOISES[noise], seed) for seed in range(asked.surfaces)]
        for times in asked.times:
            cells = _measured(sweeps, times)
            print(f"| {kind} | {'late' if late else 'surface'} | {noise} | {times:g} | {cells} |", flush=True)


def _measured(sweeps: Sequence[Sequence[Trained]], times: float) -> str:
    """Lost with two standard errors, by sweeps: runs of one sweep are lost together."""
    near, lost, of_epochs, epochs = [], [], 0.0, 0.0
    for runs in sweeps:
        done = stopped_at(runs, times)
        finals = np.array([run.true[-1] for run in runs])
        close = finals >= finals.max() - NEAR
        near.append(int(close.sum()))
        lost.append(sum(bool(one) and at < len(runs[0].seen) for one, at in zip(close, done, strict=True)))
        epochs += sum(run.epochs for run in runs)
        of_epochs += sum(run.epochs * at / len(run.seen) for run, at in zip(runs, done, strict=True))
    share = sum(lost) / sum(near)
    apart = np.array(lost) - share * np.array(near)
    error = 2 * float(np.sqrt((apart**2).sum())) / sum(near)
    return f"{sum(near)} | {100 * share:.1f} % ± {100 * error:.1f} | {100 * (1 - of_epochs / epochs):.0f} %"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--surfaces", type=int, default=400)
    parser.add_argument("--rows", type=int, default=25)
    parser.add_argument("--checkpoints", type=int, default=8)
    parser.add_argument(
        "--times", type=float, nargs="+", default=[1.0, 1.5, 2.0, 2.5], help="standard errors granted"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""How good is the search? Random response surfaces whose best setting is known, searched by every sampler.

    python benchmarks/search.py --surfaces 400
    python benchmarks/search.py --surfaces 400 --noise 8
    python benchmarks/search.py --surfaces 400 --rounds 4 --per-round 4

A surface is the score, 0 to 100, over 13 learning rates, 8 alphas, 6 dims and 8 lengths, with an optimum
along "amount of training" (log lr + c log(alpha / dim) + e log epochs), an interaction and a cliff beyond
which runs break. A training is scored once, with noise; the setting is chosen by a posterior and not by the
best score. Regret is how far the true score of the chosen setting lies below the best of the surface.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from lora_lab.search import Choices, Observation, Space, best, next_round
from lora_lab.search.space import Settings

LR, ALPHA, DIM, EPOCHS = (
    "optimizer.learning_rate",
    "network.network_alpha",
    "network.network_dim",
    "train.max_train_epochs",
)
SPACE = Space(
    (
        Choices(LR, tuple(float(f"{value:.3g}") for value in np.logspace(-5, -2, 13)), {}),
        Choices(ALPHA, (1, 2, 4, 8, 16, 32, 64, 128), {}),
        Choices(DIM, (4, 8, 16, 32, 64, 128), {}),
        Choices(EPOCHS, (5, 10, 15, 20, 25, 30, 35, 40), {}),
    )
)
ONE_FACTOR = {LR: 1e-4, ALPHA: 16, DIM: 32, EPOCHS: 20}
"""The middle of a sweep that changes one setting at a time."""


@dataclass(frozen=True)
class Surface:
    """A response surface; its numbers are drawn by `draw`."""

    ratio_share: float
    epochs_share: float
    under: float
    over: float
    dim_at: float
    dim_cost: float
    ratio_at: float
    ratio_cost: float
    cliff: float
    top: float
    enough: float

    def scores(self, lr: np.ndarray, alpha: np.ndarray, dim: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """The true score of settings."""
        strength = np.log10(lr) + self.ratio_share * np.log10(alpha / dim)
        amount = strength + self.epochs_share * np.log10(epochs / 20) - self.enough
        score = self.top - np.where(amount < 0, self.under, self.over) * amount**2
        score = score - self.dim_cost * (np.log2(dim) - self.dim_at) ** 2
        score = score - self.ratio_cost * (np.log2(alpha / dim) - self.ratio_at) ** 2
        past = np.log10(lr) + 0.3 * np.log10(alpha / dim) - self.cliff
        score = score - np.where(past > 0, 60 * np.minimum(1, past * 3), 0)
        return np.clip(score, 0, 100)

    def score(self, settings: Settings) -> float:
        """The true score of one combination."""
        values = (np.array(float(settings[key])) for key in (LR, ALPHA, DIM, EPOCHS))
        return float(self.scores(*values))


def draw(rng: np.random.Generator) -> Surface:
    """A surface as training has them: too much harms more than too little."""
    u = rng.uniform
    return Surface(
        u(0.4, 0.9), u(0.5, 1.0), u(9, 16), u(20, 45), u(2.5, 6.5), u(0.6, 2.0), u(-5, 0), u(0.2, 0.9),
        u(-2.9, -2.3), u(82, 92), u(-4.2, -3.0),
    )  # fmt: skip


def one_factor(count: int) -> Iterator[Settings]:
    """Twenty-five patterns as the article has them: the base, then one setting at a time."""
    yield dict(ONE_FACTOR)
    values = {
        LR: SPACE.parts[0].grid()[::2], ALPHA: (1, 4, 8, 32, 64, 128), DIM: (4, 8, 16, 64, 128),
        EPOCHS: (5, 10, 15, 25, 30, 35, 40),
    }  # fmt: skip
    rows = [{**ONE_FACTOR, key: value} for key, items in values.items() for value in items]
    yield from rows[: count - 1]


def searched(surface: Surface, sampler: str, asked: argparse.Namespace, rng: np.random.Generator) -> float:
    """The regret of one search."""
    seen: list[Observation] = []
    seed = int(rng.integers(2**31))
    for _ in range(asked.rounds):
        if sampler == "one factor":
            chosen = list(one_factor(asked.rounds * asked.per_round))[len(seen) :][: asked.per_round]
        else:
            chosen = [item.settings for item in next_round(sampler, SPACE, {}, seen, asked.per_round, seed)]
        for settings in chosen:
            score = surface.score(settings) + rng.normal(0, asked.noise)
            seen.append(Observation(settings, float(np.clip(score, 0, 100))))
    return -surface.score(best(SPACE, {}, seen, rng).settings)


def main() -> None:
    """Search many surfaces and print a table."""
    asked = _arguments()
    grid = np.array(list(product(*(part.grid() for part in SPACE.parts))), dtype=float).T
    print(
        f"{asked.surfaces} surfaces, noise sd {asked.noise:g}, {asked.rounds} rounds of {asked.per_round}\n"
        "sampler      median regret   within 3 points   within 5 points   seconds a search"
    )
    for sampler in asked.samplers:
        started = time.process_time()
        regrets = []
        for number in range(asked.surfaces):
            rng = np.random.default_rng([asked.seed, number])
            surface = draw(rng)
            regrets.append(float(surface.scores(*grid).max()) + searched(surface, sampler, asked, rng))
        _print(sampler, np.array(regrets), (time.process_time() - started) / asked.surfaces)


def _print(sampler: str, regrets: np.ndarray, seconds: float) -> None:
    """A row, with two standard errors (the median's by order statistics)."""
    count, ordered = len(regrets), np.sort(regrets)
    shares = [float((regrets <= limit).mean()) for limit in (3, 5)]
    errors = [2 * (share * (1 - share) / count) ** 0.5 for share in shares]
    half = int(np.ceil(count**0.5))
    low, high = ordered[max(0, count // 2 - half)], ordered[min(count - 1, count // 2 + half)]
    cells = [f"{100 * share:.0f} % ± {100 * error:.0f}" for share, error in zip(shares, errors, strict=True)]
    middle = f"{np.median(regrets):.1f} ({low:.1f} to {high:.1f})"
    print(f"{sampler:12} {middle:15} {cells[0]:17} {cells[1]:17} {seconds:.2f}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--surfaces", type=int, default=400)
    parser.add_argument("--noise", type=float, default=5.0, help="sd of a training's score")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-round", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", default=["gp", "tpe", "random", "one factor"])
    return parser.parse_args()


if __name__ == "__main__":
    main()

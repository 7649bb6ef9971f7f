"""The scores of a matrix, and the order of its runs by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lora_lab.review.browse.runs import Run
from lora_lab.store import Place
from lora_lab.store.comparable import Rating
from lora_lab.store.table import means

PLAN, SCORE, LOSS, NAME = "plan", "score", "loss", "name"


@dataclass(frozen=True)
class Scores:
    """What people gave, by checkpoint of the run that did the work: the table's numbers.

    Attributes:
        replaced: How many scores of a checkpoint are of images that others have replaced since.
        notes: What is to be known of all of them.
    """

    by_place: Mapping[Place, Rating]
    replaced: Mapping[Place, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def at(self, run: Run, tag: str) -> Rating | None:
        """The score of a run's checkpoint."""
        return self.by_place.get((run.same_as or run.name, tag))

    def older(self, run: Run, tag: str) -> int:
        """How many scores of a run's checkpoint are of other images than it has now."""
        return self.replaced.get((run.same_as or run.name, tag), 0)

    def best(self, run: Run) -> tuple[str, Rating] | None:
        """The checkpoint of a run with the highest score, the earlier of equal ones."""
        found = [(tag, rating) for tag in run.checkpoints if (rating := self.at(run, tag))]
        return max(found, key=lambda item: item[1].value, default=None)


@dataclass(frozen=True)
class Order:
    """One way to order runs: its text in an address, its name, and the number, small first; None is last."""

    key: str
    label: str
    number: Callable[[Run], float | None] | None = None


def orders(runs: Sequence[Run], scores: Scores, metrics: Sequence[str]) -> dict[str, Order]:
    """The orders that a sweep's runs can have, by key.

    Args:
        runs: All of them.
        scores: What people gave.
        metrics: Automatic metrics of which more is better.
    """
    found = [Order(PLAN, "as planned"), Order(NAME, "name")]
    if any(scores.best(run) for run in runs):
        found.append(Order(SCORE, "best score", lambda run: _negative(_best_score(scores, run))))
    if any(run.loss is not None for run in runs):
        found.append(Order(LOSS, "loss", lambda run: run.loss))
    for name in metrics:
        found.append(Order(name, name, lambda run, name=name: _negative(_last(run, name))))  # type: ignore[misc]
    return {item.key: item for item in found}


def ordered(runs: Sequence[Run], order: Order) -> list[Run]:
    """The runs in that order; those without a number are last, as planned."""
    if order.key == NAME:
        return sorted(runs, key=lambda run: run.name)
    if order.number is None:
        return list(runs)
    numbers = [(order.number(run), run) for run in runs]
    there = sorted(((number, run) for number, run in numbers if number is not None), key=lambda item: item[0])
    return [run for _, run in there] + [run for number, run in numbers if number is None]


def _negative(number: float | None) -> float | None:
    return None if number is None else -number


def _best_score(scores: Scores, run: Run) -> float | None:
    best = scores.best(run)
    return best[1].value if best else None


def _last(run: Run, metric: str) -> float | None:
    """A metric at the last checkpoint that has previews."""
    item = run.checkpoints.get(run.last_shown)
    return means(item).get(metric) if item else None

"""Which two checkpoints to compare next: neighbours in the present ranking whose order is still open."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from lora_lab.store import Pair, Place

REACH = 2
"""How far apart in the ranking two may stand to be compared."""


def pair_at(
    places: Sequence[Place], judged: Mapping[int, Pair], seed: int, position: int
) -> tuple[Place, Place]:
    """The pair at a position, left and right; the same log always gives the same pair.

    A pair that was judged stays as it was. Otherwise those that were never compared come first; then the pair
    whose order is most open. What is said of the pair just before does not count yet, so that a pair can be
    loaded while the one before it is judged.

    Args:
        places: What is compared, at least two.
        judged: The comparisons of the session by position.
        seed: The session's.
        position: Counted from 0.
    """
    if position in judged:
        return judged[position].left, judged[position].right
    known = [judged[number] for number in sorted(judged) if number < position - 1]
    # The pair before this one is known, what is said of it may not be.
    before = [frozenset(pair_at(places, judged, seed, position - 1))] if position else []
    draw = random.Random(f"{seed}:{position}")
    one, other = _most_open(tuple(places), tuple(known), tuple(before), draw.random())
    return (one, other) if draw.random() < 0.5 else (other, one)


def _both(pair: Pair) -> frozenset[Place]:
    return frozenset((pair.left, pair.right))


@lru_cache(maxsize=64)
def _most_open(
    places: tuple[Place, ...], known: tuple[Pair, ...], before: tuple[frozenset[Place], ...], seed: float
) -> tuple[Place, Place]:
    """Kept, since every image of a pair asks for it."""
    # Heavy libraries wait until somebody compares.
    from lora_lab.verdict.ranking import count_wins, strengths

    found = strengths(count_wins(places, known))
    shuffled = random.Random(seed).sample(range(len(places)), len(places))
    order = sorted(shuffled, key=lambda number: -found.means[number])
    times = Counter(place for pair in known for place in (pair.left, pair.right))
    times.update(place for pair in before for place in pair)
    met = Counter([*map(_both, known), *before])
    best, least = None, (0, 0, 0.0)
    for rank, one in enumerate(order):
        for other in order[rank + 1 : rank + 1 + REACH]:
            pair = frozenset((places[one], places[other]))
            seen = min(times[places[one]], times[places[other]])
            settled = abs(found.stronger(one, other) - 0.5)
            # A checkpoint that was never compared comes first; a pair does not come twice in a row.
            cost = (min(seen, 1), int(pair in before), settled + 0.1 * met[pair])
            if best is None or cost < least:
                best, least = (places[one], places[other]), cost
    assert best is not None
    return best

"""Which two checkpoints to compare next: neighbours in the present ranking whose order is still open."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from lora_lab.store import Pair, Place

REACH = 2
"""How far apart in the ranking two may stand to be compared."""
BEHIND = 1
"""Judgements that a choice does not wait for, so that the next pair can be loaded while one is judged."""


def pair_at(
    places: Sequence[Place], judged: Mapping[int, Pair], seed: int, position: int
) -> tuple[Place, Place]:
    """The pair at a position, left and right; the same log always gives the same pair.

    A pair that was judged stays as it was. Otherwise those that were compared least come first; among them
    the pair whose order is most open by the comparisons up to two before this one.

    Args:
        places: What is compared, at least two.
        judged: The comparisons of the session by position.
        seed: The session's.
        position: Counted from 0.
    """
    if position in judged:
        return judged[position].left, judged[position].right
    known = [judged[number] for number in sorted(judged) if number < position - BEHIND]
    waiting = [judged[number] for number in sorted(judged) if number >= position - BEHIND]
    draw = random.Random(f"{seed}:{position}")
    one, other = _most_open(places, known, [_both(pair) for pair in waiting], draw)
    return (one, other) if draw.random() < 0.5 else (other, one)


def _both(pair: Pair) -> frozenset[Place]:
    return frozenset((pair.left, pair.right))


def _most_open(
    places: Sequence[Place], known: Sequence[Pair], waiting: Sequence[frozenset[Place]], draw: random.Random
) -> tuple[Place, Place]:
    # Heavy libraries wait until somebody compares.
    from lora_lab.verdict.ranking import count_wins, strengths

    found = strengths(count_wins(places, known))
    shuffled = draw.sample(range(len(places)), len(places))
    order = sorted(shuffled, key=lambda number: -found.means[number])
    times = Counter(place for pair in known for place in (pair.left, pair.right))
    times.update(place for pair in waiting for place in pair)
    met = Counter([*map(_both, known), *waiting])
    best, least = None, (0, 0, 0.0)
    for rank, one in enumerate(order):
        for other in order[rank + 1 : rank + 1 + REACH]:
            pair = frozenset((places[one], places[other]))
            seen = min(times[places[one]], times[places[other]])
            settled = abs(found.stronger(one, other) - 0.5)
            # A checkpoint that was never compared comes first; a pair does not come twice in a row.
            cost = (min(seen, 1), int(pair in waiting), settled + 0.1 * met[pair])
            if best is None or cost < least:
                best, least = (places[one], places[other]), cost
    assert best is not None
    return best

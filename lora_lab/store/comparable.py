"""Which judgements can be combined: those of equal images alone. And what they come to, by checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lora_lab.store.scores import Pair, Place, Score, ScoreLog, Shot
from lora_lab.words import Said, joined, said

Judgement = TypeVar("Judgement", Score, Pair)


def comparable_scores(scores: Sequence[Score]) -> tuple[list[Score], list[Said]]:
    """The scores that can be combined: of equal shots that were drawn alike, and of each checkpoint's same
    pixels; and what is not.

    Scores of other prompts, seeds, strengths or render settings say something else; those that most
    checkpoints have are taken, of two equally many the later ones. Of a checkpoint whose images were
    rendered anew and judged again, the newest images' scores are taken.
    """
    return _comparable(scores, "scores_n")


def comparable_pairs(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Said]]:
    """The comparisons that one ranking can be made of, by the rules of `comparable_scores`; what is not."""
    return _comparable(pairs, "comparisons_n")


def _comparable(items: Sequence[Judgement], count: str) -> tuple[list[Judgement], list[Said]]:
    groups = _of_equal_images(items)
    if not groups:
        return [], []
    taken = max(
        groups, key=lambda group: (len({place for i in group for place, _ in _sides(i)}), group[-1].line)
    )
    newest = {place: shown for item in taken for place, shown in _sides(item) if shown}
    kept = [
        item for item in taken if all(shown in ("", newest.get(place, "")) for place, shown in _sides(item))
    ]
    shots = set(taken[-1].shots)
    notes = [
        said("note_other_previews", scores=said(count, n=len(group)))
        if set(group[-1].shots) == shots
        else said(
            "note_shots",
            scores=said(count, n=len(group)),
            left=_described(group[-1].shots),
            taken=_described(taken[-1].shots),
        )
        for group in groups
        if group is not taken
    ]
    if old := len(taken) - len(kept):
        notes.append(said("note_rendered", scores=said(count, n=old)))
    return kept, notes


def _sides(item: Score | Pair) -> list[tuple[Place, str]]:
    """The checkpoints that were shown, each with a hash of its pixels."""
    if isinstance(item, Score):
        return [(item.place, item.shown)]
    return list(zip((item.left, item.right), item.shown, strict=True))


def _looks(item: Score | Pair) -> list[Hashable]:
    """What drew the images that were shown; none where that was not kept."""
    drawn = [item.drawn] if isinstance(item, Score) else item.drawn
    return [tuple(sorted(look)) for look in drawn if look]


def _of_equal_images(items: Sequence[Judgement]) -> list[list[Judgement]]:
    """The judgements by what was shown, in their order.

    Runs whose previews are drawn in different ways by what they try out, such as another clip skip, are
    comparable where a session showed them beside each other.
    """
    parents: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        while parents.setdefault(node, node) != node:
            node = parents[node]
        return node

    first: dict[frozenset[Shot], Hashable] = {}
    for item in items:
        session = ("session", item.session, frozenset(item.shots))
        looks = _looks(item)
        for look in looks:
            parents[root(look)] = root(session)
        if looks:
            first.setdefault(frozenset(item.shots), session)
    found: dict[Hashable, list[Judgement]] = defaultdict(list)
    for item in items:
        shots = frozenset(item.shots)
        # Of versions that did not say what drew the images: of those that said so first.
        own = ("session", item.session, shots) if _looks(item) else first.get(shots, shots)
        found[root(own)].append(item)
    return list(found.values())


def _described(shots: Sequence[Shot]) -> Said:
    """The prompts, seeds and strengths of shots, in words."""
    if not shots:
        return said("shots_unwritten")
    parts = []
    for name, values in (
        ("prompt", sorted({prompt + 1 for prompt, _, _ in shots})),
        ("seed", sorted({seed for _, seed, _ in shots})),
        ("strength", sorted({strength for _, _, strength in shots})),
    ):
        shown = ", ".join(f"{value:g}" for value in values)
        parts.append(said(f"shots_{name}{'s' if len(values) > 1 else ''}", values=shown))
    return joined(parts)


@dataclass(frozen=True)
class Rating:
    """What people gave one checkpoint: `value` is the mean over raters, put on one scale (`store.scales`).

    `count` is the number of judgements, hidden repeats included; `raters` are their names, in order.
    """

    value: float
    count: int
    raters: tuple[str, ...]


def ratings(log: ScoreLog, same_as: Mapping[str, str] | None = None) -> dict[Place, Rating]:
    """The scores of a log by checkpoint, as the verdict reckons with them.

    A rater who scored one twice counts no more than the others; one who is stricter than the others, or uses
    less of the scale, is put on theirs by what they scored in common.

    Args:
        log: What counts of a sweep's log.
        same_as: Runs that are another run's experiment, by name: what they were given counts for that one.
    """
    # Kept from those who only read a log: numpy takes a while to load.
    from lora_lab.store.scales import by_unit, fit

    by_place = by_checkpoint(comparable_scores(log.scores)[0], same_as or {})
    if not by_place:
        return {}
    given = by_unit(by_place)
    scales = fit(given)
    return {
        place: Rating(scales.at(items), len(items), tuple(sorted({item.rater for item in items})))
        for place, items in by_place.items()
    }


def by_checkpoint(scores: Iterable[Score], same_as: Mapping[str, str]) -> dict[Place, list[Score]]:
    """Scores by the checkpoints that they count for."""
    found: dict[Place, list[Score]] = defaultdict(list)
    for item in scores:
        for place in item.counts_for(same_as):
            found[place].append(item)
    return dict(found)

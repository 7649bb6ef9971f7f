"""What people said of checkpoints: an append-only log, and what of it counts.

`scores.jsonl` of a sweep holds one JSON object per line with `kind`, `id` and `at`; nothing is ever changed
or removed. A judgement that was undone is cancelled by a later line. A checkpoint is named by run and tag.
Every line but a session's own names its `session` and `rater`; spellings of one rater are one (`spelling`).
A judgement belongs to what was shown: the checkpoint, its `shots`, what drew them (`drawn`, by
`effective.previews.drawn`), and `shown`, the pixels as they were.

| kind    | further fields |
|---------|---|
| session | `rater`, `mode` ("score" or "compare"), `seed`, `order` (what is shown, in order) or `places` \
(what is compared, or may yet be shown), `prompts`, \
`shots` ([prompt, seed, strength] of the images shown of each), `layout`, \
`target` (how many judgements are aimed at), `alike` (lists of \
[run, tag] with the same pixels) |
| more    | `order` (what a second session shows next, chosen by its scores so far) |
| score   | `run`, `tag`, `position`, `value` (0 to 100), `repeat`, `note`, `tags`, `seconds`, `shots`, \
`shown` (a hash of the pixels), `drawn` (what drew each of them), \
`also` ([run, tag] of checkpoints with the very same pixels) |
| skip    | `run`, `tag`, `position`, `repeat` |
| pair    | `left`, `right` ([run, tag] each), `position`, `result`, `seconds`, `shots`, and of each side \
what a score says of its images: `left_shown`, `right_shown`, `left_drawn`, `right_drawn` |
| cancel  | `cancels` (the id of a score, skip or pair) |
| close   | the session is over and may be revealed |
| discard | the session was a mistake: nothing of it counts |
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.files import append_line
from lora_lab.store.layout import SweepFolder
from lora_lab.store.normal_names import first_spellings, rater_key
from lora_lab.store.record import now
from lora_lab.store.score_lines import RESULTS, checked, parsed
from lora_lab.words import joined, said

__all__ = [
    "RESULTS", "Pair", "Place", "Score", "ScoreLog", "Session", "Shot", "Skip", "append_score_line",
    "only_of", "read_scores",
]  # fmt: skip

Place = tuple[str, str]
"""A checkpoint: run and tag."""

Shot = tuple[int, int, float]
"""A preview of a checkpoint: prompt, seed and strength."""


@dataclass(frozen=True)
class Score:
    """One judgement of one checkpoint; `value` runs from 0 to 100, `repeat` marks a hidden second showing.

    `shots` are the images that were shown of it, `shown` is a hash of their pixels, '' where that was not
    kept; `drawn` is what drew each of them (`effective.previews.drawn`), () likewise; `also` are other
    checkpoints with the very same pixels, for which it counts, too. `line` is its line in the log: what came
    later has a higher one.
    """

    id: str
    session: str
    rater: str
    run: str
    tag: str
    position: int
    value: float
    repeat: bool = False
    note: str = ""
    tags: tuple[str, ...] = ()
    at: str = ""
    seconds: float | None = None
    line: int = 0
    shots: tuple[Shot, ...] = ()
    shown: str = ""
    drawn: tuple[str, ...] = ()
    also: tuple[Place, ...] = ()

    @property
    def place(self) -> Place:
        """The checkpoint that was judged."""
        return self.run, self.tag

    @property
    def places(self) -> tuple[Place, ...]:
        """All checkpoints that it counts for."""
        return tuple(dict.fromkeys((self.place, *self.also)))

    def counts_for(self, same_as: Mapping[str, str]) -> list[Place]:
        """All of them, by the runs that did the work, each once."""
        return sorted({(same_as.get(run, run), tag) for run, tag in self.places})


@dataclass(frozen=True)
class Skip:
    """A checkpoint that a rater passed over."""

    id: str
    session: str
    rater: str
    run: str
    tag: str
    position: int
    repeat: bool = False
    at: str = ""
    line: int = 0


@dataclass(frozen=True)
class Pair:
    """One comparison of two checkpoints; `result` is one of `RESULTS`.

    `shots` are the images that were shown of both. `shown` and `drawn` hold for the left one, then for the
    right one, what a `Score` says of its images.
    """

    id: str
    session: str
    rater: str
    left: Place
    right: Place
    position: int
    result: str
    at: str = ""
    seconds: float | None = None
    line: int = 0
    shots: tuple[Shot, ...] = ()
    shown: tuple[str, str] = ("", "")
    drawn: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True)
class Session:
    """What one rater set out to judge. `order` holds the places of a scoring session as they are shown, each
    with whether it is a hidden repeat; a comparing session chooses pairs of `places` as it goes. `shots` are
    the previews shown of each place: prompt, seed, strength; `target` is how many judgements are aimed at
    where `order` grows or there is none; `layout` is "grid" or "one" (at a time). `also` are checkpoints with
    the very same pixels as one that is shown, by that one."""

    id: str
    rater: str
    mode: str
    seed: int
    order: tuple[tuple[str, str, bool], ...] = ()
    prompts: tuple[int, ...] = ()
    shots: tuple[Shot, ...] = ()
    places: tuple[Place, ...] = ()
    layout: str = "grid"
    target: int = 0
    at: str = ""
    closed: bool = False
    also: Mapping[Place, tuple[Place, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreLog:
    """What counts of the log: cancelled judgements and discarded sessions are left out, the rest stands in
    the order given. `damage` says of each line that cannot be read which one it is, and why."""

    sessions: dict[str, Session] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    damage: tuple[str, ...] = ()
    discarded: int = 0
    file: str = ""

    @property
    def damaged_lines(self) -> int:
        """How many lines were left out since they cannot be read."""
        return len(self.damage)

    def damage_note(self) -> str:
        """What was left out of the file since it cannot be read, in words; '' is nothing."""
        if not self.damage:
            return ""
        lines = joined(self.damage[:MOST_NAMED], "clauses")
        if len(self.damage) > MOST_NAMED:
            lines = said("list_more", list=lines, n=len(self.damage) - MOST_NAMED)
        return said("note_damage", n=len(self.damage), file=self.file, lines=lines)


MOST_NAMED = 3
"""Damaged lines that are named one by one."""


def read_scores(sweep: SweepFolder) -> ScoreLog:
    """Read a sweep's log; a missing one is empty, a line that cannot be read is named and left out.

    A line that stands twice (as when copies of a log were joined) counts once.

    Raises:
        RunFolderError: The file is there and cannot be opened.
    """
    found: dict[str, dict[str, Any]] = {}
    damage = []
    for number, text in enumerate(_lines(sweep)):
        try:
            line = parsed(text)
            found.setdefault(line["id"], {**line, "line": number})
        except ValueError as error:
            damage.append(f"line {number + 1}: {error}")
    cancelled = {line["cancels"] for line in found.values() if line["kind"] == "cancel"}
    lines = [line for line in found.values() if line["id"] not in cancelled]
    gone = {line["session"] for line in lines if line["kind"] == "discard"}
    closed = {line["session"] for line in lines if line["kind"] == "close"}
    log = ScoreLog(damage=tuple(damage), discarded=len(gone), file=str(sweep.scores_file))
    names = first_spellings(line["rater"] for line in lines)
    for line in lines:
        if line.get("session", line["id"]) not in gone:
            _add(log, {**line, "rater": names[rater_key(line["rater"])]}, closed)
    return _with_shots(log)


def _lines(sweep: SweepFolder) -> Iterator[str]:
    try:
        # Editors of some systems put a mark of the encoding before the first line.
        with open(sweep.scores_file, encoding="utf-8-sig", errors="replace") as file:
            yield from (text for line in file if (text := line.strip().lstrip("\ufeff")))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{sweep.scores_file} cannot be read: {error.strerror or error}") from error


def _with_shots(log: ScoreLog) -> ScoreLog:
    """Judgements of versions that kept the shots with the session alone get them from there."""
    shots = {key: item.shots for key, item in log.sessions.items()}
    scores = [item if item.shots else replace(item, shots=shots.get(item.session, ())) for item in log.scores]
    pairs = [item if item.shots else replace(item, shots=shots.get(item.session, ())) for item in log.pairs]
    return replace(log, scores=scores, pairs=pairs)


def only_of(log: ScoreLog, raters: Sequence[str] | None, sweep: SweepFolder) -> ScoreLog:
    """The log with the scores of some raters alone, however their names are spelt; None is everybody.

    Raises:
        RunFolderError: One of them gave no score.
    """
    if raters is None:
        return log
    known = {rater_key(item.rater): item.rater for item in log.scores}
    for name in raters:
        if rater_key(name) not in known:
            names = ", ".join(sorted(known.values()))
            listed = f"it has scores of {names}" if known else "nobody has scored it yet"
            raise RunFolderError(f"{sweep.path} has no scores of {name!r}: {listed}")
    wanted = set(map(rater_key, raters))
    return replace(log, scores=[item for item in log.scores if rater_key(item.rater) in wanted])


def _order(line: dict[str, Any]) -> tuple[tuple[str, str, bool], ...]:
    return tuple((run, tag, bool(repeat)) for run, tag, repeat in line.pop("order", ()))


def _add(log: ScoreLog, line: dict[str, Any], closed: set[str]) -> None:
    own = {key: value for key, value in line.items() if key != "kind"}
    match line["kind"]:
        case "more":
            if (session := log.sessions.get(own["session"])) is not None:
                order = (*session.order, *_order(own))
                log.sessions[session.id] = replace(session, order=order)
        case "session":
            order = _order(own)
            own["prompts"] = tuple(own.get("prompts", ()))
            own["shots"] = _shots(own)
            own["places"] = tuple((run, tag) for run, tag in own.get("places", ()))
            own["also"] = {
                (group[0][0], group[0][1]): tuple((run, tag) for run, tag in group[1:])
                for group in own.pop("alike", ())
                if group
            }
            log.sessions[own["id"]] = Session(**_known(Session, own), order=order, closed=own["id"] in closed)
        case "score":
            own["tags"], own["drawn"] = tuple(own.get("tags", ())), tuple(own.get("drawn", ()))
            own["shots"] = _shots(own)
            own["also"] = tuple((run, tag) for run, tag in own.get("also", ()))
            log.scores.append(Score(**_known(Score, own)))
        case "skip":
            log.skips.append(Skip(**_known(Skip, own)))
        case "pair":
            own["left"], own["right"] = tuple(own["left"]), tuple(own["right"])
            own["shots"] = _shots(own)
            own["shown"] = tuple(own.get(f"{side}_shown", "") for side in ("left", "right"))
            own["drawn"] = tuple(tuple(own.get(f"{side}_drawn", ())) for side in ("left", "right"))
            log.pairs.append(Pair(**_known(Pair, own)))


def _shots(line: Mapping[str, Any]) -> tuple[Shot, ...]:
    return tuple((prompt, seed, float(strength)) for prompt, seed, strength in line.get("shots", ()))


def _known(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    # A log written by a newer version may hold more; what is not known here is left out.
    return {key: value for key, value in values.items() if key in cls.__dataclass_fields__}


def scores_version(sweep: SweepFolder) -> str:
    """A text that changes whenever a line is added to a sweep's log; '' where nobody has scored yet."""
    try:
        stat = sweep.scores_file.stat()
    except OSError:
        return ""
    return f"{stat.st_mtime_ns} {stat.st_size}"


def append_score_line(sweep: SweepFolder, kind: str, **values: Any) -> str:
    """Append one line to the log and force it to the disk; returns its id.

    Args:
        sweep: The sweep that was judged.
        kind: A key of `score_lines.NEEDED`.
        values: The fields of that kind.

    Raises:
        RunFolderError: The log cannot be written to.
        ValueError: A field is missing or out of its range (a mistake of the caller).
    """
    line = {"kind": kind, "id": uuid.uuid4().hex, "at": now(), **values}
    append_line(sweep.scores_file, checked(line), durable=True)
    identity: str = line["id"]
    return identity

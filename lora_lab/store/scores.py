"""What people said of checkpoints: an append-only log, and what of it counts.

`scores.jsonl` of a sweep holds one JSON object per line with `kind`, `id` and `at`; nothing is ever changed
or removed. A judgement that was undone is cancelled by a later line. A checkpoint is named by run and tag.
Every line but a session's own names its `session` and `rater`.

| kind    | further fields |
|---------|---|
| session | `rater`, `mode` ("score" or "compare"), `seed`, `order` (what is shown, in order) or `places` \
(what is compared), `prompts`, `shots` ([prompt, seed, strength] of the pictures shown of each), `layout`, \
`target` (how many comparisons are aimed at) |
| score   | `run`, `tag`, `position`, `value` (0 to 100), `repeat`, `note`, `tags`, `seconds` |
| skip    | `run`, `tag`, `position`, `repeat` |
| pair    | `left`, `right` ([run, tag] each), `position`, `result`, `seconds` |
| cancel  | `cancels` (the id of a score, skip or pair) |
| close   | the session is over and may be revealed |
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.files import append_line
from lora_lab.store.layout import SweepFolder
from lora_lab.store.record import now

RESULTS = ("left", "right", "tie", "both_bad")
"""What a comparison of two checkpoints can say."""

Place = tuple[str, str]
"""A checkpoint: run and tag."""

Shot = tuple[int, int, float]
"""A preview of a checkpoint: prompt, seed and strength."""


@dataclass(frozen=True)
class Score:
    """One judgement of one checkpoint; `value` runs from 0 to 100, `repeat` marks a hidden second showing.

    `line` is its line in the log: what came later has a higher one.
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

    @property
    def place(self) -> Place:
        """The checkpoint that was judged."""
        return self.run, self.tag


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
    """One comparison of two checkpoints; `result` is one of `RESULTS`."""

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


@dataclass(frozen=True)
class Session:
    """What one rater set out to judge. `order` holds the places of a scoring session as they are shown, each
    with whether it is a hidden repeat; a comparing session chooses pairs of `places` as it goes. `shots` are
    the previews shown of each place: prompt, seed, strength; `layout` is "grid" or "one" (at a time)."""

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


@dataclass(frozen=True)
class ScoreLog:
    """What counts of the log: cancelled judgements are left out, the rest stands in the order given."""

    sessions: dict[str, Session] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    damaged_lines: int = 0


def read_scores(sweep: SweepFolder) -> ScoreLog:
    """Read a sweep's log; a missing one is empty, a line that cannot be read is counted and left out.

    Raises:
        RunFolderError: The file is there and cannot be opened.
    """
    lines, damaged = [], 0
    for number, text in enumerate(_lines(sweep)):
        try:
            lines.append({**_checked(json.loads(text)), "line": number})
        except (ValueError, KeyError, TypeError):
            damaged += 1
    cancelled = {line["cancels"] for line in lines if line["kind"] == "cancel"}
    closed = {line["session"] for line in lines if line["kind"] == "close"}
    log = ScoreLog(damaged_lines=damaged)
    for line in lines:
        if line["id"] not in cancelled:
            _add(log, line, closed)
    return log


def _lines(sweep: SweepFolder) -> Iterator[str]:
    try:
        with open(sweep.scores_file, encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{sweep.scores_file} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class Rating:
    """What people gave one checkpoint: `value` is the mean over raters of each rater's own mean.

    `count` is the number of judgements, hidden repeats included; `raters` are their names, in order.
    """

    value: float
    count: int
    raters: tuple[str, ...]


def ratings(log: ScoreLog, same_as: Mapping[str, str] | None = None) -> dict[Place, Rating]:
    """The scores of a log by checkpoint; a rater who scored one twice counts no more than the others.

    Args:
        log: What counts of a sweep's log.
        same_as: Runs that are another run's experiment, by name: what they were given counts for that one.
    """
    given: dict[Place, dict[str, list[float]]] = {}
    for item in log.scores:
        place = ((same_as or {}).get(item.run, item.run), item.tag)
        given.setdefault(place, {}).setdefault(item.rater, []).append(item.value)
    return {place: _rating(by_rater) for place, by_rater in given.items()}


def _rating(by_rater: Mapping[str, Sequence[float]]) -> Rating:
    means = [sum(values) / len(values) for values in by_rater.values()]
    return Rating(sum(means) / len(means), sum(map(len, by_rater.values())), tuple(sorted(by_rater)))


NEEDED = {
    "session": ("rater", "mode", "seed"),
    "score": ("session", "rater", "run", "tag", "position", "value"),
    "skip": ("session", "rater", "run", "tag", "position"),
    "pair": ("session", "rater", "left", "right", "position", "result"),
    "cancel": ("session", "rater", "cancels"),
    "close": ("session", "rater"),
}


def _checked(line: dict[str, Any]) -> dict[str, Any]:
    for key in ("id", "at", *NEEDED[line["kind"]]):
        line[key]
    if line["kind"] == "score" and not 0 <= float(line["value"]) <= 100:
        raise ValueError("a score lies from 0 to 100")
    if line["kind"] == "pair" and line["result"] not in RESULTS:
        raise ValueError("not a result")
    return line


def _add(log: ScoreLog, line: dict[str, Any], closed: set[str]) -> None:
    own = {key: value for key, value in line.items() if key != "kind"}
    match line["kind"]:
        case "session":
            order = tuple((run, tag, bool(repeat)) for run, tag, repeat in own.pop("order", ()))
            own["prompts"] = tuple(own.get("prompts", ()))
            own["shots"] = tuple((p, seed, float(strength)) for p, seed, strength in own.get("shots", ()))
            own["places"] = tuple((run, tag) for run, tag in own.get("places", ()))
            log.sessions[own["id"]] = Session(**_known(Session, own), order=order, closed=own["id"] in closed)
        case "score":
            own["tags"] = tuple(own.get("tags", ()))
            log.scores.append(Score(**_known(Score, own)))
        case "skip":
            log.skips.append(Skip(**_known(Skip, own)))
        case "pair":
            own["left"], own["right"] = tuple(own["left"]), tuple(own["right"])
            log.pairs.append(Pair(**_known(Pair, own)))


def _known(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    # A log written by a newer version may hold more; what is not known here is left out.
    return {key: value for key, value in values.items() if key in cls.__dataclass_fields__}


def append_score_line(sweep: SweepFolder, kind: str, **values: Any) -> str:
    """Append one line to the log and force it to the disk; returns its id.

    Args:
        sweep: The sweep that was judged.
        kind: A key of `NEEDED`.
        values: The fields of that kind.

    Raises:
        RunFolderError: The log cannot be written to.
        KeyError: A field is missing (a mistake of the caller).
        ValueError: A value is out of its range (a mistake of the caller).
    """
    line = {"kind": kind, "id": uuid.uuid4().hex, "at": now(), **values}
    append_line(sweep.scores_file, _checked(line), durable=True)
    identity: str = line["id"]
    return identity

"""Runs, checkpoints, prompts and settings as rows and columns of previews, and what stands where none is.

An axis is the run, the checkpoint, the prompt, the seed, the strength, or a setting that differs within the
sweep. Two are drawn; the others hold one value (checkpoint, prompt, seed, strength) or choose among the runs
(settings). Everything that was chosen stands in the address of the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lora_lab.axes import axis, scale, show
from lora_lab.review.browse.runs import Run, Sweep
from lora_lab.store import Checkpoint
from lora_lab.words import stage

RUN, CHECKPOINT, PROMPT, SEED, STRENGTH = "run", "checkpoint", "prompt", "seed", "strength"
WITHIN_RUN = (CHECKPOINT, PROMPT, SEED, STRENGTH)
LAST = "last"
"""The value of the axis `checkpoint` that means each run's own last one."""
LABELS = {RUN: "run", CHECKPOINT: "checkpoint", PROMPT: "prompt", SEED: "seed", STRENGTH: "strength"}


@dataclass(frozen=True)
class Value:
    """One value of an axis: its text in an address, on the page, and in full."""

    key: str
    label: str
    words: str = ""


@dataclass(frozen=True)
class Choice:
    """An axis with its values, in order."""

    key: str
    label: str
    values: tuple[Value, ...]

    def holds(self, key: str) -> bool:
        """Whether it has the value of that address text."""
        return any(value.key == key for value in self.values)


@dataclass(frozen=True)
class View:
    """What a page of the matrix shows: the drawn axes, and one value for each of the others ('' is any)."""

    rows: str
    columns: str
    fixed: Mapping[str, str]

    def query(self, **changed: str) -> list[tuple[str, str]]:
        """The view as the pairs of an address, with some of them changed and those with '' left out."""
        pairs = {"rows": self.rows, "columns": self.columns, **self.fixed, **changed}
        return [(key, value) for key, value in pairs.items() if value]


@dataclass(frozen=True)
class Tile:
    """One place of the matrix.

    Attributes:
        kind: 'image'; 'waiting' (the run will come to it), 'ended' (it failed, diverged or was cancelled
            before), 'none' (it has no such preview and never will).
        words: The reason of anything but a plain image: flags, why the run ended, what it is the same as.
    """

    kind: str
    run: Run
    tag: str
    prompt: int
    seed: int
    strength: float
    image: str = ""
    words: tuple[str, ...] = ()

    @property
    def pane(self) -> str:
        """Its name in the address of a comparison."""
        return f"{self.run.name}:{self.tag}:{self.prompt}:{self.seed}:{self.strength:g}"

    @property
    def query(self) -> list[tuple[str, str]]:
        """Its place as the pairs of an address."""
        return [
            ("run", self.run.name),
            ("checkpoint", self.tag),
            ("prompt", str(self.prompt)),
            ("seed", str(self.seed)),
            ("strength", f"{self.strength:g}"),
        ]


@dataclass(frozen=True)
class Cell:
    """What stands in one row and column: several tiles where runs differ in more than is drawn."""

    column: str
    tiles: tuple[Tile, ...]

    @property
    def lead(self) -> Tile | None:
        """The tile on top: the first image, else the first reason."""
        images = (tile for tile in self.tiles if tile.kind == "image")
        return next(images, self.tiles[0] if self.tiles else None)


@dataclass(frozen=True)
class Row:
    """One row of the matrix; `run` is set where the rows are runs."""

    value: Value
    cells: tuple[Cell, ...]
    run: Run | None = None


def choices(sweep: Sweep) -> dict[str, Choice]:
    """Every axis of a sweep by its key: the five of every sweep, then the settings that differ."""
    runs = list(sweep.runs.values())
    made = [
        Choice(RUN, LABELS[RUN], tuple(Value(run.name, run.name) for run in runs)),
        Choice(CHECKPOINT, LABELS[CHECKPOINT], _checkpoints(runs)),
        Choice(PROMPT, LABELS[PROMPT], _prompts(runs)),
        _numbers(SEED, {place[2] for run in runs for place in run.previews}),
        _numbers(STRENGTH, {place[3] for run in runs for place in run.previews}),
        *(_setting(key, runs) for key in sweep.varied),
    ]
    return {choice.key: choice for choice in made}


def _checkpoints(runs: Sequence[Run]) -> tuple[Value, ...]:
    found: dict[str, Checkpoint] = {}
    for run in runs:
        for tag, item in run.checkpoints.items():
            known = found.setdefault(tag, item)
            if item.step < known.step:
                found[tag] = item
    ordered = sorted(found.values(), key=lambda item: (item.epoch, item.step, item.tag))
    return tuple(Value(item.tag, stage(item.tag)) for item in ordered)


def _prompts(runs: Sequence[Run]) -> tuple[Value, ...]:
    texts: dict[int, Counter[str]] = {}
    for run in runs:
        for (_, prompt, _, _), shot in run.previews.items():
            texts.setdefault(prompt, Counter())[shot.label] += 1
    return tuple(
        Value(str(prompt), f"prompt {prompt + 1}", words.most_common(1)[0][0])
        for prompt, words in sorted(texts.items())
    )


def _numbers(key: str, values: set[Any]) -> Choice:
    return Choice(key, LABELS[key], tuple(Value(f"{value:g}", f"{value:g}") for value in sorted(values)))


def _setting(key: str, runs: Sequence[Run]) -> Choice:
    # A run whose config cannot be read has a place, too: that of a setting which is not set.
    known = [run.settings.get(key) for run in runs]
    lies = scale(axis(key), known)
    heads = dict(lies.ticks)
    at: dict[str, float] = {}
    for value, place in zip(known, lies.places, strict=True):
        # One value may be written in two ways (none and empty); what reads the same stands together.
        at.setdefault(show(value), place)
    order = sorted(at, key=at.__getitem__)
    return Choice(key, axis(key).label, tuple(Value(text, heads[at[text]]) for text in order))


def view_of(query: Mapping[str, str], known: Mapping[str, Choice]) -> View:
    """The view that an address asks for; what it does not say, or says wrongly, is what is sensible."""
    rows = _axis(query, "rows", known, RUN)
    columns = _axis(query, "columns", known, CHECKPOINT if rows != CHECKPOINT else PROMPT)
    if columns == rows:
        columns = PROMPT if rows != PROMPT else CHECKPOINT
    fixed = {}
    for key, choice in known.items():
        asked = query.get(key, "")
        if key in (rows, columns):
            continue
        fixed[key] = asked if choice.holds(asked) else _default(choice)
    return View(rows, columns, fixed)


def _axis(query: Mapping[str, str], name: str, known: Mapping[str, Choice], otherwise: str) -> str:
    return query[name] if name in query and query[name] in known else otherwise


def _default(choice: Choice) -> str:
    if choice.key == CHECKPOINT:
        return LAST
    if choice.key == STRENGTH and choice.values:
        # A LoRA is meant to be used at full strength.
        return min(choice.values, key=lambda value: abs(float(value.key) - 1)).key
    if choice.key in WITHIN_RUN and choice.values:
        return choice.values[0].key
    return ""


@dataclass(frozen=True)
class Matrix:
    """The rows and columns of a view of a sweep."""

    sweep: Sweep
    view: View
    known: Mapping[str, Choice]
    all_runs: tuple[Run, ...] = ()
    """In the order they are to have; none are those of the sweep as planned."""

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that the view does not leave out, in their order."""
        wanted = {key: value for key, value in self.view.fixed.items() if value and key not in WITHIN_RUN}
        return [
            run
            for run in self.all_runs or self.sweep.runs.values()
            if all(_value_of(run, key) == value for key, value in wanted.items())
        ]

    def _values(self, key: str) -> list[Value]:
        """The values of a drawn axis that some run of the view has."""
        if key == RUN:
            return [Value(run.name, run.name) for run in self.runs]
        if key in WITHIN_RUN:
            return list(self.known[key].values) or [Value(LAST if key == CHECKPOINT else "", "no images yet")]
        there = {_value_of(run, key) for run in self.runs}
        return [value for value in self.known[key].values if value.key in there]

    @cached_property
    def columns(self) -> list[Value]:
        """The column heads."""
        return self._values(self.view.columns)

    @cached_property
    def row_values(self) -> list[Value]:
        """The row heads, all of them."""
        return self._values(self.view.rows)

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[Run]]:
        """The runs by their values of the drawn axes, '' for an axis that every run has all of."""
        found: dict[tuple[str, str], list[Run]] = {}
        for run in self.runs:
            found.setdefault((self._own(run, self.view.rows), self._own(run, self.view.columns)), []).append(
                run
            )
        return found

    @staticmethod
    def _own(run: Run, key: str) -> str:
        return "" if key in WITHIN_RUN else _value_of(run, key)

    def rows(self, start: int, count: int) -> list[Row]:
        """Some of the rows with their tiles."""
        return [
            Row(
                value,
                tuple(Cell(column.key, tuple(self._tiles(value.key, column.key))) for column in self.columns),
                self.sweep.runs[value.key] if self.view.rows == RUN else None,
            )
            for value in self.row_values[start : start + count]
        ]

    def _tiles(self, row: str, column: str) -> Iterator[Tile]:
        place = {**self.view.fixed, self.view.rows: row, self.view.columns: column}
        own = ("" if self.view.rows in WITHIN_RUN else row, "" if self.view.columns in WITHIN_RUN else column)
        if own in self._places:
            for run in self._places[own]:
                yield tile(run, place)


def _value_of(run: Run, key: str) -> str:
    """The text of a run's value of the axis `run` or of a setting."""
    if key == RUN:
        return run.name
    return show(run.settings.get(key))


def tile(run: Run, place: Mapping[str, str]) -> Tile:
    """What a run has at a checkpoint, prompt, seed and strength, given as the texts of an address."""
    asked = place[CHECKPOINT]
    tag = run.last_shown if asked in (LAST, "") else asked
    prompt, seed = int(place[PROMPT] or 0), int(place[SEED] or 0)
    strength = float(place[STRENGTH] or 1)
    where = (tag, prompt, seed, strength)
    same = (run.why,) if run.same_as else ()
    shot = run.previews.get(where)
    if shot is not None:
        # What is wrong with an image says more than how its run ended; the last image shows both.
        ended = (run.status,) if _ended(run) and tag == run.last_shown else ()
        words = (*shot.flags, *ended, *same)
        return Tile("image", run, *where, run.image(tag, shot), words)
    if tag in run.checkpoints and run.checkpoints[tag].previews:
        return Tile("none", run, *where, words=("no such preview",))
    if run.status == "running" or run.status == "planned":
        return Tile("waiting", run, *where, words=(_progress(run), *same))
    if _ended(run):
        return Tile("ended", run, *where, words=(run.status, run.record.reason, *same))
    return Tile("none", run, *where, words=("not saved" if run.checkpoints else "no previews", *same))


def _ended(run: Run) -> bool:
    return run.status in ("failed", "diverged", "cancelled", "stopped")


def _progress(run: Run) -> str:
    if run.status == "planned" or not run.record.total_steps:
        return run.status
    return f"step {run.record.step} of {run.record.total_steps}"

"""Images side by side: runs that differ in one setting alone, one prompt and seed per row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.axes import axis, scale, show, show_setting
from lora_lab.effective import compare
from lora_lab.report.images import Album, Tile, by_shot, chosen_shots, shot
from lora_lab.report.runs import ReportData
from lora_lab.store import Preview
from lora_lab.verdict.evidence import RunEvidence

MOST_COLUMNS = 6
MOST_IMAGES = 6
"""Training images that are shown."""


@dataclass(frozen=True)
class Column:
    """One run of a sheet; `mean` is that of its repeats, `trouble` says what went wrong with it."""

    head: str
    run: str
    score: str
    mean: str
    at: str
    trouble: str
    tiles: tuple[Tile | None, ...]


@dataclass(frozen=True)
class SideBySide:
    """Rows of one prompt and seed each, columns of one run each."""

    caption: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]


def sheets(data: ReportData, key: str, album: Album) -> list[SideBySide]:
    """The sheets of one setting: one per set of runs alike in the rest, those nearest the reference first."""
    found = []
    sets = matched_sets(data.evidence.own, key)
    for runs in sorted(sets, key=lambda runs: len(_others(data, key, runs[0]))):
        ordered = _ordered(data, key, runs)
        for start in range(0, len(ordered), MOST_COLUMNS):
            found.append(_sheet(data, key, ordered[start : start + MOST_COLUMNS], album))
    return found


def _ordered(data: ReportData, key: str, runs: Sequence[RunEvidence]) -> list[RunEvidence]:
    """The runs along the setting's axis; of names the reference's comes first."""
    lies = scale(axis(key), [run.settings[key] for run in runs])
    usual = data.reference.settings.get(key)
    first = [lies.kind != "category" or run.settings[key] != usual for run in runs]
    return [runs[at] for at in sorted(range(len(runs)), key=lambda at: (first[at], lies.places[at]))]


def matched_sets(runs: Sequence[RunEvidence], key: str) -> list[list[RunEvidence]]:
    """Runs that differ in `key` alone, one per value, the set with the first run of the plan first."""
    known = [run for run in runs if run.settings]
    pairs = next(
        (
            item.pairs
            for item in compare([(run.name, run.settings) for run in known]).settings
            if item.key == key
        ),
        (),
    )
    partner: dict[str, set[str]] = {}
    for one, other in pairs:
        partner.setdefault(one, set()).add(other)
        partner.setdefault(other, set()).add(one)
    found, taken = [], set[str]()
    for run in known:
        if run.name in taken or run.name not in partner:
            continue
        by_value: dict[str, RunEvidence] = {repr(run.settings[key]): run}
        alike = [item for item in known if item.name in partner[run.name] and item.name not in taken]
        for item in sorted(alike, key=lambda item: item.seed != run.seed):
            by_value.setdefault(repr(item.settings[key]), item)
        groups = {run.group, *(item.group for item in alike)}
        taken |= {item.name for item in known if item.group in groups}
        if len(by_value) > 1:
            found.append(list(by_value.values()))
    return found


def _sheet(data: ReportData, key: str, runs: Sequence[RunEvidence], album: Album) -> SideBySide:
    words = data.words
    rows = _rows(data, runs)
    changed = _others(data, key, runs[0])
    caption = (
        words.say("with", settings=words.changed(changed))
        if changed
        else words.say("with_reference", reference=data.reference.name)
    )
    texts = tuple(
        words.say("prompt_row", text=item.label, seed=item.seed, strength=show(float(item.strength)))
        for item in rows
    )
    heads = {run.name: f"{words.label(key)} {show_setting(key, run.settings[key])}" for run in runs}
    return SideBySide(caption, texts, tuple(_column(data, run, heads[run.name], rows, album) for run in runs))


def _others(data: ReportData, key: str, run: RunEvidence) -> dict[str, Any]:
    """In what a run differs from the reference beside the setting."""
    return {name: value for name, value in data.changes(run).items() if name != key}


def _rows(data: ReportData, runs: Sequence[RunEvidence]) -> list[Preview]:
    """The previews of the first run that has any; the other runs show the same prompts and seeds."""
    shown = (data.shown(run) for run in runs)
    return next((chosen_shots(item.previews) for item in shown if item and item.previews), [])


def _column(data: ReportData, run: RunEvidence, head: str, rows: Sequence[Preview], album: Album) -> Column:
    checkpoint, worker = data.shown(run), data.worker(run)
    have = by_shot(checkpoint.previews) if checkpoint else {}
    files = [have.get(shot(row)) for row in rows]
    score = data.words.number(run.score) if run.score is not None else ""
    places = [worker.file(item) if item else None for item in files]
    tiles = tuple(album.add(place) if place else None for place in places)
    return Column(head, run.name, score, data.mean(run), data.at(checkpoint), data.trouble(run), tiles)


def thumbnail(data: ReportData, run: RunEvidence, album: Album) -> Tile | None:
    """The first image of a run, for the table of all runs."""
    checkpoint = data.shown(run)
    first = chosen_shots(checkpoint.previews, 1) if checkpoint else []
    place = data.worker(run).file(first[0]) if first else None
    return album.add(place) if place else None


def material(data: ReportData, album: Album) -> tuple[list[Tile], list[tuple[str, Tile]]]:
    """Training images, and the bare base model's images of the reference's prompts with their text."""
    files = data.subject.sweep.training_images
    first = [file for file in files if file.parent == files[0].parent][:MOST_IMAGES]
    images = [tile for tile in map(album.add, first) if tile]
    return images, _bare(data, album)


def _bare(data: ReportData, album: Album) -> list[tuple[str, Tile]]:
    worker = data.worker(data.reference)
    if worker.config is None:
        return []
    place = anchor_folder(worker.folder, worker.config, worker.record)
    found = []
    for item in _rows(data, [data.reference, *data.evidence.own]):
        tile = album.add(place / anchor_name(item.prompt, item.seed))
        if tile:
            found.append((item.label, tile))
    return found

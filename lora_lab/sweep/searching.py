"""A search as a sweep: what was seen so far, what is still to be judged, and the rows of the next round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np

from lora_lab.config import RunConfig, compose, flat, groups, nearest, settings
from lora_lab.effective import examine
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.metrics.registry import OF_100, PEOPLE
from lora_lab.search import Choices, Observation, Proposal, Range, Space, best, next_round
from lora_lab.search.spec import SearchSpec
from lora_lab.store import SweepFolder
from lora_lab.store.reading import Run, Sweep, read_sweep_folder
from lora_lab.store.rounds import Proposed, read_rounds
from lora_lab.sweep.devices import device_type
from lora_lab.sweep.file import RowSpec, SweepFile
from lora_lab.sweep.judges import wrong_judge
from lora_lab.sweep.text import value_text
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.gather import evidence

BROKEN = 0.0
"""The score of a run that diverged: its settings are known to fail."""
_MIDDLE, _SPREAD = 50.0, 15.0
"""What metrics of another scale are brought to, so that one idea of noise serves all."""


@dataclass(frozen=True)
class Seen:
    """What is known: `observations` of this sweep and of earlier ones, `unjudged` runs of the last round."""

    observations: list[Observation]
    unjudged: list[str]
    of_other_sweeps: int = 0


def check_search(sweep: SweepFile, extra: Sequence[str]) -> None:
    """Refuse a search over settings that do not exist, or by a judge that its runs would have no number of.

    Raises:
        ConfigError: Each mistake, with the nearest known name.
    """
    spec = sweep.search
    assert spec is not None
    known, searched = [*settings(), *groups()], spec.space.keys()
    wrong = [
        f"search: space: unknown setting {key}{nearest(key, known)}" for key in searched if key not in known
    ]
    # With an unknown setting in it nothing can be composed.
    choices = [{}] if wrong else _measures(spec)
    if text := next((text for one in choices if (text := _wrong_judge(spec.judge, sweep, extra, one))), ""):
        wrong.append(text)
    if wrong:
        raise ConfigError("\n".join(wrong))


_MEASURING = ("metric", "preview", "recipe")


def _measures(spec: SearchSpec) -> list[dict[str, Any]]:
    """The combinations of what a space chooses about measuring; one of nothing where it chooses nothing."""
    found = {}
    for one in spec.space.candidates(np.random.default_rng(0)):
        chosen = {key: value for key, value in one.items() if key.split(".")[0] in _MEASURING}
        found[repr(chosen)] = chosen
    return list(found.values())


def _wrong_judge(judge: str, sweep: SweepFile, extra: Sequence[str], chosen: Mapping[str, Any]) -> str:
    """Why runs with these choices of the space would have no number of the judge; '' where they have."""
    words = overrides_of(chosen)
    config = compose([*sweep.base, *words, *extra], sweep.config_dirs, checked=False)
    text = wrong_judge("search: judge", judge, config)
    return f"{text} (where space sets {' '.join(words)})" if text and words else text


def with_rounds(sweep: SweepFile, proposed: Sequence[Proposed]) -> SweepFile:
    """The sweep with the rows that the search has proposed behind its own."""
    own = {row.name for row in sweep.rows}
    rows = [RowSpec(item.name, overrides_of(item.settings)) for item in proposed if item.name not in own]
    order = tuple(dict.fromkeys([*sweep.order, *(row.name for row in rows)]))
    return replace(sweep, rows=(*sweep.rows, *rows), order=order)


def as_it_stands(sweep: SweepFile, extra: Sequence[str], folder: SweepFolder | None) -> SweepFile:
    """The sweep with all that was proposed so far; where nothing was, with what a first round will be."""
    spec = sweep.search
    assert spec is not None
    check_search(sweep, extra)
    place = folder or folder_of(sweep, extra)
    proposed = read_rounds(place)
    if not proposed:
        seen = look(place, spec, material_of(sweep, spec, extra))
        proposed = propose(sweep, spec, extra, seen, [])
    return with_rounds(sweep, proposed)


def overrides_of(chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings as overrides: choices of a group first, since they set others."""
    ordered = sorted(chosen.items(), key=lambda item: "." in item[0])
    return tuple(f"{key}={value_text(value)}" for key, value in ordered)


Material = tuple[str, str]
"""The identities of images and base model."""


def material_of(sweep: SweepFile, spec: SearchSpec, extra: Sequence[str]) -> Material:
    """What the rows of a search are trained on.

    Raises:
        LoraLabError: The images or the base model cannot be used.
    """
    first = overrides_of(spec.space.candidates(np.random.default_rng(0), most=1)[0])
    config = compose([*sweep.base, *first, *extra], sweep.config_dirs, checked=False)
    identities = examine(config, device_type(config.device)).resolved.identities
    return identities["dataset"], identities["base_model"]


def look(folder: SweepFolder, spec: SearchSpec, material: Material | None = None) -> Seen:
    """Read the scores of the sweep, and of earlier ones on the same images and base model.

    Args:
        material: Images and base model; None leaves other sweeps out.

    Raises:
        RunFolderError: The sweep's folder or its rounds cannot be read, or no checkpoint has the metric.
    """
    sweep = read_sweep_folder(folder.path) if folder.path.is_dir() else Sweep(folder, {})
    metric = None if spec.judge == PEOPLE else spec.judge
    own = _observed(sweep, spec, metric)
    last = max((item.round for item in read_rounds(folder)), default=0)
    names = {item.name for item in read_rounds(folder) if item.round == last}
    judged = {item.run for item in own}
    unjudged = [
        name
        for name, run in sweep.runs.items()
        if name in names and name not in judged and run.status in ("done", "planned", "running", "cancelled")
    ]
    others = _of_others(folder, material, spec, metric) if material else []
    return Seen(_alike([*own, *others], spec.judge), unjudged, len(others))


def propose(
    sweep: SweepFile, spec: SearchSpec, extra: Sequence[str], seen: Seen, proposed: Sequence[Proposed]
) -> list[Proposed]:
    """The rows of the next round, named s01, s02, ... in one count over all rounds.

    Raises:
        ConfigError: The space holds too few combinations that were not tried yet.
    """
    base = flat(base_of(sweep, extra))
    tried = {repr(sorted(item.settings.items())) for item in proposed}
    number = max((item.round for item in proposed), default=0) + 1
    found: list[Proposal] = []
    # What a sampler comes back to would be taken for the same run: it is asked for more.
    for count in range(spec.per_round, 4 * spec.per_round + 1, spec.per_round):
        asked = min(count, spec.space.size())
        found = [
            item
            for item in next_round(
                spec.sampler, spec.space, base, seen.observations, asked, spec.seed + len(proposed)
            )
            if repr(sorted(item.settings.items())) not in tried
        ]
        found = list({repr(sorted(item.settings.items())): item for item in found}.values())
        if len(found) >= spec.per_round or asked == spec.space.size():
            break
    if not found:
        raise ConfigError("search: every combination of the space was tried; give settings more values")
    start = len(proposed) + 1
    return [
        Proposed(f"s{start + place:02d}", number, dict(item.settings), item.expected, item.sd)
        for place, item in enumerate(found[: spec.per_round])
    ]


def recommended(sweep: SweepFile, spec: SearchSpec, extra: Sequence[str], seen: Seen) -> Proposal:
    """The settings that all runs together speak for.

    Raises:
        ConfigError: Nothing has a score yet.
    """
    base = flat(base_of(sweep, extra))
    return best(spec.space, base, seen.observations, np.random.default_rng(spec.seed))


def base_of(sweep: SweepFile, extra: Sequence[str]) -> RunConfig:
    """The settings that all rows share."""
    return compose([*sweep.base, *extra], sweep.config_dirs, checked=False)


def folder_of(sweep: SweepFile, extra: Sequence[str]) -> SweepFolder:
    """Where the runs lie."""
    return SweepFolder(Path(base_of(sweep, extra).results).expanduser().absolute() / sweep.name)


def _observed(sweep: Sweep, spec: SearchSpec, metric: str | None) -> list[Observation]:
    try:
        found: Evidence | None = evidence(sweep, metric=metric)
    except LoraLabError:
        found = None  # nothing is scored yet
    scores = {run.name: run.score for run in found.runs if run.score is not None} if found else {}
    seen = []
    for name, run in sweep.runs.items():
        score = scores.get(name, BROKEN if run.status == "diverged" else None)
        values = _values(run, spec.space)
        if score is not None and values and not run.same_as:
            seen.append(Observation(values, score, run=name))
    return seen


def _values(run: Run, space: Space) -> dict[str, Any]:
    """What a run has for the searched settings; empty where its config cannot be read."""
    if run.config is None:
        return {}
    asked = flat(run.config)
    given = dict(text.lstrip("+").split("=", 1) for text in run.record.composed if "=" in text)
    found: dict[str, Any] = {}
    for part in space.parts:
        found |= _value(part, asked, given)
    return found


def _value(part: Choices | Range, asked: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    value = asked.get(part.key)
    if part.key not in asked:  # a group such as optimizer: what was chosen, else the name it leads to
        value = given.get(part.key) or asked.get(f"{part.key}.name") or asked.get(f"{part.key}.type")
    found = {part.key: value}
    if isinstance(part, Choices) and value in part.under:
        for inner in part.under[value].parts:
            found |= _value(inner, asked, given)
    return found


def _of_others(
    folder: SweepFolder, material: Material, spec: SearchSpec, metric: str | None
) -> list[Observation]:
    """Scored runs of the sweeps beside this one on the same images and base model."""
    found: list[Observation] = []
    for place in sorted(folder.path.parent.iterdir()) if folder.path.parent.is_dir() else ():
        if place == folder.path or not place.is_dir():
            continue
        try:
            other = read_sweep_folder(place)
        except (LoraLabError, OSError):
            continue
        same = {name for name, run in other.runs.items() if _material(run) == material}
        found += [
            replace(item, run=f"{place.name}/{item.run}")
            for item in (_observed(other, spec, metric) if same else ())
            if item.run in same
        ]
    return found


def _material(run: Run) -> Material | None:
    identities = run.record.resolved.get("identities", {}) if run.record.resolved else {}
    if not isinstance(identities, Mapping) or "dataset" not in identities:
        return None
    return str(identities["dataset"]), str(identities.get("base_model"))


def _alike(seen: list[Observation], judge: str) -> list[Observation]:
    """Scores as points from 0 to 100; numbers of another scale by their spread."""
    if judge in OF_100 or len(seen) < 2:
        return seen
    values = [item.score for item in seen]
    spread = pstdev(values) or 1.0
    return [replace(item, score=_MIDDLE + _SPREAD * (item.score - mean(values)) / spread) for item in seen]

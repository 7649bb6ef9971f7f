"""Sweep files: one question, and the rows that answer it.

The keys of a sweep file::

    question: text            what the sweep is to find out
    config_dirs: [folder]     folders of choices of one's own, as with --config-dir
    base: [override, ...]     what all rows share
    preview:                  settings of the base as blocks, as many as there are groups; also under base
      prompts: ["{trigger}, a red hat"]
    patterns:                 named rows, each a list of differences from the base
      "03": []
      "04": [base_model.clip_skip=2]
      "05": {base_model: {clip_skip: 2}}
    grid:                     a Cartesian product on the base; its rows stand beside the patterns
      network.network_alpha: [1, 16, 64]
    zip:                      settings that move together: one more axis of the grid
      optimizer: [adamw, lion]
      optimizer.learning_rate: [1e-4, 1e-5]
    replicates: 3             the base in all three times, with other seeds: base, base-r2, base-r3
    only: ["03", "04"]        these rows alone
    external:                 LoRAs that were trained elsewhere, by name, or as a list: rendered and scored
      theirs: /loras/theirs.safetensors
    search:                   rows that are proposed round by round, by the scores of all before
      space: {network.network_dim: [4, 16, 64], optimizer.learning_rate: {low: 1e-5, high: 1e-3, log: true}}
      rounds: 5               how many, of per_round: 5 rows each
      judge: score            people's scores; or a metric such as likeness, which needs nobody
      sampler: gp             or tpe, random; seed: 0

Grid and zip rows are named by their values (`network_alpha=16`). A pattern without differences is the base;
replicates are then named after it (`03-r2`). A file without rows is one run of the base.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab.config import key_of, nearest, settings
from lora_lab.errors import ConfigError
from lora_lab.sweep.blocks import block_overrides, is_block
from lora_lab.sweep.run_names import distinct, joined, run_problem, same_folder, split
from lora_lab.sweep.text import read_yaml, value_text

if TYPE_CHECKING:
    from lora_lab.search.spec import SearchSpec

KEYS = (
    "question",
    "config_dirs",
    "base",
    "patterns",
    "grid",
    "zip",
    "replicates",
    "only",
    "external",
    "search",
)


@dataclass(frozen=True)
class RowSpec:
    """A row before it is composed: its name, and how it differs from the sweep's base.

    `replicate` is 1 for an ordinary row, k for the k-th repetition of the base with another seed.
    """

    name: str
    overrides: tuple[str, ...]
    replicate: int = 1


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says, checked for form; the settings in it are checked when rows are composed.

    `order` names all rows that it has, those that were not asked for as well.
    """

    name: str
    path: Path | None = None
    question: str = ""
    base: tuple[str, ...] = ()
    rows: tuple[RowSpec, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()
    search: SearchSpec | None = None
    external: tuple[tuple[str, str], ...] = ()


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        ConfigError: Every mistake in the file's form at once, each with the file and the row.
    """
    values = read_yaml(path)
    wrong: list[str] = []
    dirs = _folders(values.get("config_dirs"), wrong)
    base = _base(values, dirs, wrong)
    rows = [*_patterns(values.get("patterns"), wrong), *_grid_rows(values, wrong)]
    rows += _replicates(values.get("replicates"), rows, wrong)
    search = _search(values, wrong)
    rows = rows or ([] if search else [RowSpec("base", ())])
    wrong += _name_clashes(rows)
    order = tuple(row.name for row in rows)
    rows = _only(rows, values.get("only"), wrong)
    external = _external(values.get("external"), rows, wrong)
    question = values.get("question") or ""
    if not isinstance(question, str):
        wrong.append(f"question must be text, got {question!r}")
    if wrong:
        raise ConfigError("\n".join(f"{path}: {line}" for line in wrong))
    return SweepFile(
        path.stem, path, question.strip(), tuple(base), tuple(rows), values, order, dirs, search, external
    )


def _external(value: Any, rows: Sequence[RowSpec], wrong: list[str]) -> tuple[tuple[str, str], ...]:
    """Files or folders with the name of the run; '' stands for the name of the file."""
    given = [("", path) for path in value] if isinstance(value, list) else value
    named = list(given.items()) if isinstance(given, dict) else given or []
    if not isinstance(named, list) or not all(isinstance(path, str) and path for _, path in named):
        wrong.append("external must be a list of LoRA files or folders, or map names to them")
        return ()
    names = [name for name, _ in named if isinstance(value, dict)]
    wrong += [f"external: {problem}" for name in names if (problem := run_problem(name))]
    taken = {same_folder(row.name) for row in rows}
    wrong += [
        f"external: {name!r} is a row, too: rename one" for name in names if same_folder(str(name)) in taken
    ]
    return tuple((str(name), path) for name, path in named)


def _search(values: dict[Any, Any], wrong: list[str]) -> SearchSpec | None:
    if "search" not in values:
        return None
    # Scipy and numpy take a moment to import: a file without a search does not wait for them.
    from lora_lab.search.spec import read_search

    try:
        return read_search(values["search"])
    except ConfigError as error:
        wrong += str(error).splitlines()
        return None


def select(sweep: SweepFile, only: Sequence[str]) -> SweepFile:
    """The sweep with the named rows alone, in the file's order; an empty list keeps all.

    Raises:
        ConfigError: A name is not a row of the sweep.
    """
    wrong: list[str] = []
    rows = _only(list(sweep.rows), list(only) or None, wrong)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return replace(sweep, rows=tuple(rows))


def rows_from_overrides(jobs: Sequence[Sequence[str]], name: str = "multirun") -> SweepFile:
    """The jobs of a Hydra multirun as a sweep; what all jobs share is its base.

    A row is named by the overrides that are not the same in all jobs (`optimizer=lion,network_alpha=16`),
    so that the same command makes the same folders; a single job is named by all of its overrides.
    """
    shared = [text for text in jobs[0] if len(jobs) > 1 and all(text in job for job in jobs)] if jobs else []
    differing = [tuple(text for text in job if text not in shared) for job in jobs]
    names = [joined([split(text) for text in job]) or "base" for job in differing]
    rows = [
        RowSpec(unique, job)
        for unique, job in zip(distinct(names, [",".join(job) for job in differing]), differing, strict=True)
    ]
    once = list({row.overrides: row for row in rows}.values())
    return SweepFile(name, None, "", tuple(shared), tuple(once), {})


def _folders(value: Any, wrong: list[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        wrong.append(f"config_dirs must be a list of folders, got {value!r}")
        return ()
    return tuple(value)


def _base(values: dict[Any, Any], dirs: Sequence[str], wrong: list[str]) -> list[str]:
    """What all rows share: the base, and the blocks beside it."""
    blocks = {key: value for key, value in values.items() if key not in KEYS and is_block(key, dirs)}
    for key in values:
        if key not in KEYS and key not in blocks:
            known = f"known: {', '.join(KEYS)}, settings and their groups"
            wrong.append(f"unknown key {key!r}{nearest(str(key), [*KEYS, *settings()])} {known}")
    base, beside = _overrides(values.get("base"), "base", wrong), block_overrides(blocks)
    both = {key_of(text) for text in base} & {key_of(text) for text in beside}
    wrong += [f"{key} stands in base and beside it: keep it in one" for key in sorted(both)]
    return [*base, *beside]


def _overrides(value: Any, where: str, wrong: list[str]) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        value = [value]
    found = []
    for item in value:
        if isinstance(item, dict):
            found += block_overrides(item)
        elif not isinstance(item, str):
            wrong.append(f"{where} holds {item!r}, which is no setting: write [KEY=VALUE, ...] or KEY: VALUE")
        elif "=" not in item:
            wrong.append(f"{where} holds {item!r}: write key=value (quote overrides with commas in them)")
        else:
            found.append(item)
    return found


def _patterns(value: Any, wrong: list[str]) -> list[RowSpec]:
    if value is None:
        return []
    if not isinstance(value, dict):
        wrong.append('patterns must name its rows, as in "04": [base_model.clip_skip=2]')
        return []
    rows = []
    for name, overrides in value.items():
        problem = run_problem(name)
        if problem:
            wrong.append(f"patterns: {problem}")
        rows.append(RowSpec(str(name), tuple(_overrides(overrides, f"row {str(name)!r}", wrong))))
    return rows


def _axes(value: Any, where: str, wrong: list[str]) -> dict[str, list[str]]:
    """Key to override texts of a `grid` or `zip` section."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        wrong.append(f"{where} must map settings to lists of values, as in network.network_alpha: [1, 16]")
        return {}
    axes = {}
    for key, items in value.items():
        if not isinstance(items, list) or not items:
            example = "1, 16" if isinstance(items, (list, dict)) else f"{value_text(items)}, ..."
            wrong.append(f"{where}: {key} needs a list of values, as in {key}: [{example}]")
            continue
        axes[str(key)] = [f"{key}={value_text(item)}" for item in items]
        if len(set(axes[str(key)])) < len(items):
            wrong.append(f"{where}: {key} holds a value twice: {value_text(items)}")
            if where == "grid":  # rows of one name would be a second message for the same mistake
                axes[str(key)] = list(dict.fromkeys(axes[str(key)]))
    return axes


def _grid_rows(values: dict[Any, Any], wrong: list[str]) -> list[RowSpec]:
    grid = _axes(values.get("grid"), "grid", wrong)
    together = _axes(values.get("zip"), "zip", wrong)
    lengths = {key: len(items) for key, items in together.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        wrong.append(f"zip: settings that move together need equally many values: {counts}")
        return []
    for key in sorted(set(grid) & set(together)):
        wrong.append(f"{key} stands in grid and in zip: keep it in one")
    axes = [[(item,) for item in items] for items in grid.values()]
    if together:
        axes.append(list(zip(*together.values(), strict=True)))
    if not axes:
        return []
    jobs = [tuple(text for part in combination for text in part) for combination in product(*axes)]
    # An override that all rows share is still named: a grid over one value is a statement, too.
    names = distinct([joined([split(text) for text in job]) for job in jobs], [",".join(job) for job in jobs])
    return [RowSpec(name, job) for name, job in zip(names, jobs, strict=True)]


def _replicates(value: Any, rows: Sequence[RowSpec], wrong: list[str]) -> list[RowSpec]:
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        wrong.append(f"replicates must be a number of runs of the base, at least 1, got {value!r}")
        return []
    base = next((row for row in rows if not row.overrides), None)
    name = base.name if base else "base"
    first = [] if base else [RowSpec(name, ())]
    return first + [RowSpec(f"{name}-r{k}", (), k) for k in range(2, value + 1)]


def _name_clashes(rows: Sequence[RowSpec]) -> list[str]:
    seen: dict[str, str] = {}
    wrong = []
    times = Counter(row.name for row in rows)
    for row in rows:
        other = seen.setdefault(same_folder(row.name), row.name)
        if other != row.name or times[row.name] > 1:
            wrong.append(f"row {row.name!r} has the same folder as row {other!r}: rename one")
    return list(dict.fromkeys(wrong))


def _only(rows: list[RowSpec], value: Any, wrong: list[str]) -> list[RowSpec]:
    if value is None:
        return rows
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or not value:
        wrong.append(f'only must be a list of row names in quotes, as in ["03", "04"], got {value!r}')
        return rows
    known = [row.name for row in rows]
    for name in value:
        if name not in known:
            wrong.append(f"only: unknown row {name!r}{nearest(name, known) or ';'} known: {', '.join(known)}")
    return [row for row in rows if row.name in value]

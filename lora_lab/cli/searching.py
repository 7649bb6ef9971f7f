"""`lora-lab sweep` on a file with `search:`: round by round, alone by a metric or with people in between."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from lora_lab.cli.ending import exit_code
from lora_lab.cli.start import carry_out
from lora_lab.counts import counted
from lora_lab.errors import ConfigError
from lora_lab.metrics.registry import PEOPLE
from lora_lab.search.spec import SearchSpec
from lora_lab.store import SweepFolder
from lora_lab.store.rounds import Proposed, read_rounds, write_rounds
from lora_lab.sweep import SweepFile
from lora_lab.sweep.searching import (
    Seen,
    check_search,
    folder_of,
    look,
    material_of,
    overrides_of,
    propose,
    recommended,
    with_rounds,
)


def search(
    rows: SweepFile, extra: Sequence[str], folder: SweepFolder | None, given: argparse.Namespace
) -> tuple[dict[str, Any], int]:
    """Go on with a search: train what was proposed, then propose more, until a person is needed.

    Whatever ends it, the same command goes on: what was proposed is written before it is trained.

    Returns:
        Where it stopped, for programs, and the exit code.

    Raises:
        ConfigError: The space or the judge is unknown, or nothing is left to try.
    """
    spec = rows.search
    assert spec is not None
    check_search(rows, extra)
    place = folder or folder_of(rows, extra)
    told, code = _go_on(rows, extra, place, given)
    return {"sweep": place.name, "folder": str(place.path), "rounds": spec.rounds, **told}, code


def _go_on(
    rows: SweepFile, extra: Sequence[str], place: SweepFolder, given: argparse.Namespace
) -> tuple[dict[str, Any], int]:
    """Round after round; where it stopped, for programs, and the exit code."""
    spec = rows.search
    assert spec is not None
    proposed, code = read_rounds(place), 0
    material = material_of(rows, spec, extra)
    while True:
        at = proposed[-1].round if proposed else 0
        now = with_rounds(rows, proposed)
        if now.rows:
            _, outcome = carry_out(now, extra, place, given)
            code = exit_code(outcome)
            if outcome.interrupted:
                return {"state": "interrupted", "round": at}, code
        seen = look(place, spec, material)
        if seen.unjudged and spec.judge == PEOPLE:
            _ask_for_scores(place, spec, proposed, seen)
            return {"state": "waits for scores", "round": at, "unjudged": list(seen.unjudged)}, code
        if proposed and proposed[-1].round >= spec.rounds:
            return {"state": "over", "round": at, "recommended": _conclude(rows, extra, place, seen)}, code
        proposed = [*proposed, *propose(rows, spec, extra, seen, proposed)]
        write_rounds(place, proposed)
        _show_round(spec, proposed, seen)


def _console() -> Console:
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def _show_round(spec: SearchSpec, proposed: Sequence[Proposed], seen: Seen) -> None:
    number = proposed[-1].round
    known = f", by {counted(len(seen.observations), 'scored run')}" if seen.observations else ""
    of_others = f", {seen.of_other_sweeps} of them of other sweeps" if seen.of_other_sweeps else ""
    out = _console()
    out.print(f"[bold]round {number} of {spec.rounds}[/]{known}{of_others}:")
    for item in proposed:
        if item.round == number:
            hope = "" if item.expected is None else f"   expected {item.expected:.0f} ± {item.sd:.0f}"
            out.print(f"  {item.name}  {escape(' '.join(overrides_of(item.settings)))}{hope}")


def _ask_for_scores(place: SweepFolder, spec: SearchSpec, proposed: Sequence[Proposed], seen: Seen) -> None:
    count = len(seen.unjudged)
    _console().print(
        f"[bold]round {proposed[-1].round} of {spec.rounds} is trained[/]; {count} of its runs "
        f"{'waits' if count == 1 else 'wait'} for a score ({', '.join(seen.unjudged)}): score them "
        f"blind with `lora-lab review {place.path}`, then the same command goes on"
    )


def _conclude(rows: SweepFile, extra: Sequence[str], place: SweepFolder, seen: Seen) -> dict[str, Any] | None:
    """Say what all runs together speak for; None where nothing has a score."""
    from lora_lab.search.journal import write_journal

    spec = rows.search
    assert spec is not None
    out = _console()
    try:
        found = recommended(rows, spec, extra, seen)
    except ConfigError as error:
        out.print(f"[yellow]note:[/] {escape(str(error))}")
        return None
    held = write_journal(place.search_journal, spec.space, seen.observations, place.name)
    speak = counted(len(seen.observations), "scored run speaks", "scored runs together speak")
    out.print(
        f"[bold]the search is over[/]: {speak} for "
        f"{escape(' '.join(overrides_of(found.settings)))} (expected {found.expected:.0f} ± {found.sd:.0f})"
    )
    out.print(f"{counted(held, 'run')} for optuna-dashboard: {place.search_journal}")
    return {"settings": found.settings, "expected": found.expected, "sd": found.sd}

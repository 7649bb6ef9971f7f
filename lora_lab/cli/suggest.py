"""`lora-lab suggest`: what to run next, as a sweep file to read and edit."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from lora_lab.axes import axis
from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import write_text
from lora_lab.metrics.registry import OF_100
from lora_lab.outputs import owner, refuse_to_overwrite, remember
from lora_lab.verdict.analysis import analyse
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.gather import evidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.model import Model
from lora_lab.verdict.next import COMBINE, Next, Suggested, suggest
from lora_lab.verdict.outcomes import number
from lora_lab.verdict.taken import before


def suggest_rows(given: argparse.Namespace) -> int:
    """Print a sweep file of the rows to run next, or write it."""
    if given.n < 1:
        raise ConfigError(f"--n must be a number of rows of at least 1, got {given.n}")
    folder = sweep_folder(Path(given.sweep), given.results)
    found = evidence(folder, score=given.checkpoint, metric=given.metric)
    if not found.scored:
        raise RunFolderError(
            f"no run of {found.name} has a score yet: `lora-lab review {found.name}`, or --metric NAME"
        )
    prior, looks = before(folder, found)
    on, verdict = analyse(found, prior=prior, looks=looks), judge(found, prior=prior, looks=looks)
    proposed = suggest(on, verdict, given.n)
    text = written(found.name, proposed, found.criterion in OF_100)
    if given.output:
        target = Path(given.output)
        by = owner("suggest", folder.path, target)
        refuse_to_overwrite([target], by)
        write_text(target, text)
        remember([target], by)
    if given.json:
        print_json({"sweep": found.name, "file": given.output, **_plain(proposed)})
    elif given.output:
        print(f"wrote {given.output}: read and edit it, then `lora-lab sweep {quote(str(given.output))}`")
    else:
        sys.stdout.write(text)
    return 0


def _plain(found: Next) -> dict[str, Any]:
    """What is proposed, for programs, and what the verdict leaves open."""
    model = found.model and {
        "explained": found.model.explained, "residual_sd": found.model.residual_sd
    }  # fmt: skip
    rows = [asdict(row) for row in found.rows]
    return {
        "base": list(found.base),
        "rows": rows,
        "expected_of_recommended": found.best,
        "model": model,
        "tested": found.tested,
        "open": list(found.open),
    }


def written(name: str, found: Next, of_100: bool) -> str:
    """The sweep file, with what each row is expected to score and to decide as comments."""
    model = found.model
    if not found.rows:
        return _stop(name, found, of_100)
    lines = [f"# What to run next after {name}: read and edit it, then `lora-lab sweep FILE`."]
    if model is not None and found.best is not None:
        lines.append(
            f"# Expected scores are a model's ({_checked(model, of_100)}); the recommended run, trained "
            f"again: {_number(found.best, of_100)}."
        )
    elif model is not None:
        lines += [
            f"# No scores are expected of these rows: the model of all runs does not predict one run from "
            f"the others ({_checked(model, of_100)}).",
            "# What is combined here only adds up what single changes did: a guess that nobody tested.",
        ]
    if not found.tested:
        lines.append("# Nothing is tested yet: no repeat measures how far chance moves a score.")
    lines += [yaml.safe_dump({"question": f"What comes after {name}?", "base": list(found.base)}, width=200)]
    lines.append("patterns:")
    for row in found.rows:
        lines.append(f"  # {_why(row, of_100)}")
        own = ", ".join(_quoted(text) for text in row.overrides)
        lines.append(f"  {_quoted(row.name)}: [{own}]")
    return "\n".join(lines) + "\n"


def _stop(name: str, found: Next, of_100: bool) -> str:
    """Why there is nothing to propose; "decided" only where the verdict decides every setting."""
    model = found.model
    if not found.tested:
        return (
            f"# nothing to propose after {name}, and nothing is tested: every score is 0 or 100, which hides "
            "how far chance moves it;\n# change the settings less, or score more finely\n"
        )
    if found.open:
        return (
            f"# nothing to propose after {name}, which is not decided: no reasonable number of runs would "
            f"decide {', '.join(axis(key).label for key in found.open)}\n"
        )
    if model is None or model.predicts:
        return (
            f"# stop: on these scores {name} is decided: no combination is expected to be better by enough "
            "to matter,\n# and no setting is open\n"
        )
    return (
        f"# nothing to propose after {name}: no setting is open,\n"
        f"# and the model of all runs does not predict one run from the others "
        f"({_checked(model, of_100)}),\n"
        "# so that it cannot say whether a combination would be better\n"
    )


def _checked(model: Model, of_100: bool) -> str:
    """How well a model says of each run what the others know of it."""
    left_out = max(abs(value) for value in model.residuals.values())
    scale = Scale(0.0, of_100, "")
    return (
        f"leaving out one of {len(model.residuals)} runs at a time, {model.explained:.0%} of the scores' "
        f"variance is predicted, rank correlation {model.rank:+.2f}, by chance p {model.by_chance:.2g}; "
        f"residuals {points(model.residual_sd, scale, signed=False)}, "
        f"at most {points(left_out, scale, signed=False)}"
    )


def _why(row: Suggested, of_100: bool) -> str:
    expected = ""
    if row.score is not None and row.sd is not None:
        low, high = (_number(row.score + way * row.sd, of_100) for way in (-1, 1))
        expected = f"expected {_number(row.score, of_100)} ({low} to {high})"
    if row.kind == COMBINE:
        return f"{expected or 'a guess'}: combines {' and '.join(row.of)}"
    decides = ", ".join(axis(key).label for key in row.decides)
    return f"{expected + '; ' if expected else ''}repeats {row.of[0]}; helps to decide {decides}"


def _number(value: float, of_100: bool) -> str:
    """A score that is expected; a model may expect more than there can be."""
    return number(min(100.0, max(0.0, value)) if of_100 else value, Scale(0.0, of_100, ""))


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=10**6).strip()

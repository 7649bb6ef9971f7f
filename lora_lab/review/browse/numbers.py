"""The pages without images: curves, timings, and how settings differ."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from lora_lab.review.browse.chart import MOST_SERIES, drawing
from lora_lab.review.browse.curves import PROGRESS, StepLogs, charts
from lora_lab.review.browse.differences import differences
from lora_lab.review.browse.preview import duration, size_text
from lora_lab.review.browse.runs import Run, Sweep
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.store import PHASES

CHOSEN_AT_FIRST = 4


def _chosen(request: Request, sweep: Sweep, most: int) -> list[Run]:
    """The runs that the address names, in the order of the plan."""
    asked = set(request.query_params.getlist("run"))
    return [run for run in sweep.runs.values() if run.name in asked][:most]


def curves_page(request: Request) -> Response:
    """Loss, learning rate and gradient norm of chosen runs."""
    gallery = gallery_of(request)
    sweep = gallery.read(request.path_params["sweep"])
    logs: StepLogs = gallery.step_logs
    runs = _chosen(request, sweep, MOST_SERIES)
    if not runs:
        logged = (run for run in sweep.runs.values() if not run.same_as and logs.of(run).columns)
        runs = [run for run, _ in zip(logged, range(CHOSEN_AT_FIRST), strict=False)]
    progress = request.query_params.get("against", "step")
    progress = progress if progress in PROGRESS else "step"
    label, unit = PROGRESS[progress]
    title = f"{label} ({unit})" if unit and unit != label else label
    values = {
        "sweep": sweep,
        "tab": "curves",
        "chosen": {run.name: number for number, run in enumerate(runs)},
        "drawings": [drawing(chart, title) for chart in charts(runs, logs, progress)],
        "against": progress,
        "progress": PROGRESS,
        "most": MOST_SERIES,
    }
    return page(request, "look_curves.html", values)


def timings_page(request: Request) -> Response:
    """Where each run's time went."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    runs = list(sweep.runs.values())
    longest = max((_total(run) for run in runs), default=0.0)
    values = {
        "sweep": sweep,
        "tab": "timings",
        "phases": PHASES,
        "total": _total,
        "longest": longest,
        "duration": duration,
        "size_text": size_text,
        "speed": _speed,
    }
    return page(request, "look_timings.html", values)


def _total(run: Run) -> float:
    """Seconds of all phases; a run that did no work of its own took none."""
    return 0.0 if run.same_as else sum(run.record.seconds.values())


def _speed(run: Run) -> float:
    """Samples per second of training, 0 where none are known."""
    seconds = run.record.seconds.get("train", 0.0)
    return run.record.samples / seconds if seconds else 0.0


def settings_page(request: Request) -> Response:
    """How the settings of chosen runs differ; of all runs where fewer than two are chosen."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    runs: Sequence[Run] = _chosen(request, sweep, len(sweep.runs))
    values = {
        "sweep": sweep,
        "tab": "settings",
        "runs": runs,
        "table": differences(runs) if len(runs) > 1 else [],
        "common": _common(runs),
    }
    return page(request, "look_settings.html", values)


def _common(runs: Sequence[Run]) -> int:
    """How many settings the runs have in common."""
    keys = set.intersection(*(set(run.settings) for run in runs)) if runs else set()
    return len(keys) - len(differences(runs)) if len(runs) > 1 else 0

"""Closing a blind session, and what it said once names may be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.browse.runs import Sweep
from lora_lab.review.session.again import offered
from lora_lab.review.session.sessions import SessionProgress, guarded, remember, session_store_of
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.store import Pair, Place, Score, ScoreLog, Shot, Skip
from lora_lab.words import stage

if TYPE_CHECKING:
    from lora_lab.verdict.leaders import SecondSession


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/session/{session}/close", taking(close), methods=["POST"]),
        Route("/session/{session}/discard", taking(discard), methods=["POST"]),
        *guarded([Route("/sweep/{sweep}/result/{session}", result)]),
    ]


def close(request: Request, given: Posted) -> Response:
    """End a session for good, and show what it said."""
    session_store = session_store_of(request)
    with session_store.lock:
        progress = session_store.find(request.path_params["session"])
        if not progress.session.closed:
            session_store.write(progress, "close")
    answer = RedirectResponse(f"/sweep/{quote(progress.sweep)}/result/{progress.session.id}", 303)
    remember(request, answer, progress.session.id, keep=False)
    return answer


def discard(request: Request, given: Posted) -> Response:
    """Take a session back that was opened by mistake: nothing of it counts from now on; the log keeps it."""
    session_store = session_store_of(request)
    with session_store.lock:
        progress = session_store.find(request.path_params["session"])
        session_store.write(progress, "discard")
    answer = RedirectResponse(f"/sweep/{quote(progress.sweep)}", 303)
    remember(request, answer, progress.session.id, keep=False)
    return answer


def result(request: Request) -> Response:
    """What a closed session said."""
    progress = session_store_of(request).find(request.path_params["session"])
    if progress.sweep != request.path_params["sweep"]:
        raise HTTPException(404, "there is no such session")
    if not progress.session.closed:
        raise HTTPException(409, "this session is still open: its names are shown when it is closed")
    sweep = gallery_of(request).read(progress.sweep)
    if progress.session.mode == "compare":
        return page(request, "compare_result.html", {"sweep": sweep, **_compared(sweep, progress)})
    values = {"sweep": sweep, "again": _again(request, sweep, progress), **_scored(sweep, progress)}
    return page(request, "score_result.html", values)


def _again(request: Request, sweep: Sweep, progress: SessionProgress) -> SecondSession | None:
    """What a second look at the leaders would bring; None where nothing is left open."""
    return offered(sweep, session_store_of(request).log(progress.sweep), progress)


@dataclass(frozen=True)
class ScoredRow:
    """One checkpoint's scores of a session, the first and the hidden repeat."""

    place: Place
    changes: str
    values: tuple[float, ...]
    said: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def value(self) -> float:
        """The mean of its scores."""
        return mean(self.values)


def changes_of(sweep: Sweep, run: str) -> str:
    """What a run changes, in words; a run that has gone from the disk has none."""
    if run not in sweep.runs:
        return "this run is gone"
    return ", ".join(f"{label} {value}" for _, label, value in sweep.runs[run].changes) or "the base settings"


def _images(sweep: Sweep, place: Place, shots: Sequence[Shot], drawn: Sequence[str]) -> tuple[str, ...]:
    """What was shown of a checkpoint, as far as it is still among its previews: never others in its place."""
    run = sweep.runs.get(place[0])
    if run is None:
        return ()
    if drawn:
        by_drawn = {item.drawn: item for (tag, *_), item in run.previews.items() if tag == place[1]}
        previews = [by_drawn.get(look) for look in drawn]
    else:
        previews = [run.previews.get((place[1], *shot)) for shot in shots]
    return tuple(run.image(place[1], item) for item in previews if item)


def _scored(sweep: Sweep, progress: SessionProgress) -> dict[str, object]:
    from lora_lab.verdict.raters import combine

    scores = [item for _, item in sorted(progress.judged.items()) if isinstance(item, Score)]
    places = dict.fromkeys(item.place for item in scores)
    rows = [
        _row(sweep, progress, place, [item for item in scores if item.place == place]) for place in places
    ]
    # Of one session alone: a rater's other sessions are their own matter.
    raters = combine(ScoreLog(scores=scores), {}).raters
    skips = [item for item in progress.judged.values() if isinstance(item, Skip)]
    return {
        "session": progress.session,
        "rows": sorted(rows, key=lambda row: -row.value),
        "rater": raters[0] if raters else None,
        "points": [(item.position, item.value, f"{item.run} {stage(item.tag)}") for item in scores],
        "skipped": [(item.run, item.tag) for item in skips],
        "left": progress.total - len(progress.judged),
        "repeats": [row for row in rows if len(row.values) > 1],
        "seconds": sorted(item.seconds for item in scores if item.seconds is not None),
    }


def _row(sweep: Sweep, progress: SessionProgress, place: Place, scores: Sequence[Score]) -> ScoredRow:
    return ScoredRow(
        place,
        changes_of(sweep, place[0]),
        tuple(item.value for item in scores),
        tuple(dict.fromkeys(text for item in scores for text in (*item.tags, item.note) if text)),
        _images(sweep, place, progress.session.shots, scores[-1].drawn),
    )


def _compared(sweep: Sweep, progress: SessionProgress) -> dict[str, object]:
    from lora_lab.verdict.ranking import ranking

    pairs = [item for _, item in sorted(progress.judged.items()) if isinstance(item, Pair)]
    rows = ranking(progress.session.places, pairs)
    drawn = {
        place: look for item in pairs for place, look in zip((item.left, item.right), item.drawn, strict=True)
    }
    reach = max((max(abs(row.low), abs(row.high)) for row in rows), default=1.0)
    return {
        "session": progress.session,
        "rows": [
            (
                row,
                changes_of(sweep, row.place[0]),
                _images(sweep, row.place, progress.session.shots, drawn.get(row.place, ())),
            )
            for row in rows
        ],
        "reach": reach,
        "counts": {name: sum(pair.result == name for pair in pairs) for name in ("tie", "both_bad")},
        "pairs": len(pairs),
        "never": len(progress.session.places) - len(rows),
    }

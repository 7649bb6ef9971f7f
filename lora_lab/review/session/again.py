"""A second session for the leaders: what the first one left open, looked at again, blind."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.browse.runs import Sweep
from lora_lab.review.session.blind import Step, candidates, is_of, shots_of
from lora_lab.review.session.sessions import (
    SessionProgress,
    SessionStore,
    guarded,
    remember,
    session_store_of,
)
from lora_lab.review.session.setup import SEEDS
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of
from lora_lab.store import Place, ScoreLog, append_score_line

if TYPE_CHECKING:
    from lora_lab.verdict.leaders import SecondSession


def routes() -> list[Route]:
    """The routes of this module."""
    return guarded([Route("/sweep/{sweep}/again/{session}", taking(start), methods=["POST"])])


@dataclass(frozen=True)
class Again:
    """What a rater gave so far to what was shown in a session, and how steadily.

    Attributes:
        given: Scores by checkpoint, of the same images, in all of the rater's sessions, with the level of
            each session taken out.
        eye_sd: The standard deviation of one score that is reckoned with.
    """

    given: dict[Place, list[float]]
    eye_sd: float


def known(sweep: Sweep, log: ScoreLog, progress: SessionProgress) -> Again | None:
    """What a second session can go by; None where too little was scored, or images are gone."""
    from lora_lab.verdict.leaders import eye, without_levels
    from lora_lab.verdict.raters import combine

    own = progress.session
    if own.mode != "score":
        return None
    usable = {place for place in candidates(sweep) if shots_of(sweep, place) >= set(own.shots)}
    mine = [item for item in log.scores if item.rater == own.rater and is_of(item, sweep, own.shots)]
    by_session: dict[str, dict[Place, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in mine:
        if item.place in usable:
            by_session[item.session][item.place].append(item.value)
    raters = combine(ScoreLog(scores=mine), {}).raters
    if not raters:
        return None
    eye_sd = eye(raters[0].repeat_sd, raters[0].repeats)
    given = without_levels(by_session, eye_sd)
    return Again(given, eye_sd) if len(given) >= 3 else None


def offered(sweep: Sweep, log: ScoreLog, progress: SessionProgress) -> SecondSession | None:
    """The second session that a closed one leaves open; None where it leaves nothing open."""
    from lora_lab.verdict.leaders import second_session

    found = known(sweep, log, progress) if progress.session.closed else None
    return second_session(found.given, found.eye_sd) if found else None


def start(request: Request, given: Posted) -> Response:
    """Begin the second session that was offered, and go to it."""
    store, name = session_store_of(request), request.path_params["sweep"]
    with store.lock:
        progress = store.find(request.path_params["session"])
        if progress.sweep != name:
            raise HTTPException(404, "there is no such session")
        sweep, log = gallery_of(request).read(name), store.log(name)
        found, wanted = known(sweep, log, progress), offered(sweep, log, progress)
        if found is None or wanted is None:
            raise HTTPException(409, "the scores so far leave nothing open that a second look would decide")
        own, seed = progress.session, secrets.randbelow(SEEDS)
        identity = append_score_line(
            sweep.folder,
            "session",
            rater=own.rater,
            mode="score",
            seed=seed,
            prompts=sorted({shot[0] for shot in own.shots}),
            shots=own.shots,
            # Whoever is shown later has the same twins.
            alike=[[place, *others] for place, others in own.also.items() if others],
            layout=own.layout,
            order=_steps(found, (), wanted.looks, seed),
            places=list(found.given),
            target=wanted.looks,
        )
    answer = RedirectResponse(f"/score/{identity}", 303)
    remember(request, answer, identity)
    return answer


def go_on(store: SessionStore, session: str) -> None:
    """Choose whom a second session shows next, when all that it has shown is judged; to be called locked.

    What was chosen stays, whatever is taken back or scored anew.
    """
    progress = store.find(session)
    own = progress.session
    if len(own.order) >= own.target or len(progress.judged) < len(own.order):
        return
    found = known(store.gallery.read(progress.sweep), store.log(progress.sweep), progress)
    shown = [(run, tag) for run, tag, _ in own.order]
    order = _steps(found, shown, own.target, own.seed) if found else []
    if order:
        store.write(progress, "more", order=order)


def _steps(found: Again, shown: Sequence[Place], count: int, seed: int) -> list[Step]:
    from lora_lab.verdict.leaders import next_looks

    chosen = next_looks(found.given, found.eye_sd, shown, count, seed)
    return [(*place, place in shown) for place in chosen]

"""A second session for the leaders: what the first one left open, looked at again, blind."""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.browse.runs import Sweep
from lora_lab.review.session.blind import candidates, is_of, shots_of
from lora_lab.review.session.sessions import SessionProgress, guarded, remember, session_store_of
from lora_lab.review.session.setup import SEEDS
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of
from lora_lab.store import Place, ScoreLog, append_score_line


def routes() -> list[Route]:
    """The routes of this module."""
    return guarded([Route("/sweep/{sweep}/again/{session}", taking(start), methods=["POST"])])


@dataclass(frozen=True)
class Again:
    """What a rater gave so far to what was shown in a session, and how steadily.

    Attributes:
        given: Scores by checkpoint, of the same pictures, in all of the rater's sessions.
        eye_sd: The standard deviation of one score that is reckoned with.
    """

    given: dict[Place, list[float]]
    eye_sd: float


def known(sweep: Sweep, log: ScoreLog, progress: SessionProgress) -> Again | None:
    """What a second session can start from; None where too little was scored, or pictures are gone."""
    from lora_lab.verdict.leaders import eye
    from lora_lab.verdict.raters import combine

    own = progress.session
    if own.mode != "score" or not own.closed:
        return None
    usable = {place for place in candidates(sweep) if shots_of(sweep, place) >= set(own.shots)}
    given: dict[Place, list[float]] = defaultdict(list)
    mine = [item for item in log.scores if item.rater == own.rater and is_of(item, sweep, own.shots)]
    for item in mine:
        if item.place in usable:
            given[item.place].append(item.value)
    raters = combine(ScoreLog(scores=mine), {}).raters
    if len(given) < 3 or not raters:
        return None
    return Again(dict(given), eye(raters[0].repeat_sd, raters[0].repeats))


def start(request: Request, given: Posted) -> Response:
    """Begin the second session that was offered, and go to it."""
    from lora_lab.verdict.leaders import planned, second_session

    store, name = session_store_of(request), request.path_params["sweep"]
    with store.lock:
        progress = store.find(request.path_params["session"])
        if progress.sweep != name:
            raise HTTPException(404, "there is no such session")
        sweep = gallery_of(request).read(name)
        found = known(sweep, store.log(name), progress)
        offered = second_session(found.given, found.eye_sd) if found else None
        if found is None or offered is None:
            raise HTTPException(409, "the scores so far leave nothing open that a second look would decide")
        own, seed = progress.session, secrets.randbelow(SEEDS)
        order = planned(found.given, found.eye_sd, offered.count, seed)
        shown = {(run, tag) for run, tag, _ in order}
        identity = append_score_line(
            sweep.folder,
            "session",
            rater=own.rater,
            mode="score",
            seed=seed,
            prompts=sorted({shot[0] for shot in own.shots}),
            shots=own.shots,
            alike=[[place, *others] for place, others in own.also.items() if place in shown and others],
            layout=own.layout,
            order=order,
        )
    answer = RedirectResponse(f"/score/{identity}", 303)
    remember(request, answer, identity)
    return answer

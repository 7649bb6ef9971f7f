"""The page on which a blind session is set up, and what it makes of the answers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.browse.runs import Sweep
from lora_lab.review.session import blind
from lora_lab.review.session.sessions import RATER_COOKIE, guarded, remember, session_store_of
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.store import Place, ScoreLog, Shot, append_score_line
from lora_lab.store.normal_names import rater_name

LONGEST_NAME = 40
SECONDS_PER_SCORE = 7
"""What a score takes, typically; for the estimate on the page."""
COMPARISONS_PER_PLACE = 3
MOST_COMPARISONS = 2000
MANY = 40
"""Checkpoints above which only the last of each run are proposed."""
SEEDS = 2**31
BRIDGE = 3
"""Checkpoints that a session has in common with earlier ones, at least, where there are so many."""


def routes() -> list[Route]:
    """The routes of this module."""
    return guarded(
        [
            Route("/sweep/{sweep}/score", lambda request: _form(request, "score")),
            Route("/sweep/{sweep}/compare", lambda request: _form(request, "compare")),
            Route("/sweep/{sweep}/score", taking(start_scoring), methods=["POST"]),
            Route("/sweep/{sweep}/compare", taking(start_comparing), methods=["POST"]),
        ]
    )


@dataclass(frozen=True)
class Offer:
    """What can be chosen from: checkpoints with images, prompts by number, strengths."""

    places: tuple[Place, ...]
    unusable: int
    prompts: dict[int, str]
    strengths: tuple[float, ...]

    @property
    def strength(self) -> float:
        """The strength nearest to that at which a LoRA is meant to be used."""
        return min(self.strengths, key=lambda item: abs(item - 1))


def offer(sweep: Sweep) -> Offer:
    """What a session of a sweep may show."""
    every = blind.candidates(sweep, unusable=True)
    usable = blind.candidates(sweep)
    prompts: dict[int, str] = {}
    strengths: set[float] = set()
    for run, tag in every:
        for (at, prompt, _, strength), preview in sweep.runs[run].previews.items():
            if at == tag:
                prompts.setdefault(prompt, preview.label)
                strengths.add(strength)
    return Offer(
        tuple(every), len(every) - len(usable), dict(sorted(prompts.items())), tuple(sorted(strengths))
    )


def _form(request: Request, mode: str, problem: str = "", status: int = 200) -> Response:
    name = request.path_params["sweep"]
    sweep, log = gallery_of(request).read(name), session_store_of(request).log(name)
    offered = offer(sweep)
    values = {
        "sweep": sweep,
        "mode": mode,
        "offer": offered,
        "problem": problem,
        "last": blind.last_of_each_run(offered.places),
        "raters": sorted({item.rater for item in log.sessions.values()}),
        "rater": request.query_params.get("rater", "") or unquote(request.cookies.get(RATER_COOKIE, "")),
        "many": len(offered.places) > MANY,
        "repeats": round(100 * blind.REPEATS),
        "seconds": SECONDS_PER_SCORE,
    }
    return page(request, "start.html", values, status)


def start_scoring(request: Request, given: Posted) -> Response:
    """Begin a scoring session as the form says, and go to it."""
    return _start(request, given, "score")


def start_comparing(request: Request, given: Posted) -> Response:
    """Begin a comparing session as the form says, and go to it."""
    return _start(request, given, "compare")


def _start(request: Request, given: Posted, mode: str) -> Response:
    name = request.path_params["sweep"]
    sweep, log = gallery_of(request).read(name), session_store_of(request).log(name)
    try:
        rater, shots, chosen = _chosen(sweep, log, given, mode)
        items = blind.alike(sweep, chosen, shots)
        places = list(items)
        seed = secrets.randbelow(SEEDS)
        own = _score_fields(given, places, seed) if mode == "score" else _compare_fields(given, places)
    except HTTPException as error:
        return _form(request, mode, error.detail, error.status_code)
    identity = append_score_line(
        sweep.folder,
        "session",
        rater=rater,
        mode=mode,
        seed=seed,
        prompts=sorted({shot[0] for shot in shots}),
        shots=shots,
        alike=[[place, *others] for place, others in items.items() if others],
        layout="one" if given.text("layout") == "one" else "grid",
        **own,
    )
    answer = RedirectResponse(f"/{mode}/{identity}", 303)
    remember(request, answer, identity)
    answer.set_cookie(RATER_COOKIE, quote(rater), httponly=True, samesite="strict")
    return answer


def _score_fields(given: Posted, places: Sequence[Place], seed: int) -> dict[str, object]:
    return {"order": blind.shuffled(places, given.number("repeats", 0, 100) / 100, seed)}


def _compare_fields(given: Posted, places: Sequence[Place]) -> dict[str, object]:
    if len(places) < 2:
        raise HTTPException(400, "comparing needs at least two checkpoints")
    usual = len(places) * COMPARISONS_PER_PLACE
    target = (
        given.whole("target", 1, MOST_COMPARISONS) if given.text("target") else min(usual, MOST_COMPARISONS)
    )
    return {"places": places, "target": target}


def _chosen(sweep: Sweep, log: ScoreLog, given: Posted, mode: str) -> tuple[str, list[Shot], list[Place]]:
    """Who judges, which images of each, and which checkpoints.

    Raises:
        HTTPException: The answers are wrong or leave nothing to show (400).
    """
    rater = _rater(given.text("rater", LONGEST_NAME), log)
    offered = offer(sweep)
    if not offered.places:
        raise HTTPException(400, "there is no checkpoint with images yet")
    usable = blind.candidates(sweep, unusable=bool(given.text("unusable")))
    places = _places(offered, usable, given)
    if not places:
        raise HTTPException(400, "nothing is left to show: choose other checkpoints")
    prompts = [item for item in offered.prompts if str(item) in given.all("prompt")]
    if not prompts:
        raise HTTPException(400, "choose at least one prompt")
    strengths = {f"{item:g}": item for item in offered.strengths}
    strength = strengths.get(given.text("strength"), offered.strength)
    shots, places = blind.common_shots(sweep, places, prompts, strength)
    if not places:
        raise HTTPException(400, "no checkpoint has images of these prompts at this strength")
    if mode == "score" and given.text("new"):
        mine = scored_alike(sweep, log, shots, rater)
        places = [place for place in places if place not in mine]
        if not places:
            raise HTTPException(400, "nothing is left to show: choose other checkpoints")
    if mode == "score":
        there = [place for place in usable if blind.shots_of(sweep, place) >= set(shots)]
        # One's own earlier sessions count first, else those of others.
        earlier = scored_alike(sweep, log, shots, rater) or scored_alike(sweep, log, shots)
        places += bridge(earlier, places, there)
    return rater, shots, places


def _rater(name: str, log: ScoreLog) -> str:
    """The name as it was spelt first in this sweep."""
    if not name:
        raise HTTPException(400, "write your name first: scores of several people are kept apart")
    try:
        return rater_name(name, (item.rater for item in log.sessions.values()))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


def scored_alike(sweep: Sweep, log: ScoreLog, shots: Sequence[Shot], rater: str = "") -> dict[Place, float]:
    """The checkpoints that have a score of these very images, with the last one; of one rater, or of
    all."""
    return {
        place: item.value
        for item in log.scores
        if item.rater == (rater or item.rater) and blind.is_of(item, sweep, shots)
        for place in item.places
    }


def bridge(earlier: Mapping[Place, float], places: Sequence[Place], there: Sequence[Place]) -> list[Place]:
    """Checkpoints of earlier sessions to show again: without any in common, sessions have no common level.

    They are taken from the bottom, the middle and the top of what was given, so that a scale that was
    stretched shows, too.

    Args:
        earlier: What was given in earlier sessions.
        places: What the session shows anyway.
        there: What it could show.
    """
    lacking = BRIDGE - len(set(places) & set(earlier))
    left = sorted(set(earlier) & set(there) - set(places), key=lambda place: (earlier[place], place))
    count = min(lacking, len(left))
    if count <= 0:
        return []
    return [left[round(number * (len(left) - 1) / max(count - 1, 1))] for number in range(count)]


def _places(offered: Offer, usable: Sequence[Place], given: Posted) -> list[Place]:
    match given.text("which"):
        case "last":
            # The last usable one: that a run ended black is known without looking.
            return blind.last_of_each_run(usable)
        case "chosen":
            numbers = set(given.all("place"))
            return [place for number, place in enumerate(offered.places) if str(number) in numbers]
        case _:
            return list(usable)

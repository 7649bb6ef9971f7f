"""The blind sessions of all sweeps: finding them, what was judged in them, and keeping them blind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lora_lab.review.session.blind import Stage, stage
from lora_lab.review.web.gallery import Gallery, page
from lora_lab.store import Pair, Score, ScoreLog, Session, Skip, SweepFolder, append_score_line
from lora_lab.store.scores import scores_version

OPEN_COOKIE = "lora_lab_sessions"
RATER_COOKIE = "lora_lab_rater"
SESSION_ID = re.compile(r"[0-9a-f]{32}")
PAUSE = 10 * 60
"""Seconds without a judgement after which a rater has had a break."""

BREAK_AFTER = 30
"""Minutes of judging in one go after which a break is proposed: later scores drift (ITU-R BT.500)."""

Judgement = Score | Skip | Pair


@dataclass(frozen=True)
class SessionProgress:
    """A session as its log stands: `judged` holds the judgement of each position that has one."""

    sweep: str
    folder: SweepFolder
    session: Session
    judged: Mapping[int, Judgement]

    @property
    def last(self) -> Judgement | None:
        """The judgement that came last."""
        return max(self.judged.values(), key=lambda item: item.line, default=None)

    @property
    def total(self) -> int:
        """How many judgements the session aims at."""
        return max(len(self.session.order), self.session.target)

    def minutes(self) -> int:
        """For how long the rater has judged without a break, up to now; a clock that was set back counts for
        nothing."""
        since = now = datetime.now(UTC)
        times = [datetime.fromisoformat(item.at) for item in self.judged.values()]
        for at in sorted((at for at in times if at <= now), reverse=True):
            if (since - at).total_seconds() > PAUSE:
                break
            since = at
        return int((now - since).total_seconds() // 60)


@dataclass
class SessionStore:
    """The score logs of all sweeps of a gallery, read again where they changed. In `app.state.session_store`.

    `lock` is held while something is decided by a log and then written to it.
    """

    gallery: Gallery
    lock: RLock = field(default_factory=RLock)
    _logs: dict[str, tuple[str, ScoreLog]] = field(default_factory=dict)
    _where: dict[str, str] = field(default_factory=dict)
    _stages: dict[str, Stage] = field(default_factory=dict)

    def log(self, sweep: str) -> ScoreLog:
        """What counts of a sweep's log now."""
        version = scores_version(self.gallery.folder(sweep))
        if not version:
            return ScoreLog()
        read = self.gallery.read(sweep).read
        signature = f"{version} {read.version}"
        known = self._logs.get(sweep)
        if known is None or known[0] != signature:
            known = self._logs[sweep] = (signature, read.scores())
        return known[1]

    def find(self, session: str) -> SessionProgress:
        """A session by its id.

        Raises:
            HTTPException: There is none (404).
        """
        if SESSION_ID.fullmatch(session):
            known = self._where.get(session)
            for sweep in [known] if known else self.gallery.names():
                if session in (log := self.log(sweep)).sessions:
                    self._where[session] = sweep
                    return _progress(sweep, self.gallery.folder(sweep), log, session)
        raise HTTPException(404, "there is no such session")

    def sessions(self, sweep: str) -> list[SessionProgress]:
        """All sessions of a sweep, the newest first."""
        log, folder = self.log(sweep), self.gallery.folder(sweep)
        return [_progress(sweep, folder, log, session) for session in reversed(log.sessions)]

    def stage(self, progress: SessionProgress) -> Stage:
        """The images of a session; gathered once, and again when an image has gone."""
        own = progress.session
        if own.id not in self._stages:
            places = own.places or tuple((run, tag) for run, tag, _ in own.order)
            self._stages[own.id] = stage(self.gallery.read(progress.sweep), places, own.shots)
        return self._stages[own.id]

    def forget_stage(self, progress: SessionProgress) -> None:
        """Have the images of a session gathered again."""
        self._stages.pop(progress.session.id, None)

    def write(self, progress: SessionProgress, kind: str, **values: Any) -> str:
        """Add a line of a session to its log, for good; returns its id."""
        own = progress.session
        return append_score_line(progress.folder, kind, session=own.id, rater=own.rater, **values)


def _progress(sweep: str, folder: SweepFolder, log: ScoreLog, session: str) -> SessionProgress:
    found: list[Judgement] = [*log.scores, *log.skips, *log.pairs]
    own = sorted((item for item in found if item.session == session), key=lambda item: item.line)
    return SessionProgress(sweep, folder, log.sessions[session], {item.position: item for item in own})


def pause(progress: SessionProgress) -> bool:
    """Whether the rater had better have a break."""
    return progress.minutes() >= BREAK_AFTER


def session_store_of(request: Request) -> SessionStore:
    """The logs of the gallery that a request is for."""
    found: SessionStore = request.app.state.session_store
    return found


def open_session(request: Request, mode: str) -> tuple[SessionStore, SessionProgress]:
    """The session that a request judges in.

    Raises:
        HTTPException: It is closed, or of another kind (409), or there is none (404).
    """
    session_store = session_store_of(request)
    progress = session_store.find(request.path_params["session"])
    if progress.session.closed or progress.session.mode != mode:
        raise HTTPException(409, "this session is closed")
    return session_store, progress


def judging_page(
    request: Request, mode: str, values_of: Callable[[SessionProgress], dict[str, Any]]
) -> Response:
    """The page `mode`.html of an open session; a closed one leads to its result, another kind home."""
    session_store = session_store_of(request)
    progress = session_store.find(request.path_params["session"])
    own = progress.session
    if own.closed or own.mode != mode:
        return RedirectResponse(f"/sweep/{quote(progress.sweep)}/result/{own.id}" if own.closed else "/", 303)
    shared = {
        "session": own,
        "stage": session_store.stage(progress),
        "total": progress.total,
        "pause": pause(progress),
    }
    answer = page(request, f"{mode}.html", {**shared, **values_of(progress)})
    remember(request, answer, own.id)
    return answer


def remembered(request: Request) -> list[str]:
    """The sessions that this browser has been in and not closed."""
    return [item for item in request.cookies.get(OPEN_COOKIE, "").split(".") if SESSION_ID.fullmatch(item)]


def remember(request: Request, answer: Response, session: str, *, keep: bool = True) -> None:
    """Have this browser kept from results while it is in a session; `keep=False` lets it see them again."""
    known = [item for item in remembered(request) if item != session]
    answer.set_cookie(
        OPEN_COOKIE, ".".join([*known, session] if keep else known), httponly=True, samesite="strict"
    )


def open_here(request: Request, sweep: str | None) -> SessionProgress | None:
    """The open session of this browser in a sweep, or in any for None, if there is one."""
    for identity in remembered(request):
        try:
            progress = session_store_of(request).find(identity)
        except HTTPException:
            continue
        if sweep in (None, progress.sweep) and not progress.session.closed:
            return progress
    return None


class ClosedFirst:
    """Keeps a browser with an open session of a sweep from that sweep's names, settings and scores.

    From a page of no sweep in particular any open session keeps it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page asked for, or with the way to close the session."""
        request = Request(scope, receive)
        progress = open_here(request, scope["path_params"].get("sweep"))
        if progress is None:
            await self.app(scope, receive, send)
        else:
            answer = page(request, "closed_first.html", {"progress": progress}, 409)
            await answer(scope, receive, send)


def guarded(routes: list[Route]) -> list[Route]:
    """The same routes, shown only to browsers without an open session of their sweep, or of any."""
    for route in routes:
        route.app = ClosedFirst(route.app)
    return routes

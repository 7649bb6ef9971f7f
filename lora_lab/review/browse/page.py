"""The matrix page, small images, and the addresses of everything that is only looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_lab.review.browse import numbers, preview, running, side_by_side
from lora_lab.review.browse.beside import beside, box
from lora_lab.review.browse.matrix import (
    CHECKPOINT,
    LAST,
    PROMPT,
    RUN,
    WITHIN_RUN,
    Choice,
    Matrix,
    Value,
    View,
    choices,
    view_of,
)
from lora_lab.review.browse.order import PLAN, Scores, ordered, orders
from lora_lab.review.browse.runs import Sweep
from lora_lab.review.session.sessions import session_store_of
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.review.web.thumbnails import SIZES
from lora_lab.store import ScoreLog, comparable_scores
from lora_lab.store.comparable import ratings
from lora_lab.store.replaced import replaced_note, replaced_scores

FIRST_ROWS = 24
"""Rows that a page is sent with; the browser asks for more when they come into sight."""
MOST_TILES = 400
"""Tiles that a page is sent with at most; wide matrices have fewer rows to a page."""
MOST_ROWS = 1000
DAY = "private, max-age=86400, immutable"
TABS_UP_TO = 8
"""Values of an axis that are shown as tabs; more are a menu."""


def routes() -> list[Route]:
    """The routes of this module; each path starts with /sweep/{sweep}/look."""
    return [
        Route("/sweep/{sweep}/look", matrix),
        Route("/sweep/{sweep}/look/version", version),
        Route("/sweep/{sweep}/look/view", preview.view),
        Route("/sweep/{sweep}/look/compare", side_by_side.compare),
        Route("/sweep/{sweep}/look/curves", numbers.curves_page),
        Route("/sweep/{sweep}/look/timings", numbers.timings_page),
        Route("/sweep/{sweep}/look/settings", numbers.settings_page),
        *running.routes(),
        Route("/sweep/{sweep}/thumb/{size:int}/{image}", thumb),
    ]


def version(request: Request) -> Response:
    """A text that changes when anything of the sweep does, and whether anything still may."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    return JSONResponse({"version": sweep.version, "live": sweep.live})


def thumb(request: Request) -> Response:
    """An image made smaller; its opaque name changes with its content, so a browser may keep it."""
    gallery, size = gallery_of(request), request.path_params["size"]
    file = gallery.image(request.path_params["sweep"], request.path_params["image"])
    if size not in SIZES:
        raise HTTPException(404, f"small images are {', '.join(map(str, SIZES))} pixels long")
    try:
        small = gallery.thumbnails.small(file, size)
    except OSError:
        raise HTTPException(404, "the image is gone or damaged") from None
    headers = {"Cache-Control": DAY, "ETag": f'"{small.tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(small.data, media_type=small.media_type, headers=headers)


@dataclass(frozen=True)
class Tab:
    """One value that can be chosen: where it leads and whether it is chosen now."""

    value: Value
    href: str
    now: bool


@dataclass(frozen=True)
class Filter:
    """An axis that is not drawn, with what it can be set to."""

    choice: Choice
    tabs: tuple[Tab, ...]
    now: str


def matrix(request: Request) -> Response:
    """Runs x checkpoints, or any two other axes."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    known = choices(sweep)
    view = view_of(request.query_params, known)
    scores = _scores(sweep, session_store_of(request).log(sweep.name))
    known_orders = orders(list(sweep.runs.values()), scores, sweep.judging_metrics)
    order = known_orders.get(request.query_params.get("sort", ""), known_orders[PLAN])
    shown = Matrix(sweep, view, known, tuple(ordered(list(sweep.runs.values()), order)))
    size = _number(request, "size", 192, SIZES)
    start, count = _window(request, len(shown.columns))
    here = f"/sweep/{quote(sweep.name)}/look"
    extra = [("size", str(size))] if size != 192 else []
    if order.key != PLAN:
        extra.append(("sort", order.key))
    total = len(shown.row_values)
    values = {
        "sweep": sweep,
        "tab": "matrix",
        "view": view,
        "axes": list(known.values()),
        "row_axis": known[view.rows],
        "column_axis": known[view.columns],
        "prompt": next((v.words for v in known[PROMPT].values if v.key == view.fixed.get(PROMPT)), ""),
        "columns": shown.columns,
        "rows": shown.rows(start, count),
        "total": total,
        "start": start,
        "end": min(start + count, total),
        "more": _address(here, [*view.query(), *extra, ("start", str(start + count))])
        if start + count < total
        else "",
        "size": size,
        "sizes": [(item, _address(here, [*view.query(), *_sized(extra, item)])) for item in SIZES],
        "orders": list(known_orders.values()),
        "order": order,
        "scores": scores,
        "filters": _filters(here, view, known, extra),
        "settings": [
            item for key, item in known.items() if key in view.fixed and key not in (RUN, *WITHIN_RUN)
        ],
        "only_run": view.fixed.get(RUN, ""),
        "beside": beside(sweep, shown.runs, view.fixed),
        "box": box,
        "open": lambda tile: f"{here}/view?{urlencode(tile.query)}",
        "stack": lambda row, column: _stack(here, view, row, column),
    }
    return page(request, "look.html", values)


def _scores(sweep: Sweep, log: ScoreLog) -> Scores:
    old = replaced_scores(sweep.read, log)
    notes = [*comparable_scores(log.scores)[1], *replaced_note(old, log)]
    return Scores(ratings(log, sweep.read.twins), old, notes)


def _window(request: Request, columns: int) -> tuple[int, int]:
    """First row and number of rows of a page."""
    start = _number(request, "start", 0)
    usual = min(FIRST_ROWS, max(MOST_TILES // max(columns, 1), 4))
    return start, min(max(_number(request, "count", usual), 1), MOST_ROWS)


def _number(request: Request, name: str, otherwise: int, allowed: Sequence[int] = ()) -> int:
    text = request.query_params.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        return otherwise
    return int(text) if not allowed or int(text) in allowed else otherwise


def _address(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(list(pairs))}"


def _sized(extra: Sequence[tuple[str, str]], size: int) -> list[tuple[str, str]]:
    """What an address holds beside the view, with another size of the images."""
    return [*(pair for pair in extra if pair[0] != "size"), ("size", str(size))]


def _filters(
    here: str, view: View, known: Mapping[str, Choice], extra: list[tuple[str, str]]
) -> list[Filter]:
    """What can be chosen of the axes within a run that are not drawn and leave a choice."""
    found = []
    for key in WITHIN_RUN:
        choice = known[key]
        if key not in view.fixed or len(choice.values) < 2:
            continue
        values = (Value(LAST, "last of each run"), *choice.values) if key == CHECKPOINT else choice.values
        now = view.fixed[key]
        tabs = tuple(
            Tab(value, _address(here, [*view.query(**{key: value.key}), *extra]), value.key == now)
            for value in values
        )
        found.append(Filter(choice, tabs if len(tabs) <= TABS_UP_TO else (), now))
    return found


def _stack(here: str, view: View, row: str, column: str) -> str:
    """The address of all runs of one cell, each in a row of its own."""
    place = {view.rows: row, view.columns: column}
    kept = {key: value for key, value in {**view.fixed, **place}.items() if key != CHECKPOINT}
    return _address(here, [("rows", RUN), ("columns", CHECKPOINT), *((k, v) for k, v in kept.items() if v)])

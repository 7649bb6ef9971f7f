"""The verdict in the gallery: the numbers and the words of `lora-lab verdict`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.words import LANGUAGES, Said, in_language, said


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/sweep/{sweep}/verdict", verdict)]


@dataclass(frozen=True)
class Line:
    """One change of a setting: what is shown of it, and its call as the verdict names it."""

    setting: str
    change: str
    effect: str
    interval: str
    call: str
    star: bool
    rest: str
    kind: str


def verdict(request: Request) -> Response:
    """What the scores of everybody support, setting by setting; it is kept as every verdict is."""
    from lora_lab.plots.subject import subject
    from lora_lab.verdict.taken import take

    asked = request.query_params.get("language", "")
    language = asked if asked in LANGUAGES else "en"
    sweep = gallery_of(request).read(request.path_params["sweep"])
    found = subject(sweep.folder)
    values = {"sweep": sweep, "language": language, "languages": LANGUAGES, "judged": found.judged}
    if found.judged:
        values |= _values(take(found.folder, found.evidence), language)
    return page(request, "verdict.html", values)


def _values(made: Any, language: str) -> dict[str, Any]:
    from lora_lab.verdict import lines
    from lora_lab.verdict.evidence import SCORE
    from lora_lab.verdict.outcomes import number
    from lora_lab.verdict.result import NOT_DECIDED

    scale, found, advice = lines.scale_of(made), made.evidence, made.recommendation

    def text(value: object) -> str:
        return in_language(value, language)

    loud = [said("by_metric_loud", metric=found.criterion)] if found.criterion != SCORE else []
    recommended: Said | str = ""
    if advice is not None:
        tag = said("recommended_tag", tag=advice.tag) if advice.tag else ""
        recommended = said("recommended_run", run=advice.run, tag=tag, score=number(advice.score, scale))
    decided = [item for item in made.interactions if item.call != NOT_DECIDED]
    return {
        "say": lambda key: text(said(key)),
        "head": lambda key: _head(text(said(key))),
        "loud": [*map(text, [*found.gaps, *loud])],
        "judged_by": [*map(text, lines.judged_by(made))],
        "noise": [
            *map(text, [lines.noise_text(made.noise, scale), *lines.noise_warnings(made.noise, scale)])
        ],
        "look": [*map(text, lines.looked(made) or [said("look_first")])],
        "lines": _lines(made, language),
        "counted": text(lines.counted(made)[-1]),
        "interactions": [
            text(said("call_said", call=said(f"call_{item.call}"), sentence=item.sentence))
            for item in decided
        ],
        "courses": [
            text(said("of_runs", runs=item.run, text=item.sentence))
            for item in made.courses
            if item.call != "flat"
        ],
        "recommended": text(recommended),
        "reasons": [*map(text, advice.reasons)] if advice else [],
        "overrides": " ".join(advice.overrides) if advice else "",
        "missing": [text(said("of_runs", runs=run, text=why)) for run, why in made.missing.items()],
        "notes": [*map(text, made.notes)],
    }


def _head(title: str) -> str:
    """The title of a section as a heading: the terminal's ends in a colon."""
    bare = title.rstrip(":：")
    return bare[:1].upper() + bare[1:]


def _lines(made: Any, language: str) -> list[Line]:
    from lora_lab.verdict.calls import change_of, points
    from lora_lab.verdict.lines import called, scale_of

    def text(value: object) -> str:
        return in_language(value, language)

    scale, found = scale_of(made), []
    for effect in made.settings:
        for place, item in enumerate(effect.contrasts):
            call = called(effect, item, scale)
            interval = ""
            if item.low is not None and item.high is not None:
                low, high = points(item.low, scale), points(item.high, scale)
                interval = text(said("between", low=low, high=high))
            rest = [call.pairs] if call.instead else [call.bound, call.holds, call.pairs]
            found.append(
                Line(
                    "" if place else text(effect.title),
                    text(change_of(item.reference, item.level)),
                    points(item.difference, scale),
                    interval,
                    text(call.instead or call.call),
                    call.star,
                    "".join(map(text, rest)),
                    item.call.split()[-1],
                )
            )
    return found

"""The pages that start a sweep: its file, its plan, and the queue.

They are for whoever sits at this machine: a guest who scores may neither read its folders nor train on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab import config
from lora_lab.errors import LoraLabError
from lora_lab.kohya.lines import Line, in_short
from lora_lab.review.launch.commands import Answer, Starter, ask, sweep_files
from lora_lab.review.session.sessions import guarded
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.review.web.security import is_at_this_machine

SECONDS = 10
"""After which the queue's page is asked for again, as long as something runs."""
SETTING = re.compile(r"~?\+{0,2}[^\s=~+-][^=]*=.*|~\S+", re.DOTALL)
"""A line that is a setting, and no option of a command."""
FIELDS = ("name", "base", "images", "trigger", "card", "preset")
"""What a first sweep file is made of: `lora-lab new NAME` and its options."""


def routes() -> list[Route]:
    """The routes of this module: rows and settings, so none of them during a blind session."""
    return guarded(
        [
            Route("/new", new_page),
            Route("/new", taking(make), methods=["POST"]),
            Route("/plan", plan_page),
            Route("/queue", queue_page),
            Route("/queue", taking(act), methods=["POST"]),
            Route("/queue/add", taking(add), methods=["POST"]),
        ]
    )


def may_launch(request: Request) -> bool:
    """Whether a request may start sweeps: it comes from this machine, to a gallery of all sweeps."""
    return not gallery_of(request).options.only and is_at_this_machine(request)


def starter_of(request: Request) -> Starter:
    """What starts the queue of the gallery that a request is for."""
    found: Starter = request.app.state.starter
    return found


def _refuse_guests(request: Request) -> None:
    if gallery_of(request).options.only:
        raise HTTPException(403, "this gallery shows one sweep: `lora-lab review` without a name starts all")
    if not is_at_this_machine(request):
        raise HTTPException(
            403, "sweeps are started on the machine that trains: open the gallery there, by 127.0.0.1"
        )


def new_page(request: Request, values: Mapping[str, str] | None = None, problem: str = "") -> Response:
    """A form for a first sweep file, and the sweep files there are."""
    _refuse_guests(request)
    shown = {
        "values": {key: (values or {}).get(key, "") for key in FIELDS},
        "problem": problem,
        "here": Path.cwd(),
        "files": sweep_files(Path.cwd(), config.SWEEPS_DIR),
    }
    return page(request, "launch_new.html", shown, 400 if problem else 200)


def make(request: Request, given: Posted) -> Response:
    """Write a sweep file as `lora-lab new` does, and lead to its plan."""
    _refuse_guests(request)
    values = {key: given.line(key) for key in FIELDS}
    options = [f"--{key}={values[key]}" for key in FIELDS[1:] if values[key]]
    done = ask(["new", *options, "--json", "--", values["name"]])
    if done.code:
        return new_page(request, values, done.error)
    leads = {"sweep": json.loads(done.text)["file"]} | {
        key: values[key] for key in ("preset",) if values[key]
    }
    return RedirectResponse(f"/plan?{urlencode(leads)}", 303)


def plan_page(request: Request) -> Response:
    """What `lora-lab plan` prints of a sweep, and the way to start it."""
    _refuse_guests(request)
    asked = Posted(dict(request.query_params))
    became = _became(asked.line("preset"))
    return _plan(request, asked.line("sweep"), asked.lines("settings"), became=became)


def _became(preset: str) -> str:
    """What became of the keys of the preset that a new sweep file was made of, as `lora-lab new` says it."""
    done = ask(["import", "--json", "--", preset]) if preset else Answer(1, "", "")
    if done.code:
        return done.error
    told = json.loads(done.text)
    keys = [Line(**key) for key in told["keys"]]
    return "\n".join([*in_short(Path(preset), told["kind"], keys), *told["warnings"]])


def _plan(
    request: Request, sweep: str, lines: Sequence[str], problem: str = "", became: str = ""
) -> Response:
    made = Answer(0, "", "")
    if sweep and not problem:
        wrong = _not_settings(sweep, lines)
        made = Answer(2, "", wrong) if wrong else ask(["plan", *_words(request, sweep, lines)])
    values = {
        "sweep": sweep,
        "settings": "\n".join(lines),
        "plan": made.text,
        "problem": problem or (made.error if made.code else ""),
        "remark": "" if made.code else made.error,
        "became": became,
        "files": sweep_files(Path.cwd(), config.SWEEPS_DIR),
        "here": Path.cwd(),
    }
    return page(request, "launch_plan.html", values, 400 if values["problem"] else 200)


def _not_settings(sweep: str, lines: Sequence[str]) -> str:
    """What is wrong with what is to be given to a command; '' if nothing."""
    if sweep.startswith("-"):
        return f"sweep: a sweep file or the name of a shipped sweep is needed, got {sweep!r}"
    wrong = next((line for line in lines if not SETTING.fullmatch(line)), "")
    return f"settings: every line is one setting, such as train.seed=2; got {wrong!r}" if wrong else ""


def _words(request: Request, sweep: str, lines: Sequence[str]) -> list[str]:
    """Sweep and settings, as in a command; the results go to the folder that the gallery shows."""
    results, usual = gallery_of(request).results, Path(config.settings()["results"].default)
    elsewhere = results.absolute() != usual.absolute() and not Path(sweep).is_dir()
    own = any(line.partition("=")[0] == "results" for line in lines)
    place = [f"results={results.absolute()}"] * (elsewhere and not own)
    return [sweep, *lines, *place]


def add(request: Request, given: Posted) -> Response:
    """Put a sweep into the queue as `lora-lab queue add` does, and start that where it is asked for."""
    _refuse_guests(request)
    sweep, lines = given.line("sweep"), given.lines("settings")
    problem = _not_settings(sweep, lines)
    if not problem:
        retry = ["--retry"] * bool(given.line("retry"))
        done = ask(["queue", "add", *_words(request, sweep, lines), *retry, *_whose(request)])
        problem = done.error if done.code else ""
    if problem:
        return _plan(request, sweep, lines, problem)
    return _started(request) if given.line("start") else RedirectResponse("/queue", 303)


def _started(request: Request) -> Response:
    """Have the queue worked on; one that was interrupted has to save before."""
    if starter_of(request).ends():
        return queue_page(request, "what was interrupted still saves: start again once it has ended")
    starter_of(request).start()
    return RedirectResponse("/queue", 303)


def _whose(request: Request) -> list[str]:
    return ["--results", str(gallery_of(request).results.absolute())]


def queue_page(request: Request, problem: str = "") -> Response:
    """What has ended, runs and waits, with buttons for each."""
    _refuse_guests(request)
    starter, known = starter_of(request), set(gallery_of(request).names())
    try:
        entries = starter.queue.entries()
    except LoraLabError as error:
        entries, problem = [], problem or str(error)
    runs = any(entry.state == "running" for entry in entries)
    values: dict[str, Any] = {
        "entries": entries,
        "known": known,
        "runs": runs,
        "ends": starter.ends(),
        "begins": starter.works() and not runs,
        "waits": any(entry.status in ("waiting", "interrupted") for entry in entries),
        "ended": any(entry.ended for entry in entries),
        "next": next((entry.number for entry in entries if entry.waits), 0),
        "log": starter.log(),
        "problem": problem,
        "seconds": SECONDS if runs or starter.works() else 0,
    }
    return page(request, "launch_queue.html", values, 400 if problem else 200)


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "first": ("move", "{}", "1"),
    "pause": ("pause", "{}"),
    "undo": ("pause", "--undo", "{}"),
    "remove": ("remove", "{}"),
    "clear": ("remove", "--ended"),
}
"""What the buttons of the queue's page do: `lora-lab queue ...`, `{}` is the entry's number."""


def act(request: Request, given: Posted) -> Response:
    """Do what a button of the queue's page says.

    Raises:
        HTTPException: There is no such button, or no entry is named (400).
    """
    _refuse_guests(request)
    what = given.line("act")
    if what == "start":
        return _started(request)
    if what == "interrupt":
        if not starter_of(request).interrupt():
            return queue_page(request, "nothing of this machine works on the queue")
    elif what in COMMANDS:
        number = str(given.whole("entry", 1, 10**9)) if "{}" in COMMANDS[what] else ""
        done = ask(["queue", *(word.replace("{}", number) for word in COMMANDS[what]), *_whose(request)])
        if done.code:
            return queue_page(request, done.error)
    else:
        raise HTTPException(400, f"act must be start, interrupt, {', '.join(COMMANDS)}; got {what!r}")
    return RedirectResponse("/queue", 303)

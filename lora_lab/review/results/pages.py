"""Verdict, plots, report and export of a sweep: the command line's numbers, written by the same code."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lora_lab.errors import LoraLabError
from lora_lab.outputs import contents
from lora_lab.report import PAGE, PARTS, Link, write_report
from lora_lab.report.export import export as write_export
from lora_lab.review.browse.runs import Sweep
from lora_lab.review.results.written import WrittenReports
from lora_lab.review.session.sessions import guarded
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import TABS, gallery_of, page
from lora_lab.store import SweepFolder
from lora_lab.verdict.taken import take
from lora_lab.words import LANGUAGES, stage

STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def routes() -> list[Route]:
    """The routes of this module: names and scores, so none of them during a blind session."""
    return guarded(
        [
            Route("/sweep/{sweep}/verdict/", verdict),
            Route("/sweep/{sweep}/verdict/{kind}/{file}", part),
            Route("/sweep/{sweep}/plots", plots),
            Route("/sweep/{sweep}/export", exports),
            Route("/sweep/{sweep}/export/{file:path}", exported),
            Route("/sweep/{sweep}/report.zip", report),
            Route("/sweep/{sweep}/make-export", taking(make_export), methods=["POST"]),
        ]
    )


def _reports(request: Request) -> WrittenReports:
    found: WrittenReports = request.app.state.reports
    return found


def _asked(request: Request) -> tuple[str, str, str]:
    """The sweep, the language and what judges, by the address."""
    language = request.query_params.get("language", "en")
    if language not in LANGUAGES:
        raise HTTPException(400, f"language must be {' or '.join(LANGUAGES)}")
    return request.path_params["sweep"], language, request.query_params.get("metric", "")


def _query(language: str, metric: str) -> str:
    pairs = [("language", language)] * (language != "en") + [("metric", metric)] * bool(metric)
    return f"?{urlencode(pairs)}" if pairs else ""


def _links(sweep: Sweep, language: str, metric: str) -> list[Link]:
    """What stands above a served report: the other pages, other judges, other languages."""
    here = f"/sweep/{quote(sweep.name)}"
    found = [Link("lora_lab", "/"), Link(sweep.name, here)]
    found += [Link(name, f"{here}/{path}", key == "verdict") for key, name, path in TABS]
    for name in sweep.judging_metrics:
        found.append(Link(f"by {name}", f"{here}/verdict/{_query(language, name)}", name == metric))
    if metric:
        found.append(Link("by scores", f"{here}/verdict/{_query(language, '')}"))
    for other, text in (("en", "English"), ("ja", "日本語")):
        if other != language:
            found.append(Link(text, f"{here}/verdict/{_query(other, metric)}"))
    return [*found, Link("Download", f"{here}/report.zip{_query(language, metric)}")]


def _folder(request: Request) -> Path:
    """The written report that an address asks for."""
    name, language, metric = _asked(request)
    sweep = gallery_of(request).read(name)
    if metric and metric not in sweep.judging_metrics:
        raise HTTPException(404, f"no checkpoint of this sweep can be judged by {metric!r}")
    return _reports(request).folder(name, language, metric, _links(sweep, language, metric))


def verdict(request: Request) -> Response:
    """The report with the verdict, as `lora-lab report` writes it."""
    folder, query = _folder(request), _query(*_asked(request)[1:])
    html = (folder / PAGE).read_text(encoding="utf-8")
    # Its images belong to the language and the judge that the page was asked for.
    html = re.sub(r'((?:src|srcset)="(?:plots|images)/[^"]+)"', rf'\1{query}"', html)
    style = hashlib.sha256(STYLE.findall(html)[0].encode()).digest()
    allowed = f"style-src 'sha256-{base64.b64encode(style).decode()}'"
    policy = f"default-src 'none'; img-src 'self'; {allowed}; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def part(request: Request) -> Response:
    """An image or a plot of a written report."""
    name = f"{request.path_params['kind']}/{request.path_params['file']}"
    file = _reports(request).place(*_asked(request)) / name
    if not PARTS.fullmatch(name) or not file.is_file():
        raise HTTPException(404, "the report has no such image")
    return FileResponse(file)


def plots(request: Request) -> Response:
    """All plots of a sweep, as `lora-lab plot` draws them."""
    name, language, metric = _asked(request)
    drawn = sorted(
        file.stem for file in (_folder(request) / "plots").glob("*.svg") if not file.stem.endswith("-dark")
    )
    values = {
        "sweep": gallery_of(request).read(name),
        "tab": "plots",
        "plots": drawn,
        "query": _query(language, metric),
    }
    return page(request, "results_plots.html", values)


def report(request: Request) -> Response:
    """The report as one file to pass on."""
    name, language, metric = _asked(request)
    target = Path(tempfile.mkdtemp(prefix="lora-lab-"))
    with _reports(request).lock:
        made = write_report(_reports(request).read(name, metric), target / f"{name}-report", language)
    archive = shutil.make_archive(str(target / "report"), "zip", target, made.parent.name)
    return FileResponse(
        archive, filename=f"{name}-report.zip", background=BackgroundTask(shutil.rmtree, target)
    )


def exports(request: Request) -> Response:
    """What was exported, and the way to export more."""
    name, _, metric = _asked(request)
    sweep = gallery_of(request).read(name)
    reports = _reports(request)
    with reports.lock:
        about = reports.read(name, metric)
        advice = take(about.folder, about.evidence).recommendation
    values = {
        "sweep": sweep,
        "tab": "export",
        "advice": advice,
        "at": stage(advice.tag) if advice else "",
        "criterion": about.evidence.criterion,
        "choices": [
            (f"{run.name}:{tag}", f"{run.name}, {stage(tag)}")
            for run in sweep.runs.values()
            if not run.same_as
            for tag in run.checkpoints
        ],
        "files": [
            (file.relative_to(sweep.folder.exports).as_posix(), file.stat().st_size)
            for file in _files(sweep.folder)
        ],
        "problem": request.query_params.get("problem", ""),
    }
    return page(request, "results_export.html", values)


def _files(folder: SweepFolder) -> list[Path]:
    """The files of the exports' folder, but for marks."""
    return [file for file in contents(folder.exports) if file.is_file() and not file.name.startswith(".")]


def make_export(request: Request, given: Posted) -> Response:
    """Export a checkpoint, or the recommended one, as `lora-lab export` does."""
    name = request.path_params["sweep"]
    reports = _reports(request)
    here = f"/sweep/{quote(name)}/export"
    try:
        with reports.lock:
            about = reports.read(name, "")
            write_export(about, about.folder.exports, given.text("checkpoint"))
    except LoraLabError as error:
        return RedirectResponse(f"{here}?{urlencode({'problem': str(error)})}", 303)
    return RedirectResponse(here, 303)


def exported(request: Request) -> Response:
    """One of the exported files."""
    folder = gallery_of(request).folder(request.path_params["sweep"])
    for file in _files(folder):
        if file.relative_to(folder.exports).as_posix() == request.path_params["file"]:
            return FileResponse(file, filename=file.name)
    raise HTTPException(404, "there is no such file among the exports")

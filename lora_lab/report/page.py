"""The page: what its template is given, and writing it with its images and plots as one folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lora_lab import __version__
from lora_lab.axes import show
from lora_lab.files import unwritable
from lora_lab.outputs import contents, is_marked, owner, refuse_to_overwrite, remember
from lora_lab.plots import Look, Plot, Subject, plots, write
from lora_lab.plots.by_setting import SettingPlot
from lora_lab.plots.interaction import InteractionPlot
from lora_lab.plots.style import darkened
from lora_lab.report import findings as found_of
from lora_lab.report import sections
from lora_lab.report.findings import Finding
from lora_lab.report.images import Album
from lora_lab.report.recommended import copied
from lora_lab.report.runs import ReportData, report_data
from lora_lab.report.side_by_side import SideBySide, material, sheets
from lora_lab.verdict import result
from lora_lab.verdict.evidence import SCORE
from lora_lab.words import check_language

PAGE = "index.html"
PARTS = re.compile(r"index\.html|plots/[^/]+\.svg|(?:images|pictures)/\d+\.webp")
"""The files of a report; older ones have their images in pictures/."""
FEW_RIVALS = 5
"""More names than these in a sentence say less than their number."""
MARKS = {
    result.HELPS: "helps", result.SEEMS_TO_HELP: "helps",
    result.HURTS: "hurts", result.SEEMS_TO_HURT: "hurts",
    result.MIXED: "depends", result.SEEMS_MIXED: "depends", result.DEPENDS: "depends",
    result.NO_DIFFERENCE: "same", result.NOT_DECIDED: "open",
}  # fmt: skip
"""The sign that stands before a call, so that it is seen without colour."""
CONTENTS = (
    "answer", "material", "fixed", "patterns", "settings", "interactions", "length", "failures", "cost",
    "recommended", "judged", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One setting: its findings, its images, its plot."""

    key: str
    label: str
    findings: tuple[Finding, ...]
    sheets: tuple[SideBySide, ...]
    plot: str
    plot_text: str


@dataclass(frozen=True)
class Link:
    """A way from the page to another one, where a program serves it; `now` marks the page itself."""

    text: str
    address: str
    now: bool = False


def write_report(subject: Subject, folder: Path, language: str = "en", links: Sequence[Link] = ()) -> Path:
    """Write the report of a sweep into a folder, which is replaced as a whole; returns the page.

    Args:
        subject: The sweep.
        folder: Where it goes. What is there already has to be an earlier report of the sweep alone.
        language: One of `lora_lab.words.LANGUAGES`.
        links: Ways to other pages, above everything; none in a report that is passed on.

    Raises:
        ConfigError: The language is unknown.
        RunFolderError: The folder holds something else, or cannot be written to.
    """
    check_language(language)
    data = report_data(subject, language)
    folder = folder.resolve()
    by = owner("report", data.folder.path, folder)
    _refuse_others(folder, by, at_home=folder == data.folder.report.resolve())
    with _replacing_folder(folder) as temporary:
        made = plots(subject)
        _draw(made, temporary / "plots", language)
        html = _render(data, made, Album(temporary), links)
        (temporary / PAGE).write_text(html, encoding="utf-8")
        remember(contents(temporary), by)
    return folder / PAGE


def _refuse_others(folder: Path, by: str, *, at_home: bool) -> None:
    """Refuse a folder that holds anything but an earlier report of the same sweep: all of it goes away.

    Raises:
        RunFolderError: It does.
    """
    there = contents(folder)
    if at_home and not is_marked(folder) and (folder / PAGE).is_file():
        # A report of a version that left no mark, in its own place: what only a report holds is one.
        there = [item for item in there if not PARTS.fullmatch(item.relative_to(folder).as_posix())]
    refuse_to_overwrite(there, by)


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when all is written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise unwritable(folder, error) from error
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _draw(made: Sequence[Plot], folder: Path, language: str) -> None:
    """Every plot for light and for dark paper, without the title that its caption stands for."""
    for file in write(made, folder, ["svg"], Look(language, titled=False, outlines=False)):
        dark = darkened(file.read_text(encoding="utf-8"))
        file.with_name(f"{file.stem}-dark.svg").write_text(dark, encoding="utf-8")


def _render(data: ReportData, made: Sequence[Plot], album: Album, links: Sequence[Link]) -> str:
    environment = Environment(
        loader=PackageLoader("lora_lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assert environment.loader is not None
    style = environment.loader.get_source(environment, "style.css")[0]
    values = {**_head(data), **_body(data, made, album), **_tail(data)}
    shown = {"material": values["tiles"] or values["bare"], "interactions": values["interactions"],
             "length": "epochs" in values["drawn"]}  # fmt: skip
    contents = [key for key in CONTENTS if shown.get(key, True)]
    page = environment.get_template("report.html")
    return page.render(
        w=data.words, style=Markup(style), contents=contents, marks=MARKS, links=links, **values
    )


def _head(data: ReportData) -> dict[str, Any]:
    words, own = data.words, data.evidence.own
    start, end = sections.period(data)
    byline = [
        words.say(
            "byline",
            runs=sum(not run.elsewhere for run in own),
            checkpoints=sum(len(run.checkpoints) for run in own if not run.elsewhere),
            images=max((record.images for record in data.records), default=0),
        )
    ]
    if added := sum(bool(run.elsewhere) for run in own):
        byline.append(words.say("byline_elsewhere", n=added))
    if start:
        byline.append(words.say("one_day" if start == end else "period", start=start, end=end))
    raters = data.evidence.raters
    if raters and data.evidence.criterion == SCORE:
        names, count = words.listed(item.name for item in raters), sum(item.judgements for item in raters)
        byline.append(words.say("by_people", judgements=count, raters=names))
    return {
        "name": data.folder.name,
        "question": data.evidence.question,
        "byline": byline,
        "gaps": [*map(words.text, data.evidence.gaps)],
        "warning": _warning(data),
        "criterion": words.judged_by(),
        "reference": data.reference.name,
        "answer": _answer(data),
    }


def _warning(data: ReportData) -> str:
    if not data.subject.judged:
        return data.words.say("by_nobody")
    if data.evidence.criterion != SCORE:
        return data.words.say("by_metric", metric=data.evidence.criterion)
    return ""


def _answer(data: ReportData) -> list[str]:
    advice, words = data.verdict.recommendation, data.words
    if advice is None:
        return [words.say("answer_none")]
    record = data.worker(data.evidence.run(advice.run)).record
    at = data.at(record.checkpoint(advice.tag))
    lines = [words.say("answer_best", run=advice.run, score=words.number(advice.score), checkpoint=at)]
    if len(advice.rivals) > FEW_RIVALS:
        lines.append(words.say("answer_many_rivals", n=len(advice.rivals)))
    elif advice.rivals:
        lines.append(words.say("answer_rivals", rivals=words.listed(advice.rivals)))
    return lines


def _body(data: ReportData, made: Sequence[Plot], album: Album) -> dict[str, Any]:
    tiles, bare = material(data, album)
    chosen, everything = sections.fixed(data)
    blocks = _blocks(data, made, album)
    crossed = [plot for plot in made if isinstance(plot.data, InteractionPlot)]
    alone = {block.key for block in blocks}
    never = [data.words.label(key) for key in data.subject.settings if key not in alone]
    return {
        "tiles": tiles,
        "bare": bare,
        "fixed": chosen,
        "all_fixed": everything,
        "patterns": sections.patterns(data, album),
        "blocks": blocks,
        "findings": [item for block in blocks for item in block.findings],
        "alone_never": data.words.listed(never),
        "together": [data.words.listed(map(data.words.label, group)) for group in data.verdict.together],
        "interactions": [(plot.name, _crossed_text(data, plot)) for plot in crossed],
        "interaction_texts": [found_of.interaction(data, item) for item in data.verdict.interactions],
        "drawn": [plot.name for plot in made],
        "courses": sections.courses(data),
        "failures": sections.failures(data),
        "unfinished": sum(run.status in ("planned", "running") for run in data.evidence.own),
        "total_minutes": show(round(sections.total_minutes(data.evidence.own), 1)),
    }


def _blocks(data: ReportData, made: Sequence[Plot], album: Album) -> list[Block]:
    """One block per setting that some runs differ in alone, those with findings first."""
    words = data.words
    by_key: dict[str, list[Finding]] = {}
    for item in found_of.findings(data):
        by_key.setdefault(item.key, []).append(item)
    drawn = {plot.data.axis.key: plot.name for plot in made if isinstance(plot.data, SettingPlot)}
    blocks = []
    for key in dict.fromkeys([*by_key, *data.subject.settings]):
        images = sheets(data, key, album)
        if not images and key not in by_key:
            continue
        text = words.say("fig_setting", criterion=words.judged_by(), setting=words.label(key))
        blocks.append(
            Block(key, words.label(key), tuple(by_key.get(key, ())), tuple(images), drawn.get(key, ""), text)
        )
    return blocks


def _crossed_text(data: ReportData, plot: Plot) -> str:
    assert isinstance(plot.data, InteractionPlot)
    one, other = data.words.label(plot.data.axis.key), data.words.label(plot.data.by.key)
    return data.words.say("fig_interaction", criterion=data.words.judged_by(), one=one, other=other)


def _tail(data: ReportData) -> dict[str, Any]:
    devices, packages = sections.versions(data)
    alpha = data.verdict.rater_alpha
    judged = sections.judged(data)
    if data.subject.judged:
        judged += found_of.noise(data)
    return {
        "copied": copied(data),
        "judged": judged,
        "raters": sections.raters(data) if data.evidence.criterion == SCORE else [],
        "alpha": data.words.say("raters_agree", alpha=f"{alpha:.2f}") if alpha is not None else "",
        "agreement": sections.agreement(data),
        "notes": [*map(data.words.text, data.verdict.notes)],
        "devices": devices,
        "packages": packages,
        "version": __version__,
        "folder": str(data.folder.path),
    }

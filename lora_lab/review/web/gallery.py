"""What all pages share: which sweeps there are, what is in them, and how a page is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from lora_lab.counts import counted, whole
from lora_lab.errors import RunFolderError
from lora_lab.review.browse.curves import StepLogs
from lora_lab.review.browse.runs import Sweep, SweepCache
from lora_lab.review.web.thumbnails import Thumbnails
from lora_lab.store import SweepFolder
from lora_lab.words import stage

HERE = Path(__file__).parent.parent
TABS = (
    ("matrix", "Images", "look"),
    ("curves", "Curves", "look/curves"),
    ("running", "Running", "look/running"),
    ("timings", "Timings", "look/timings"),
    ("settings", "Settings", "look/settings"),
    ("verdict", "Verdict", "verdict/"),
    ("plots", "Plots", "plots"),
    ("export", "Export", "export"),
)
"""The pages of a sweep: key, name, and address below /sweep/NAME/."""
PLAIN_NAME = re.compile(r"[^./\\][^/\\]*")
"""Names of sweeps that are looked for at all: whatever a folder is called, but for hidden ones."""


@dataclass(frozen=True)
class Options:
    """How the gallery is served.

    Args:
        only: The one sweep to show; empty for all of the results folder.
        host: The address it listens on.
        token: What a browser has to bring once; empty where only this machine can connect.
        allowed: Further names that a browser may know this machine by, such as a proxy's.
        reachable: The first address that other machines may open, with a slash at its end; empty where only
            this one can connect.
        cache: Folder of images made smaller or made anonymous; None is `.review` in the results folder.
    """

    only: str = ""
    host: str = "127.0.0.1"
    token: str = ""
    cache: Path | None = None
    allowed: tuple[str, ...] = ()
    reachable: str = ""


@dataclass
class Gallery:
    """The folder of results that is shown, and what was read of it. Kept in `app.state.gallery`."""

    results: Path
    options: Options = Options()
    sweep_cache: SweepCache = field(default_factory=SweepCache)
    step_logs: StepLogs = field(default_factory=StepLogs)
    pages: jinja2.Environment = field(init=False)
    thumbnails: Thumbnails = field(init=False)

    def __post_init__(self) -> None:
        self.thumbnails = Thumbnails(self.cache / "thumbnails")
        self.pages = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.pages.globals.update(sweep_tabs=TABS, counted=counted, stage=stage, whole=whole)

    @property
    def cache(self) -> Path:
        """Where images that were made smaller or anonymous are kept."""
        return self.options.cache or self.results / ".review"

    def names(self) -> list[str]:
        """The sweeps that are shown, by name."""
        return sorted(item.name for item in self._folders() if SweepFolder(item).is_sweep())

    def _folders(self) -> Iterator[Path]:
        """What lies in the results folder and may be a sweep; no name from a browser becomes a path."""
        if self.options.only:
            yield self.results / self.options.only
        elif self.results.is_dir():
            yield from (item for item in self.results.iterdir() if PLAIN_NAME.fullmatch(item.name))

    def folder(self, name: str) -> SweepFolder:
        """The folder of a sweep that is shown.

        Raises:
            HTTPException: There is no such sweep (404).
        """
        for item in self._folders():
            if item.name == name and SweepFolder(item).is_sweep():
                return SweepFolder(item)
        raise HTTPException(404, f"there is no sweep {name!r} here")

    def read(self, name: str) -> Sweep:
        """A sweep as it is now.

        Raises:
            HTTPException: There is no such sweep (404).
        """
        try:
            return self.sweep_cache.read(self.folder(name))
        except RunFolderError as error:
            raise HTTPException(404, str(error)) from error

    def image(self, name: str, image: str) -> Path:
        """The file of a sweep's image by its opaque name.

        A page asks for a hundred at once; what was read for the page is looked at first, without asking the
        disk whether anything changed.

        Raises:
            HTTPException: There is no such sweep or image (404).
        """
        known = self.sweep_cache.known(self.results / name) if PLAIN_NAME.fullmatch(name) else None
        found = known.file(image) if known else None
        found = found or self.read(name).file(image)
        if found is None:
            raise HTTPException(404, "there is no such image")
        return found

    def read_ahead(self) -> None:
        """Read all sweeps, so that the first page does not wait for them."""
        for name in self.names():
            with suppress(HTTPException):
                # What images there are is worked out with it.
                _ = self.read(name).images


def gallery_of(request: Request) -> Gallery:
    """The gallery that a request is for."""
    found: Gallery = request.app.state.gallery
    return found


def page(
    request: Request, template: str, values: Mapping[str, Any] | None = None, status: int = 200
) -> HTMLResponse:
    """Draw a template of `templates/`; every value is escaped."""
    text = gallery_of(request).pages.get_template(template).render(**(values or {}))
    return HTMLResponse(text, status)

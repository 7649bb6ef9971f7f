"""Reports of the sweeps as the gallery serves them, written anew when anything of a sweep has changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lora_lab.plots import Subject, subject
from lora_lab.report import Link, write_report
from lora_lab.review.web.gallery import Gallery
from lora_lab.store.scores import scores_version


@dataclass
class WrittenReports:
    """The reports that were written, by sweep, language and what judges. Kept in `app.state.reports`.

    One is written at a time: matplotlib is not made for several threads.
    """

    gallery: Gallery
    lock: threading.Lock = field(default_factory=threading.Lock)
    _versions: dict[Path, str] = field(default_factory=dict)

    def read(self, sweep: str, metric: str) -> Subject:
        """The sweep with its evidence, as the command line reads it.

        Args:
            sweep: Its name.
            metric: What judges; '' is people's scores where there are any, else the metric in their place.
        """
        return subject(self.gallery.folder(sweep), metric or None)

    def folder(self, sweep: str, language: str, metric: str, links: Sequence[Link]) -> Path:
        """The folder of a report that holds what is known now.

        Raises:
            ConfigError: The language is unknown.
            RunFolderError: No checkpoint has that metric, or the folder cannot be written.
        """
        found = self.gallery.folder(sweep)
        path = self.place(sweep, language, metric)
        with self.lock:
            version = f"{self.gallery.read(sweep).version} {scores_version(found)}"
            if self._versions.get(path) != version or not path.is_dir():
                write_report(self.read(sweep, metric), path, language, links)
                self._versions[path] = version
        return path

    def place(self, sweep: str, language: str, metric: str) -> Path:
        """Where such a report lies."""
        name = hashlib.blake2b(f"{sweep}\n{language}\n{metric}".encode(), digest_size=10).hexdigest()
        return self.gallery.cache / "verdicts" / name

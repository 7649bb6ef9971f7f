"""The rounds of a search: what was proposed, under which names; written before it is trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from lora_lab.errors import RunFolderError, broken_at
from lora_lab.files import write_json
from lora_lab.store.layout import SweepFolder


@dataclass(frozen=True)
class Proposed:
    """One row that a search proposed.

    Attributes:
        name: The run's name.
        round: Its round, from 1.
        settings: The values of the searched settings, by key.
        expected: The score that was expected, and `sd` how unsure that was; None in a first round.
    """

    name: str
    round: int
    settings: dict[str, Any]
    expected: float | None = None
    sd: float | None = None


def read_rounds(folder: SweepFolder) -> list[Proposed]:
    """Everything that was proposed so far, in order.

    Raises:
        RunFolderError: The file is damaged.
    """
    try:
        values = json.loads(folder.search_file.read_text(encoding="utf-8"))
        names = {item.name for item in fields(Proposed)}
        return [Proposed(**{k: v for k, v in item.items() if k in names}) for item in values["proposed"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(
            f"{folder.search_file} is damaged ({broken_at(error)}): delete it to begin the search anew; "
            "its runs are kept"
        ) from error


def write_rounds(folder: SweepFolder, proposed: list[Proposed]) -> None:
    """Write what was proposed.

    Raises:
        RunFolderError: The folder cannot be written to.
    """
    write_json(folder.search_file, {"proposed": [asdict(item) for item in proposed]})

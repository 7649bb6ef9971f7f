"""Training states on disk: complete or absent, the newest kept, older ones as long as the settings say.

Runs of a pack train in one forward pass, so that the last bits of each depend on who trains beside it. Their
states are therefore saved together, as a group, and taken up together: whoever is taken up alone ends within
rounding of what it would have been, a whole group ends bit for bit the same.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch

from lora_lab.errors import RunFolderError
from lora_lab.files import replacing_folder
from lora_lab.store import RunFolder
from lora_lab.store.layout import state_step
from lora_lab.store.typed import built

STATE, ABOUT = "state.pt", "state.json"


@dataclass(frozen=True)
class Group:
    """States of a pack that were saved at one moment.

    Attributes:
        name: One of a kind; '' for a state that was saved alone, as earlier versions did.
        number: Counts the groups of the runs, from 1.
        runs: The runs whose states are in it.
        pack: The runs that the pack was built for; those that have ended decide about padding all the same.
    """

    name: str = ""
    number: int = 0
    runs: list[str] = field(default_factory=list)
    pack: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Saved:
    """A state on the disk."""

    folder: Path
    step: int
    group: Group

    def load(self) -> dict[str, Any]:
        """The state itself."""
        found: dict[str, Any] = torch.load(self.folder / STATE, map_location="cpu", weights_only=True)
        return found


def save_state(folder: RunFolder, state: dict[str, Any], fingerprint: str, group: Group) -> Saved:
    """Write a state under a name of its own; a crash leaves either all of it or nothing.

    Args:
        folder: The run's folder.
        state: Tensors and plain values, as `Runner.state` gives them.
        fingerprint: Of the experiment; a state is resumed only under the same one.
        group: What is saved with it.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    step, micro = int(state["update"]), len(state.get("pending", {}).get("losses", ()))
    places = (folder.state(step, micro, again) for again in count())
    target = next(place for place in places if not place.exists())
    about = {"step": step, "fingerprint": fingerprint, "group": asdict(group)}
    try:
        with replacing_folder(target) as temporary:
            torch.save(state, temporary / STATE)
            (temporary / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    except RuntimeError as error:  # torch's own writer
        raise RunFolderError(f"cannot write the training state {target}: {error}; make room") from error
    return Saved(target, step, group)


def saved_states(folder: RunFolder, fingerprint: str) -> list[Saved]:
    """The states that a run can go on from, oldest first; damaged ones and those of others are left out."""
    found = []
    for place in folder.state_folders():
        # Whatever is wrong with a state, the one before it is the better start.
        with suppress(Exception):
            about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
            if about["fingerprint"] != fingerprint:
                continue
            state = Saved(place, int(about["step"]), built(Group, about.get("group", {})))
            torch.load(place / STATE, map_location="cpu", weights_only=True, mmap=True)
            found.append(state)
    return found


def in_step(states: Mapping[str, Sequence[Saved]]) -> dict[str, Saved | None]:
    """Which state each run goes on from: its newest that its mates among these runs can go on from, too.

    A mate that is not among them has ended, or trains elsewhere; one that has later states went on without
    this run. Where no state is like that, the first group was not whole yet, and all begin anew; of a later
    group a mate's state is lost, and the run takes its newest.

    Args:
        states: The states of each run, oldest first.
    """
    names = {run: {state.group.name for state in own} for run, own in states.items()}
    latest = {run: max((state.group.number for state in own), default=0) for run, own in states.items()}

    def whole(state: Saved) -> bool:
        group = state.group
        mates = [run for run in group.runs if run in names]
        return all(group.name in names[run] or latest[run] > group.number for run in mates)

    found = {}
    for run, own in states.items():
        newest = own[-1] if own and own[-1].group.number != 1 else None
        found[run] = next((state for state in reversed(own) if whole(state)), newest)
    return found


def drop_later_states(folder: RunFolder, start: Saved) -> None:
    """Delete the states behind the one that a run goes on from: they belong to a group that is not whole."""
    for place in reversed(folder.state_folders()):
        if place == start.folder:
            return
        shutil.rmtree(place, ignore_errors=True)


def drop_old_states(folder: RunFolder, newest: Saved, keep_from: int, due: Callable[[int], bool]) -> None:
    """Delete the states before the newest that the settings do not keep.

    Args:
        keep_from: States of fewer updates are not kept.
        due: Whether the run's own settings ask for a state after so many updates; others were saved for the
            sake of pack-mates, and stay only until the next group.
    """
    for place in folder.state_folders():
        asked = keep_from <= state_step(place) != newest.step and _asked(folder, place, due)
        if place != newest.folder and not asked:
            shutil.rmtree(place, ignore_errors=True)


def drop_states(folder: RunFolder, due: Callable[[int], bool]) -> None:
    """Delete the states of a run that is done, but for those that its own settings ask for."""
    asked = [place for place in folder.state_folders() if _asked(folder, place, due)]
    for place in folder.state_folders() if asked else [folder.states]:
        if place not in asked:
            shutil.rmtree(place, ignore_errors=True)


def _asked(folder: RunFolder, place: Path, due: Callable[[int], bool]) -> bool:
    step = state_step(place)
    return place.name.partition("-")[0] == folder.state(step).name and due(step)

"""Training states on disk: complete or absent, the newest kept, older ones as long as the settings say."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from lora_lab.errors import RunFolderError
from lora_lab.store import RunFolder


def save_state(folder: RunFolder, step: int, state: dict[str, Any], fingerprint: str) -> None:
    """Write the state after `step` updates; a crash leaves either all of it or nothing.

    Args:
        folder: The run's folder.
        step: Updates done.
        state: Tensors and plain values, as `Runner.state` gives them.
        fingerprint: Of the experiment; a state is resumed only under the same one.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    target = folder.state(step)
    try:
        folder.states.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.states))
        try:
            torch.save(state, temporary / "state.pt")
            about = {"step": step, "fingerprint": fingerprint}
            (temporary / "state.json").write_text(json.dumps(about), encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        raise RunFolderError(f"cannot write the training state {target}: {error}; make room") from error


def load_newest_state(folder: RunFolder, fingerprint: str) -> dict[str, Any] | None:
    """The newest state that can be resumed, or None: damaged ones and other experiments' are passed over."""
    for step in reversed(folder.saved_states()):
        try:
            about = json.loads((folder.state(step) / "state.json").read_text(encoding="utf-8"))
            if about["fingerprint"] != fingerprint:
                continue
            state: dict[str, Any] = torch.load(
                folder.state(step) / "state.pt", map_location="cpu", weights_only=True
            )
            return state
        except Exception:
            # Whatever is wrong with a state, the one before it is the better start.
            continue
    return None


def drop_old_states(folder: RunFolder, keep_from: int) -> None:
    """Delete the states of fewer than `keep_from` updates, and what an interrupted save left behind."""
    if not folder.states.is_dir():
        return
    for step in folder.saved_states():
        if step < keep_from:
            shutil.rmtree(folder.state(step), ignore_errors=True)
    for leftover in folder.states.glob(".new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def drop_states(folder: RunFolder) -> None:
    """Delete all states, of a run that is done."""
    shutil.rmtree(folder.states, ignore_errors=True)

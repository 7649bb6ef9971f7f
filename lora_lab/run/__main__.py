"""The worker's command: `python -m lora_lab.run [--events FILE] [--parent PID] [--slots N] FOLDER ...`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lora_lab.errors import LoraLabError
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.store import ENDED, RunFolder


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lora_lab.run", description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a run folder with a config.yaml"
    )
    parser.add_argument(
        "--events", metavar="FILE", help="append progress to this file as JSON lines; - for standard output"
    )
    parser.add_argument("--stop", type=Path, metavar="FILE", help="save and stop once this file is there")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="stop when this process is no longer the parent"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="stop after the next 1/N of the pack's length"
    )
    parser.add_argument("--slots", type=int, default=0, metavar="N", help="runs that train at once, 0 = all")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Work through the folders; 0 when all were worked through (failed ones, too), 130 when interrupted."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    interrupt = Interrupt(arguments.parent, arguments.stop)
    interrupt.listen()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        events = Events(arguments.events)
    except OSError as error:
        print(f"cannot write {arguments.events}: {error.strerror or error}", file=sys.stderr)
        return 2
    try:
        return _work(arguments, events, interrupt)
    except LoraLabError as error:
        print(error, file=sys.stderr)
        return 2


def _leave_out_what_no_worker_uses() -> None:
    """Spare a worker a quarter of its start: diffusers imports peft and bitsandbytes for loaders of its own.

    8-bit optimizers and bases in nf4 import bitsandbytes themselves, where a run asks for them.
    """
    sys.modules.setdefault("peft", None)  # type: ignore[arg-type]
    from diffusers.utils import import_utils

    import_utils._bitsandbytes_available = False


def _work(arguments: argparse.Namespace, events: Events, interrupt: Interrupt) -> int:
    _leave_out_what_no_worker_uses()
    from lora_lab.run.task import Task

    tasks = []
    for path in arguments.folders:
        # Links stay links: what runs of a sweep share lies beside them, not where one of them is kept.
        task = Task.open(RunFolder(path.absolute()))
        if task is None:
            print(f"{path} is being worked on by another process: left out", file=sys.stderr)
            events.send("left_out", run=path.name)
        elif arguments.parent is not None and task.record.status in ENDED:
            # Another launcher's worker was done with it after ours had looked.
            task.lock.release()
            events.send("left_out", run=path.name)
        else:
            tasks.append(task)
    if not tasks or interrupt.orphaned:
        # A launcher that was killed at once may have a successor, which waits for these runs.
        return 130 if interrupt.reason else 0
    # Torch comes in only now, so that a wrong folder is answered at once.
    from lora_lab.run.following import open_followers
    from lora_lab.run.work import PackWork

    if external := [task for task in tasks if task.record.external]:
        from lora_lab.run.external import render_external

        render_external(external, events, interrupt)
    if trained := [task for task in tasks if not task.record.external]:
        slots = arguments.slots or len(trained)
        PackWork([*trained, *open_followers(trained)], slots, events, interrupt, arguments.rounds).run()
    return 130 if interrupt.reason else 0


if __name__ == "__main__":
    sys.exit(main())

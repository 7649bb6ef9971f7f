"""A worker without torch: the command line, events, files, lock and signals of `lora_lab.run`.

What it does with a run is written in the run's folder, in `fake.json`:
`steps` to do, `seconds` per step, and `at` (a step) with `then`: `kill`, `exit`, `diverge`, `memory` or
`garbage`. It happens only in packs of more than `room` runs, and with `once` at the first attempt only.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.lock import FolderLock
from lora_lab.store import ENDED, Checkpoint, RunFolder, epoch_tag, read_record, write_record

events = Events(None)


def say(event: str, **values: Any) -> None:
    events.send(event, **values)


def plan_of(run: RunFolder) -> dict[str, Any]:
    file = run.path / "fake.json"
    return json.loads(file.read_text()) if file.exists() else {"steps": 3}


def acts(run: RunFolder, plan: dict[str, Any], step: int, pack: int) -> str:
    if step != plan.get("at", -1) or pack <= plan.get("room", 0):
        return ""
    mark = run.path / "acted"
    if plan.get("once") and mark.exists():
        return ""
    mark.touch()
    return str(plan["then"])


def step_of(run: RunFolder, plan: dict[str, Any], pack: int) -> None:
    record = read_record(run)
    if record.status != "running":
        return
    record.step += 1
    then = acts(run, plan, record.step, pack)
    if then == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "exit":
        print("Traceback: the library gave up", file=sys.stderr, flush=True)
        sys.exit(3)
    if then == "garbage":
        print("a library that prints to stdout", flush=True)
    say("step", run=run.name, step=record.step, total=plan["steps"], loss=0.5)
    if then in ("diverge", "memory"):
        record.status = "diverged" if then == "diverge" else "failed"
        record.reason = "loss is nan" if then == "diverge" else "out of memory: 80 GiB were not enough"
    elif record.step >= plan["steps"]:
        record.status = "done"
        record.checkpoints = [
            Checkpoint(epoch_tag(1), f"checkpoints/{run.name}.safetensors", 1, record.step, 4)
        ]
        say("checkpoint", run=run.name, tag=epoch_tag(1))
    write_record(run, record)
    if record.status != "running":
        say("end", run=run.name, status=record.status, reason=record.reason)
    time.sleep(plan.get("seconds", 0))


def set_aside(runs: list[RunFolder]) -> None:
    for run in runs:
        record = read_record(run)
        if record.status == "running":
            record.status = "planned"
            write_record(run, record)
            say("aside", run=run.name)


def work(runs: list[RunFolder], interrupt: Interrupt, rounds: int) -> None:
    plans = {run: plan_of(run) for run in runs}
    say("phase", phase="load")
    for run in runs:
        record = read_record(run)
        record.resumed_at_steps += [record.step] if record.step else []
        record.status, record.reason = "running", ""
        record.pack = [item.name for item in runs]
        write_record(run, record)
    say("phase", phase="train")
    most = max((plan["steps"] for plan in plans.values()), default=0)
    behind = min((read_record(run).step for run in runs), default=0)
    end = most * (behind * rounds // most + 1) // rounds if most else 0
    while any(read_record(run).status == "running" for run in runs):
        if interrupt.reason:
            raise KeyboardInterrupt
        for run in runs:
            step_of(run, plans[run], len(runs))
        if all(end <= read_record(run).step < most for run in runs):
            return set_aside(runs)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events")
    parser.add_argument("--stop", type=Path)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    global events
    events = Events(given.events)
    interrupt = Interrupt(given.parent, given.stop)
    interrupt.listen()
    runs, locks = [RunFolder(path) for path in given.folders], []
    for run in list(runs):
        lock = FolderLock(run.lock_file)
        if not lock.acquire():
            say("left_out", run=run.name)
            runs.remove(run)
        elif read_record(run).status in ENDED:
            lock.release()
            say("left_out", run=run.name)
            runs.remove(run)
        locks.append(lock)
    with open(Path(os.environ["FAKE_LOG"]), "a") as log:
        log.write(" ".join(run.name for run in runs) + "\n")
    print(
        "threads",
        os.environ["OMP_NUM_THREADS"],
        "gpu",
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        file=sys.stderr,
    )
    try:
        work(runs, interrupt, given.rounds)
    except KeyboardInterrupt:
        for run in runs:
            record = read_record(run)
            if record.status == "running":
                record.status, record.reason = "cancelled", "interrupted"
                write_record(run, record)
        return 130
    finally:
        for lock in locks:
            lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())

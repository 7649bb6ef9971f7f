"""What is to be done with the runs of a worker that has ended: the one policy of all engines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from lora_lab.engines.backend import Ending
from lora_lab.engines.pack import Pack
from lora_lab.store import ENDED, RunFolder, RunRecord
from lora_lab.system import signal_name

REFUSED = 2
"""Exit code of a worker that says, as its last line, why it cannot work."""

MOST_LOSSES = 10
"""How many workers may be taken away from a run before it counts as failed."""

OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Settlement:
    """What happens next.

    Attributes:
        again: Packs to try in front of the others, and `reason` why.
        waiting: A pack to try behind the others: another process was first, or the worker was taken away.
        short: Runs that ran out of memory and are to be tried in smaller packs.
        failed: Runs that are not tried again, for `words`.
    """

    again: tuple[Pack, ...] = ()
    reason: str = ""
    waiting: Pack | None = None
    short: tuple[RunFolder, ...] = ()
    failed: tuple[RunFolder, ...] = ()
    words: str = ""


def settle(
    pack: Pack,
    records: Mapping[RunFolder, RunRecord],
    ending: Ending,
    elsewhere: Collection[RunFolder],
    tail: Collection[str],
) -> Settlement:
    """Decide by what the records say, and by how the worker ended.

    Args:
        records: Of every run of the pack.
        elsewhere: Runs that another process holds, or held when the worker came to them.
        tail: The last lines that the worker printed.
    """
    unfinished = [run for run, record in records.items() if record.status not in ENDED]
    waiting = tuple(run for run in unfinished if run in elsewhere)
    short = tuple(run for run, record in records.items() if _ran_out(record) and len(pack.runs) > 1)
    left = tuple(run for run in unfinished if run not in elsewhere)
    if ending.lost and pack.losses + 1 < MOST_LOSSES:
        gone = replace(pack, runs=(*left, *waiting), losses=pack.losses + 1)
        return Settlement(
            again=halves(replace(pack, runs=short)) if short else (),
            reason=OUT_OF_MEMORY,
            waiting=gone if gone.runs else None,
            short=short,
        )
    stopped = {run for run in left if records[run].status == "cancelled" and not ending.lost}
    left = tuple(run for run in left if run not in stopped)
    again = halves(replace(pack, runs=short)) if short else ()
    found = Settlement(again, OUT_OF_MEMORY if short else "", _pack(pack, waiting), short)
    if not left:
        return found
    words = ending_words(ending, tail)
    # All had begun and the worker refused with a message: what they share (the base model) is at fault.
    common = ending.code == REFUSED and all(records[run].status == "running" for run in pack.runs)
    if ending.lost or common:
        return replace(found, failed=left, words=words)
    tried = replace(pack, runs=left, crashes=pack.crashes + 1)
    if ending.code is not None and ending.code < 0 and pack.crashes == 0:
        # Killed from outside for the first time: that may be a mishap. The pack goes on whole, in step.
        more: tuple[Pack, ...] = (tried,)
    elif len(pack.runs) > 1:
        more = halves(tried)
    else:
        return replace(found, failed=left, words=words)
    return replace(found, again=(*more, *again), reason=words, words=words)


def halves(pack: Pack) -> tuple[Pack, ...]:
    """A lost pack in two, down to single runs."""
    middle = (len(pack.runs) + 1) // 2
    return tuple(replace(pack, runs=half) for half in (pack.runs[:middle], pack.runs[middle:]) if half)


def ending_words(ending: Ending, tail: Collection[str]) -> str:
    """How the worker ended, with the last lines that it printed."""
    last = " | ".join(tail)
    if ending.code == REFUSED and last:
        return last
    if ending.words or ending.code is None:
        text = ending.words or "the worker ended, nobody knows how"
    elif ending.code < 0:
        name = signal_name(-ending.code)
        text = f"the worker was killed by {name}"
        if name == "SIGKILL":
            text += " (by hand, or by the system for want of memory)"
    else:
        text = f"the worker ended with exit code {ending.code}"
    return f"{text}: {last}" if last else text


def _ran_out(record: RunRecord) -> bool:
    return record.status == "failed" and record.reason.lower().startswith(OUT_OF_MEMORY)


def _pack(pack: Pack, runs: tuple[RunFolder, ...]) -> Pack | None:
    return replace(pack, runs=runs) if runs else None

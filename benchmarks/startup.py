"""How long the command line takes before it does anything: `--help`, and the plan of a sweep.

Targets: `lora-lab --help` under 0.5 s, `lora-lab plan` of 25 patterns under 3 s, neither importing torch.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import report

COMMANDS: dict[str, tuple[list[str], float]] = {
    "lora-lab --help": (["--help"], 0.5),
    "lora-lab plan sweeps/article25.yaml base_model.path=demo dataset.path=demo": (
        ["plan", "sweeps/article25.yaml", "base_model.path=demo", "dataset.path=demo"],
        3.0,
    ),
}
"""Command lines with their targets in seconds."""
ROOT = Path(__file__).parents[1]
SHOWS_TORCH = (
    "import sys; from lora_lab.__main__ import main; code = main(sys.argv[1:]); "
    "sys.exit(99 if 'torch' in sys.modules else code)"
)


def main() -> None:
    """Run each command several times as a process of its own."""
    parser = report.parser(__doc__)
    parser.add_argument("--runs", type=int, default=7, help="times that each command is run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        extra = [f"cache={place}/cache", f"results={place}/results"]
        rows = [_row(name, words, target, extra, given) for name, (words, target) in COMMANDS.items()]
    report.finish(
        given,
        "Start-up of the command line",
        report.processor(),
        ["command", "wall s, median", "wall s, best", "CPU s, median", "target s", "torch imported"],
        rows,
    )


def _row(
    name: str, words: Sequence[str], target: float, extra: Sequence[str], given: argparse.Namespace
) -> list[str]:
    own = [*words, *(extra if words[0] == "plan" else ())]
    command = [sys.executable, "-m", "lora_lab", *own]
    _spawn(command)  # Draws the demo's images, and writes bytecode.
    times = [_spawn(command) for _ in range(given.runs)]
    code, _, _ = _spawn([sys.executable, "-c", SHOWS_TORCH, *own])
    return [
        f"`{name}`",
        f"{statistics.median(wall for _, wall, _ in times):.2f}",
        f"{min(wall for _, wall, _ in times):.2f}",
        f"{statistics.median(cpu for _, _, cpu in times):.2f}",
        f"{target:g}",
        "yes" if code == 99 else "no",
    ]


def _spawn(command: Sequence[str]) -> tuple[int, float, float]:
    """Exit code, wall and CPU seconds of a process whose output goes nowhere."""
    started = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 99):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return code, wall, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    os.chdir(ROOT)
    main()

"""The command line: `lora-lab COMMAND ...`, also as `python -m lora_lab`."""

import codecs
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from lora_lab.cli import parse
from lora_lab.errors import LoraLabError
from lora_lab.system import end_as_ctrl_c

DONE, RUN_FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all done; a run failed; the request was wrong; interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one message, and its kind is the exit code."""
    printable()
    try:
        request = parse(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else WRONG
    # Workers save, and the sweep goes on later.
    end_as_ctrl_c()
    try:
        return request.run()
    except LoraLabError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        # A disk that is full, gone or not ours: the user's to mend, wherever it was met.
        if error.filename is None:
            return _unexpected(error)
        return _refuse(f"{error.filename}: {error.strerror}; give another place, or mend this one")
    except Exception as error:
        return _unexpected(error)


ESCAPED = "lora_lab.escaped"


def printable() -> None:
    """Have everything printed that the terminal or file cannot spell as \\u1234, in JSON still the same text.

    A trigger word may be Japanese, and the terminal one of code page 1252.
    """
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


def _refuse(text: str) -> int:
    sys.stderr.write(f"lora-lab: {text}\n")
    return WRONG


def _unexpected(error: Exception) -> int:
    """A fault of this program's: one line, with the details in a file."""
    details = traceback.format_exc()
    if os.environ.get("LORA_LAB_DEBUG"):
        sys.stderr.write(details)
        return RUN_FAILED
    file = Path(tempfile.gettempdir()) / f"lora-lab-error-{os.getpid()}.txt"
    try:
        file.write_text(f"{' '.join(sys.argv)}\n{details}", encoding="utf-8")
        where = f"details are in {file}"
    except OSError:
        where = "LORA_LAB_DEBUG=1 shows the details"
    sys.stderr.write(
        f"lora-lab: unexpected {type(error).__name__}: {error}\n"
        f"This is a fault in lora-lab; {where}. Please report them. Finished runs are kept.\n"
    )
    return RUN_FAILED


if __name__ == "__main__":
    sys.exit(main())

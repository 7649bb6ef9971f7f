"""What `--json` prints: one JSON value on standard output, and nothing else there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lora_lab.files import finite


def print_json(value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Print a value as JSON; numbers that are not finite become null.

    Args:
        value: What JSON can hold.
        default: Makes something that it can hold of anything else.
    """
    print(json.dumps(finite(value), indent=1, ensure_ascii=False, default=default), flush=True)

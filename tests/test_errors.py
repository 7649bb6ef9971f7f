"""Where a file stops being JSON or TOML is said in words, and nothing of it is quoted."""

import json
import tomllib
from pathlib import Path

import pytest

from lora_lab.errors import broken_at


@pytest.mark.parametrize(
    ("read", "text", "place"),
    [
        (json.loads, '{"a": 1', "line 1, column 8"),
        (json.loads, "", "line 1, column 1"),
        (json.loads, '{"token": "abc\n', "line 1, column 15"),
        (json.loads, "[" * 99999, "it is nested too deeply"),
        (tomllib.loads, "hello", "it is cut off"),
        (tomllib.loads, "a = 1\nb =\nc = 2", "line 2, column 4"),
        (lambda text: text.encode().decode("ascii"), "é", "it is no text in UTF-8"),
        (lambda text: Path(text).read_bytes(), "/no/such/file", "No such file or directory"),
        (int, "seven", "it holds something else"),
    ],
)
def test_the_place_is_named(read, text, place):
    with pytest.raises((ValueError, OSError, RecursionError)) as raised:
        read(text)
    assert broken_at(raised.value) == place

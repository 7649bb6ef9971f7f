"""The command line takes every command that README and docs show; cheap ones print what is shown."""

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.cli import COMMANDS, parse
from lora_lab.config import settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`([^`\n]*\blora-lab [^`\n]*)`")
BEFORE = re.compile(r"^(?:nohup |uvx (?:--find-links \w+ )?)?(?=lora-lab )")
"""What may stand before a command of ours."""
LEFT_OUT = "..."
PLACEHOLDERS = ("key=value", "key=a,b")


def lines_of(page: Path) -> Iterator[str]:
    """The lines of blocks of commands, and what stands between backticks elsewhere."""
    text = page.read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        if language in ("console", "bash", "sh"):
            yield from (line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines())
    yield from INLINE.findall(FENCE.sub("", text))


def commands_of(line: str) -> Iterator[list[str]]:
    """The words of every command in a line: `a|b` is both, `[X]` is with and without."""
    for part in re.split(r"&&|;|\|\|", line.replace(r"\|", "/or/")):
        part = part.strip().removesuffix("&").strip()
        if not (found := BEFORE.sub("", part)).startswith("lora-lab "):
            continue
        words = shlex.split(found, comments=True)[1:]
        bare = [word.partition("[")[0] for word in words]
        whole = [word.replace("[", "").replace("]", "") for word in words]
        for form in (bare, whole) if bare != whole else (whole,):
            yield from (list(one) for one in product(*(word.split("/or/") for word in form if word)))


def shown() -> list[tuple[str, tuple[str, ...]]]:
    found = {}
    for page in PAGES:
        for line in lines_of(page):
            for words in commands_of(line):
                found.setdefault(tuple(words), page.name)
    return [(page, words) for words, page in found.items()]


SHOWN = shown()


def is_name_alone(words: tuple[str, ...]) -> bool:
    """Whether it is a command that is spoken of, and not one to type."""
    known = COMMANDS
    for word in words:
        item = next((item for item in known if item.name == word), None)
        if item is None:
            return word in ("VERB", "COMMAND")
        known = item.verbs
    return True


def test_there_are_commands_to_look_at() -> None:
    assert len(SHOWN) > 80 and len(printed()) >= 2
    assert {words[0] for _, words in SHOWN} >= {item.name for item in COMMANDS} - {"demo-data"}


@pytest.mark.parametrize(("page", "words"), SHOWN, ids=lambda value: " ".join(value) if value else "")
def test_the_command_line_takes_it(
    page: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for word in words if word != LEFT_OUT]
    if is_name_alone(tuple(given)):
        return
    try:
        request = parse(given)
    except SystemExit as end:
        said = capsys.readouterr().err
        if "arguments are required" not in said or LEFT_OUT not in words:
            assert end.code == 0, f"{page}: lora-lab {' '.join(words)}\n{said}"
        return
    overrides = getattr(request.arguments, "overrides", None) or []
    for word in overrides:
        key = word.lstrip("+").partition("=")[0]
        group = (ROOT / "conf" / key).is_dir()
        assert word in PLACEHOLDERS or group or key in (*settings(), "name", "sweep"), f"{page}: {word}"


@pytest.mark.parametrize(
    "line",
    [
        "lora-lab verdit demo",
        "lora-lab stop demo",
        "nohup lora-lab plan a --licence x &",
        "lora-lab train network.dim=4",
    ],
)
def test_the_rule_sees_what_it_is_there_for(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = commands_of(line)
    with pytest.raises(AssertionError, match="page"):
        test_the_command_line_takes_it("page", tuple(words), capsys)


def examples() -> list[tuple[str, list[str]]]:
    """The commands of help texts."""
    listed = [verb for item in COMMANDS for verb in (item.verbs or (item,))]
    lines = [line for item in listed for line in item.example.splitlines()]
    return [(line.strip(), words) for line in lines for words in commands_of(line.strip())]


@pytest.mark.parametrize(("line", "words"), examples(), ids=lambda value: value if value is str else "")
def test_the_examples_of_help_texts(line: str, words: list[str]) -> None:
    parse(words)


OUTPUTS = ("demo-data", "plan")
"""Commands that are cheap, want no torch, and print the same everywhere."""


def printed() -> list[tuple[str, list[tuple[list[str], list[str]]]]]:
    """By page: the commands of a block that are run, each with the pieces of its output that are shown."""
    found = []
    for page in PAGES:
        for _, block in FENCE.findall(page.read_text(encoding="utf-8")):
            parts = re.split(r"^\$ (lora-lab .*)$", block, flags=re.M)
            shown = zip(parts[1::2], map(pieces_of, parts[2::2]), strict=True)
            run = [(words, pieces) for line, pieces in shown for words in commands_of(line)]
            run = [(words, pieces) for words, pieces in run if words[0] in OUTPUTS]
            if any(pieces and "sweeps/" in words[1] for words, pieces in run):
                found.append((page.name, run))
    return found


def pieces_of(text: str) -> list[str]:
    """The pieces between what is left out; cells of a table in one line each, whatever their widths."""
    lines = [line for part in re.split(r"\.\.\.", text) for line in part.splitlines()]
    return [" ".join(line.split()) for line in lines if line.strip()]


@pytest.mark.parametrize(("page", "run"), printed(), ids=lambda value: value if type(value) is str else "")
def test_what_is_shown_is_what_it_prints(
    page: str,
    run: list[tuple[list[str], list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    # `lora_lab.sweep.plan` is the function of that name, too.
    monkeypatch.setattr(importlib.import_module("lora_lab.sweep.plan"), "device_type", lambda asked: "cpu")
    for words, pieces in run:
        assert main(words) == 0
        out = " ".join(capsys.readouterr().out.split())
        for piece in pieces:
            assert piece in out, f"{page}: lora-lab {' '.join(words)} does not print {piece!r}"

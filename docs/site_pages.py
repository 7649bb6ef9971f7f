"""What the site holds beside docs/: README and its like, every command's help, links to other files as words.

A hook of mkdocs (see mkdocs.yml); links in the Markdown files stay as they work in a checkout.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lora_lab.cli import COMMANDS, parser_of
from lora_lab.cli.command import Command

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "README.ja.md": "README.ja.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "results.md",
}
"""Files outside docs/, and what they are called in the site."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def commands() -> str:
    """What `lora-lab COMMAND --help` prints, command by command, 100 characters wide."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Commands\n\nWhat `lora-lab COMMAND --help` prints, command by command."]
    parts += [
        f"## {name}\n\n```text\n{parser_of(command, f'lora-lab {name}').format_help()}```"
        for name, command in _every()
    ]
    return "\n\n".join(parts) + "\n"


def _every() -> Iterator[tuple[str, Command]]:
    for command in COMMANDS:
        if command.verbs:
            yield from ((f"{command.name} {verb.name}", verb) for verb in command.verbs)
        else:
            yield command.name, command


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at pages of the site; a link to another file of the repository becomes its label."""
    places = {name: source for source, name in PAGES.items()}
    here = page.file.src_uri
    return LINK.sub(lambda found: _link(found, places.get(here, f"docs/{here}"), here), markdown)


def _link(found: re.Match[str], source: str, here: str) -> str:
    mark, label, target, anchor = found[1], found[2], found[3], found[4] or ""
    if "://" in target:
        return found[0]
    # From the repository's root, whichever file the link stands in.
    path = normpath(PurePosixPath(source).parent / target)
    if path in PAGES:
        name = PAGES[path]
    elif path.startswith("docs/") and (ROOT / path).is_file():
        name = path.removeprefix("docs/")
    else:
        return f"`{path}`" if label.strip("`") == path else f"{label} (`{path}`)"
    return f"{mark}[{label}]({relpath(name, str(PurePosixPath(here).parent))}{anchor})"

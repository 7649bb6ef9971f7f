"""The documentation builds as a site, without a broken link, and needs no network to be read."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from lora_lab.cli import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        # The hook sets it, so that help is as wide in every terminal.
        patch.setenv("COLUMNS", "100")
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(place), strict=True))
    return place


def test_every_page_is_in_it(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} >= pages | {
        "index",
        "commands",
        "results",
        "README.ja",
    }
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in sorted(pages) if f" {name}.md" not in menu] == []


def test_every_command_is_explained(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    for command in COMMANDS:
        for name in [f"{command.name} {verb.name}" for verb in command.verbs] or [command.name]:
            assert f">{name}</h2>" in text and f"usage: lora-lab {name} " in text


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="([^"]+)"', page.read_text(encoding="utf-8")
        )
        assert [address for address in loaded if address.startswith(("http", "//"))] == [], page.name


def test_links_to_files_of_the_repository_are_words(site: Path) -> None:
    text = (site / "engines.html").read_text(encoding="utf-8")
    assert "../conf" not in text and "<code>conf/engine</code>" in text
    assert 'href="results.html"' in (site / "lora_files.html").read_text(encoding="utf-8")

"""Whatever sweeps and runs are called, every link of the gallery's views leads to a page or an image."""

import html
import re
import shutil
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from httpx2 import Response
from markupsafe import escape
from starlette.testclient import TestClient

from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder
from lora_lab.sweep.run_names import run_problem
from tests.review.conftest import ADDRESS

ACCEPTED = ["my sweep 1", "a+b", "みこ", "Caf\u00e9", "x=1,y@2", "v1.5-a_b"]
"""Names that may be given."""
FOUND = ["#1", "what?", "100%41", "a&b", "it's", "<b>", "a;b", "100%", "%2f"]
"""Names that may not be given any more, and that earlier versions or a file manager gave."""
PAGES = ["look", "look/curves", "look/timings", "look/settings", "score", "compare"]
MOST = 60
"""Links of a page that are followed."""


def test_the_accepted_names_are() -> None:
    assert [run_problem(name) for name in ACCEPTED] == [None] * len(ACCEPTED)
    assert all(run_problem(name) for name in FOUND)


def links(address: str, text: str) -> list[str]:
    """The addresses within the gallery that a page refers to."""
    found = [urljoin(address, html.unescape(one)) for one in re.findall(r'(?:href|src)="([^"#][^"]*)"', text)]
    return list(dict.fromkeys(one for one in found if not urlsplit(one).netloc and "/static/" not in one))


def ask(client: TestClient, address: str) -> Response:
    """What a browser would get: the client decodes a path once more than a server does."""
    path, sign, query = address.partition("?")
    return client.get(path.replace("%25", "%2525") + sign + query)


@pytest.mark.parametrize("name", [*ACCEPTED, *FOUND])
def test_every_view_opens(finished_sweep: SweepFolder, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "results" / name
    shutil.copytree(finished_sweep.path, folder)
    run = next(iter(SweepFolder(folder).runs()))
    run.path.rename(folder / name)
    with TestClient(create_app(folder.parent), ADDRESS) as client:
        home = next(one for one in links("/", client.get("/").text) if one.startswith("/sweep/"))
        asked = dict.fromkeys(links(home, ask(client, home).text))
        asked |= dict.fromkeys(f"{home}/{page}" for page in PAGES)
        for page in PAGES[:4]:
            asked |= dict.fromkeys(links(f"{home}/{page}", ask(client, f"{home}/{page}").text)[:MOST])
        answers = {address: ask(client, address) for address in asked}
        assert {a: one.status_code for a, one in answers.items() if one.status_code != 200} == {}
        assert any("/thumb/" in one or "/image/" in one for one in asked)
        assert any(str(escape(name)) in one.text for a, one in answers.items() if a.startswith(home))

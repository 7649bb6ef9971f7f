"""A link and a QR code for others, and where they lead."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from lora_lab.review.web.app import create_app
from lora_lab.review.web.gallery import Options
from lora_lab.review.web.inviting import qr_code
from lora_lab.store import SweepFolder

TOKEN = "a-token-of-letters"
REACHABLE = "http://192.168.1.7:7868/"


def link_of(text: str) -> str:
    return unescape(re.findall(r'<p><a href="([^"]+)"', text)[0])


def test_the_link_leads_to_scoring_under_that_name(sweep: SweepFolder) -> None:
    options = Options(host="0.0.0.0", token=TOKEN, reachable=REACHABLE)
    app = create_app(sweep.path.parent, options)
    with TestClient(app, "http://127.0.0.1:7868") as owner:
        owner.get(f"/?token={TOKEN}")
        page = owner.get("/sweep/demo/invite?rater=Bärbel+%26+Co")
        assert "<svg" in page.text and "style=" not in page.text
    link = link_of(page.text)
    assert link.startswith(REACHABLE + "sweep/demo/score?") and parse_qs(urlsplit(link).query)["token"] == [
        TOKEN
    ]
    with TestClient(app, REACHABLE) as guest:
        answer = guest.get(link)
        assert answer.status_code == 200 and 'value="Bärbel &amp; Co"' in answer.text
        assert TOKEN not in str(answer.url), "the token does not stay in the address"


def test_another_address_than_this_machines_own_is_kept(sweep: SweepFolder) -> None:
    app = create_app(sweep.path.parent, Options(host="0.0.0.0", token=TOKEN, reachable=REACHABLE))
    with TestClient(app, "http://10.0.0.5:7868") as owner:
        owner.get(f"/?token={TOKEN}")
        assert link_of(owner.get("/sweep/demo/invite").text).startswith(
            "http://10.0.0.5:7868/sweep/demo/score"
        )


def test_where_nobody_else_can_connect_it_says_so(client: TestClient) -> None:
    page = client.get("/sweep/demo/invite")
    assert "--host 0.0.0.0" in page.text and "token" not in link_of(page.text)
    assert client.get("/sweep/none/invite").status_code == 404


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "///evil.example"])
def test_a_token_never_leads_to_another_machine(sweep: SweepFolder, path: str) -> None:
    app = create_app(sweep.path.parent, Options(host="0.0.0.0", token=TOKEN))
    with TestClient(app, "http://127.0.0.1:7868", follow_redirects=False) as client:
        answer = client.get(f"http://127.0.0.1:7868{path}?token={TOKEN}")
    assert answer.status_code == 303
    assert re.match(r"/[^/\\]", answer.headers["location"]), answer.headers["location"]


def test_codes_of_different_links_differ() -> None:
    assert qr_code("http://a/") != qr_code("http://b/")
    assert str(qr_code("http://a/")).startswith("<svg viewBox=")

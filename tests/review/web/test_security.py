"""What the gallery refuses, and the headers of what it answers."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.review.browse.runs import SweepCache
from lora_lab.review.web.app import create_app
from lora_lab.review.web.gallery import HERE, Options
from lora_lab.review.web.security import is_loopback
from lora_lab.store import SweepFolder, read_record, read_scores, write_record
from tests.review.asking import FORM, begin
from tests.review.conftest import ADDRESS

TOKEN = "a-long-token"


@pytest.mark.parametrize("host", ["127.0.0.1:7868", "localhost:9000", "[::1]:7868", "127.0.0.1", "LOCALHOST"])
def test_this_machine_may_be_named_in_its_ways(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7868", "127.0.0.1.evil.example", "192.168.0.9", "", "[::", "a@b"]
)
def test_another_name_is_refused(client: TestClient, host: str) -> None:
    for address in ("/", "/static/base.css", "/sweep/demo"):
        assert client.get(address, headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://127.0.0.1:7868"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": f"{ADDRESS}.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_is_only_taken_from_our_own_pages(
    client: TestClient, sweep: SweepFolder, headers: dict[str, str]
) -> None:
    session = begin(client)
    before = sweep.scores_file.read_text()
    for address in (f"/session/{session}/close", f"/score/{session}/judge", "/sweep/demo/score"):
        assert client.post(address, data=FORM, headers=headers).status_code == 403
    assert sweep.scores_file.read_text() == before


def test_a_change_without_an_origin_is_refused(sweep: SweepFolder) -> None:
    client = TestClient(create_app(sweep.path.parent), ADDRESS)
    assert client.post("/sweep/demo/score", data=FORM).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "/").status_code == 405


def test_reading_changes_nothing(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    before = sweep.scores_file.read_bytes()
    for address in (f"/session/{session}/close", f"/score/{session}/judge", f"/score/{session}/undo"):
        assert client.get(address).status_code == 405
    assert sweep.scores_file.read_bytes() == before


def test_large_requests_are_refused(client: TestClient) -> None:
    session = begin(client)
    body = b'{"note": "' + b"x" * 70_000 + b'"}'
    kind = {"content-type": "application/json"}
    assert client.post(f"/score/{session}/judge", content=body, headers=kind).status_code == 413
    # A body of unknown length is not waited for.
    assert client.post(f"/score/{session}/judge", content=iter([body]), headers=kind).status_code == 413


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"1", b"null"])
def test_what_cannot_be_read_is_refused_in_words(client: TestClient, body: bytes) -> None:
    session = begin(client)
    kind = {"content-type": "application/json"}
    answer = client.post(f"/score/{session}/judge", content=body, headers=kind)
    assert answer.status_code == 400
    assert answer.json() == {"error": "what was sent cannot be read"}


PATHS = (
    "/sweep/%2e%2e", "/sweep/..%2f..%2fetc", "/sweep/demo%2f..", "/sweep/.hidden",
    "/sweep/demo/image/..%2f..%2fscores.jsonl", "/sweep/demo/image/run.json", "/sweep/%00",
    "/sweep/demo/image/%2fetc%2fpasswd", "/static/..%2fapp.py", "/static/%2e%2e/app.py",
    "/static/../app.py", "/static//etc/passwd", "/session/../../x/image/0/0", "/sweep/demo%5c..%5c..",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_outside(client: TestClient, sweep: SweepFolder, path: str) -> None:
    (sweep.path.parent / ".hidden").mkdir()
    (sweep.path.parent.parent / "outside.txt").write_text("outside")
    answer = client.get(path)
    assert answer.status_code == 404
    assert "create_app" not in answer.text and "root:" not in answer.text


def test_a_record_that_names_a_file_elsewhere_shows_nothing(client: TestClient, sweep: SweepFolder) -> None:
    run = sweep.run("base-run")
    (sweep.path.parent / "outside.png").write_bytes((run.path / "previews/000010/p0-s7-w1.png").read_bytes())
    record = read_record(run)
    for number, name in enumerate(("../../outside.png", str(sweep.path.parent / "outside.png"))):
        record.checkpoints[number].previews[0].file = name
    write_record(run, record)
    assert not any("outside" in str(file) for file in SweepCache().read(sweep).images.values())
    session = begin(client, repeats="0")
    order = read_scores(sweep).sessions[session].order
    for position, (name, *_) in enumerate(order):
        codes = [client.get(f"/session/{session}/image/{position}/{n}").status_code for n in (0, 1)]
        assert codes == [404 if name == "base-run" else 200, 200]


def test_every_answer_forbids_what_is_not_ours(client: TestClient) -> None:
    session = begin(client)
    addresses = (
        "/", "/nothing", "/sweep/demo", f"/score/{session}", f"/session/{session}/image/0/0",
        "/static/base.css",
    )  # fmt: skip
    for address in addresses:
        headers = client.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    for address in ("/", f"/score/{session}", f"/session/{session}/image/0/0"):
        assert client.get(address).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("file", sorted((HERE / "templates").glob("*.html")), ids=lambda file: file.name)
def test_no_template_holds_script_or_style(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text, re.I)
    assert not re.search(r"(src|href|action)=\"(?!/|\{\{|\?|#)", text), "only our own addresses"


def test_what_people_write_is_only_text(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, rater="<img src=x onerror=alert(1)>", repeats="0")
    body = {"position": 0, "value": 5, "note": "<script>alert(1)</script>", "tags": ['"><b>'], "seconds": 1}
    client.post(f"/score/{session}/judge", json=body)
    page = client.get(f"/score/{session}").text
    client.post(f"/session/{session}/close", data={})
    for text in (page, client.get(f"/sweep/demo/result/{session}").text, client.get("/sweep/demo").text):
        assert "<img src=x" not in text and "<script>alert" not in text and '"><b>' not in text


@pytest.fixture
def open_client(sweep: SweepFolder) -> TestClient:
    app = create_app(sweep.path.parent, Options(host="0.0.0.0", token=TOKEN))
    return TestClient(app, "http://192.168.0.9:7868", follow_redirects=False)


def test_another_machine_has_to_bring_the_token(open_client: TestClient) -> None:
    for address in ("/", "/sweep/demo", "/static/base.css", "/?token=wrong", "/?token="):
        answer = open_client.get(address)
        assert answer.status_code == 401
        assert "demo" not in answer.text
    answer = open_client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert open_client.get("/sweep/demo").status_code == 200


def test_a_token_does_not_replace_the_other_checks(open_client: TestClient) -> None:
    open_client.get(f"/?token={TOKEN}")
    assert open_client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert open_client.post("/sweep/demo/score", data=FORM).status_code == 403
    answer = open_client.post(f"/sweep/demo/score?token={TOKEN}", data=FORM, headers={"cookie": ""})
    assert answer.status_code == 403


def test_a_change_cannot_bring_the_token_in_its_address(open_client: TestClient, sweep: SweepFolder) -> None:
    headers = {"origin": "http://192.168.0.9:7868"}
    answer = open_client.post(f"/sweep/demo/score?token={TOKEN}", data=FORM, headers=headers)
    assert answer.status_code == 401
    assert not sweep.scores_file.exists()


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.0.1", False), ("my-pc", False), ("", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host: str, own: bool) -> None:
    assert is_loopback(host) == own


def test_a_proxy_is_let_in_by_name_and_the_way_out_is_said(sweep: SweepFolder) -> None:
    host, origin = {"host": "x.proxy.example"}, {"origin": "https://x.proxy.example"}
    closed = TestClient(create_app(sweep.path.parent), ADDRESS, follow_redirects=False)
    refused = closed.get("/", headers=host)
    assert refused.status_code == 421 and "--allow-host NAME" in refused.text
    refused = closed.post("/sweep/demo/score", data=FORM, headers=origin)
    assert refused.status_code == 403 and "--allow-host NAME" in refused.text
    app = create_app(sweep.path.parent, Options(allowed=("X.Proxy.example",)))
    client = TestClient(app, ADDRESS, follow_redirects=False)
    assert client.get("/sweep/demo", headers=host).status_code == 200
    for headers in (origin, origin | host):
        assert client.post("/sweep/demo/score", data=FORM, headers=headers).status_code in (303, 409)
    for other in (
        "https://evil.example",
        "https://x.proxy.example.evil",
        "null",
        "ftp://x.proxy.example",
        "https://[",
    ):
        assert client.post("/sweep/demo/score", data=FORM, headers={"origin": other}).status_code == 403

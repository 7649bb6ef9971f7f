"""A sweep is made, planned, queued and started from the browser, by whoever sits at the machine."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from lora_lab.review.launch import pages
from lora_lab.review.launch.commands import Answer, Starter
from lora_lab.review.web.app import create_app
from lora_lab.review.web.gallery import Options
from lora_lab.store import SweepFolder
from lora_lab.store.queue import Queue
from tests.review.asking import begin
from tests.review.conftest import ADDRESS

HERE = ("127.0.0.1", 50000)
QUICK = "grid: {train.seed: [1, 2]}\nbase: [base_model=demo, dataset=demo, preview=off]\n"


@pytest.fixture
def here(sweep: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A browser on the machine itself, which nobody has started anything from yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Starter, "start", lambda self: started.append(str(self.queue.results)))
    started.clear()
    with TestClient(create_app(Path("results")), ADDRESS, client=HERE, follow_redirects=False) as made:
        made.headers["origin"] = ADDRESS
        yield made


started: list[str] = []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that pages give; each is done, and prints nothing."""
    given: list[list[str]] = []

    def ask(words: Sequence[str]) -> Answer:
        given.append(list(words))
        return Answer(0, json.dumps({"file": "first one.yaml"}), "")

    monkeypatch.setattr(pages, "ask", ask)
    return given


@pytest.mark.slow
def test_from_a_sweep_file_to_the_queue(here: TestClient, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(QUICK)
    plan = here.get("/plan", params={"sweep": "two.yaml", "settings": "optimizer=lion\n\n train.sed=3 "})
    assert plan.status_code == 400 and "did you mean" in plan.text and "train.sed=3" in plan.text
    plan = here.get("/plan", params={"sweep": "two.yaml", "settings": "optimizer=lion"})
    assert plan.status_code == 200 and "seed=1" in plan.text and "lion" in plan.text
    answer = here.post("/queue/add", data={"sweep": "two.yaml", "settings": "optimizer=lion"})
    assert (answer.status_code, answer.headers["location"], started) == (303, "/queue", [])
    (entry,) = Queue(tmp_path / "results").entries()
    assert (entry.name, entry.words, entry.home) == ("two", ["optimizer=lion"], str(tmp_path))
    again = here.post("/queue/add", data={"sweep": "two.yaml", "settings": "optimizer=lion"})
    assert again.status_code == 400 and "entry 1 of the queue already" in again.text
    page = here.get("/queue").text
    assert "optimizer=lion" in page and 'value="start">Start' in page and "refresh" not in page
    here.post("/queue", data={"act": "pause", "entry": "1"})
    assert Queue(tmp_path / "results").entries()[0].paused
    assert 'value="start">Start' not in here.get("/queue").text, "all that waits is paused"
    here.post("/queue", data={"act": "remove", "entry": "1"})
    assert Queue(tmp_path / "results").entries() == []


def test_a_first_sweep_file_is_made_and_leads_to_its_plan(here: TestClient, asked: list[list[str]]) -> None:
    values = {"name": "first", "base": "demo", "images": "my  photos", "trigger": "mikocat", "card": ""}
    answer = here.post("/new", data=values)
    assert asked == [
        ["new", "--base=demo", "--images=my  photos", "--trigger=mikocat", "--json", "--", "first"]
    ]
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"sweep": ["first one.yaml"]}


def test_what_became_of_a_preset_is_said_with_its_plan(here: TestClient, tmp_path: Path) -> None:
    preset = tmp_path / "my 'old' one.json"
    preset.write_text('{"LoRA_type": "Standard", "epoch": 3, "network_dim": -4, "network_alpha": "<b>"}')
    answer = here.get("/plan", params={"sweep": "", "preset": str(preset)}).text
    assert "4 keys" in answer and "2 contradictory" in answer
    assert "not taken: network_dim: network.network_dim must be at least 1; got -4" in answer
    assert "<b>" not in answer.split("<main")[1].split("not taken")[1]
    gone = here.get("/plan", params={"sweep": "", "preset": str(tmp_path / "gone.json")}).text
    assert "gone.json: cannot be read" in gone


def test_a_preset_is_named_to_the_page_of_the_plan(here: TestClient, asked: list[list[str]]) -> None:
    answer = here.post("/new", data={"name": "first", "base": "demo", "preset": "a b.json"})
    led = parse_qs(urlsplit(answer.headers["location"]).query)
    assert led == {"sweep": ["first one.yaml"], "preset": ["a b.json"]}


def test_the_queue_is_not_started_while_what_was_interrupted_saves(
    here: TestClient, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Starter, "ends", lambda self: True)
    for answer in (
        here.post("/queue", data={"act": "start"}),
        here.post("/queue/add", data={"sweep": "demo", "start": "1"}),
    ):
        assert answer.status_code == 400 and "still saves: start again once it has ended" in answer.text
    assert started == [] and asked[0][:3] == ["queue", "add", "demo"]
    page = here.get("/queue").text
    assert 'value="interrupt"' not in page and "What was interrupted saves" in page


def test_no_name_and_no_path_holds_a_nul_sign(here: TestClient, asked: list[list[str]]) -> None:
    for answer in (
        here.post("/new", data={"name": "a\0b"}),
        here.get("/plan", params={"sweep": "a\0.yaml"}),
        here.post("/queue/add", data={"sweep": "demo", "settings": "train.seed=1\0"}),
    ):
        assert answer.status_code == 400 and "NUL" in answer.text
    assert asked == []


def test_what_a_command_refuses_is_said_and_what_was_typed_stays(
    here: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ask", lambda words: Answer(2, "", "--images <x>: there is no such folder"))
    answer = here.post("/new", data={"name": "a", "base": "demo", "images": "<x>", "trigger": "t"})
    assert answer.status_code == 400 and "&lt;x&gt;: there is no such folder" in answer.text
    assert 'value="&lt;x&gt;"' in answer.text and 'value="demo"' in answer.text


def test_start_now_queues_and_starts(here: TestClient, asked: list[list[str]], tmp_path: Path) -> None:
    here.post("/queue/add", data={"sweep": "demo", "settings": "", "start": "1", "retry": "1"})
    results = str(tmp_path / "results")
    assert asked == [["queue", "add", "demo", "--retry", "--results", results]] and started == ["results"]
    here.post("/queue", data={"act": "start"})
    assert len(started) == 2


def test_results_go_to_the_folder_that_is_shown(
    asked: list[list[str]], tmp_path: Path, sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "else where"
    shutil.copytree(sweep.path, elsewhere / "demo")
    with TestClient(create_app(elsewhere), ADDRESS, client=HERE) as client:
        client.get("/plan", params={"sweep": "demo"})
        client.get("/plan", params={"sweep": "demo", "settings": "results=/mine"})
        client.get("/plan", params={"sweep": str(elsewhere / "demo")})
    assert asked == [
        ["plan", "demo", f"results={elsewhere}"],
        ["plan", "demo", "results=/mine"],
        ["plan", str(elsewhere / "demo")],
    ]


@pytest.mark.parametrize(
    ("sweep_name", "settings"),
    [
        ("--help", ""),
        ("-x", ""),
        ("demo", "--config-dir=/x"),
        ("demo", "-h"),
        ("demo", "word"),
        ("demo", "=1"),
    ],
)
def test_nothing_but_settings_reaches_a_command(
    here: TestClient, asked: list[list[str]], sweep_name: str, settings: str
) -> None:
    query = {"sweep": sweep_name, "settings": settings}
    for answer in (here.get("/plan", params=query), here.post("/queue/add", data=query)):
        assert answer.status_code == 400 and 'role="alert"' in answer.text
    assert asked == []


@pytest.mark.parametrize("setting", ["a.b=1", "+a=b=c", "++a=-1", "~preview", "x='-y'", "a= b"])
def test_every_kind_of_setting_reaches_it(here: TestClient, asked: list[list[str]], setting: str) -> None:
    assert here.get("/plan", params={"sweep": "demo", "settings": setting}).status_code == 200
    assert asked == [["plan", "demo", setting]]


@pytest.mark.parametrize(
    "data", [{"act": "burn"}, {}, {"act": "pause", "entry": "--undo"}, {"act": "move", "entry": "1"}]
)
def test_buttons_that_are_not_there_do_nothing(
    here: TestClient, asked: list[list[str]], data: dict[str, str]
) -> None:
    assert here.post("/queue", data=data).status_code == 400
    assert asked == []


def test_with_nothing_at_work_there_is_nothing_to_interrupt(here: TestClient) -> None:
    answer = here.post("/queue", data={"act": "interrupt"})
    assert answer.status_code == 400 and "nothing of this machine works on the queue" in answer.text


PATHS = ("/new", "/plan", "/queue")


def test_guests_start_nothing(sweep: SweepFolder, asked: list[list[str]]) -> None:
    results = sweep.path.parent
    guest = TestClient(create_app(results), ADDRESS, client=("192.168.1.9", 50000))
    named = TestClient(
        create_app(results, Options(host="0.0.0.0", token="t")), "http://192.168.1.7:7868", client=HERE
    )
    named.get("/?token=t")
    only = TestClient(create_app(results, Options(only="demo")), ADDRESS, client=HERE)
    for client, address in ((guest, ADDRESS), (named, "http://192.168.1.7:7868"), (only, ADDRESS)):
        for path in PATHS:
            assert client.get(path).status_code == 403, path
        for path in ("/new", "/queue", "/queue/add"):
            assert client.post(path, data={"sweep": "demo"}, headers={"origin": address}).status_code == 403
        assert "/queue" not in client.get("/").text and "/plan" not in client.get("/sweep/demo").text
    assert asked == []


def test_a_change_comes_from_our_own_pages_only(here: TestClient, asked: list[list[str]]) -> None:
    answer = here.post("/queue/add", data={"sweep": "demo"}, headers={"origin": "http://evil.example"})
    assert (answer.status_code, asked) == (403, [])


def test_a_blind_session_hides_them(here: TestClient) -> None:
    assert 'href="/new"' in here.get("/").text
    assert "Plan what is left" in here.get("/sweep/demo").text
    begin(here)
    for path in PATHS:
        answer = here.get(path)
        assert answer.status_code == 409 and "in the middle of a blind session" in answer.text
    assert "Plan what is left" not in here.get("/sweep/demo").text


def test_a_damaged_queue_is_said(here: TestClient, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "results")
    queue.file.parent.mkdir()
    queue.file.write_text("{")
    answer = here.get("/queue")
    assert answer.status_code == 400 and "is damaged" in answer.text

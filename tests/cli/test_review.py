"""`lora-lab review`: starting, the address, a taken port, the end."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from lora_lab.__main__ import main
from lora_lab.cli.review import _say, addresses
from tests.review.made_up import make_sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    make_sweep(tmp_path / "results" / "demo", {"base-run": []})
    return tmp_path / "results"


def start(*words: str) -> tuple["subprocess.Popen[str]", str]:
    """Start the command; returns it with its first line."""
    command = [sys.executable, "-m", "lora_lab", "review", "--no-browser", *words]
    # Without torch: what reviews must not need it.
    code = f"import sys; sys.modules['torch'] = None; sys.argv = {command[1:]!r}; sys.argv[0] = 'lora-lab'\n"
    code += f"from lora_lab.__main__ import main; sys.exit(main({command[3:]!r}))"
    served = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert served.stdout is not None
    return served, served.stdout.readline()


def stop(served: "subprocess.Popen[str]") -> tuple[int, str]:
    os.kill(served.pid, signal.SIGINT)
    _, errors = served.communicate(timeout=20)
    return served.returncode, errors


@pytest.mark.slow
def test_one_line_says_where_it_is_and_ctrl_c_ends_it(results: Path) -> None:
    served, line = start("--results", str(results), "--port", "0")
    try:
        assert line.startswith("the gallery is at http://127.0.0.1:")
        page = httpx2.get(line.split()[4])
        assert "demo" in page.text
        assert "server" not in page.headers
    finally:
        ended = stop(served)
    assert ended == (0, "")


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        (
            ["127.0.0.1", "192.168.1.7", "203.0.113.9"],
            ["http://192.168.1.7:80/?token=t", "http://203.0.113.9:80/?token=t"],
        ),
        (["127.0.0.1", "169.254.3.4", "fd00::2%eth0"], ["http://[fd00::2]:80/?token=t"]),
    ],
)
def test_all_addresses_are_ones_that_a_phone_can_open(
    cards: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        SimpleNamespace(family=socket.AF_INET6 if ":" in card else socket.AF_INET, address=card)
        for card in cards
    ]
    monkeypatch.setattr("lora_lab.cli.review.psutil.net_if_addrs", lambda: {"eth0": found})
    assert addresses("0.0.0.0", 80, "t") == expected
    assert addresses("::1", 80, "") == ["http://[::1]:80/"]


def test_one_sweep_alone_can_be_shown(results: Path) -> None:
    make_sweep(results / "other", {"base-run": []})
    served, line = start(str(results / "demo"), "--port", "0")
    try:
        client = httpx2.Client(base_url=line.split()[4].rstrip("/"))
        assert client.get("/").headers["location"] == "/sweep/demo"
        assert client.get("/sweep/other").status_code == 404
    finally:
        stop(served)


def test_another_address_asks_for_a_token(results: Path) -> None:
    served, line = start("--results", str(results), "--port", "0", "--host", "0.0.0.0")
    try:
        address, token = line.split()[4].split("?token=")
        here = f"http://127.0.0.1:{address.rstrip('/').rsplit(':', 1)[1]}"
        assert len(token) >= 32
        assert httpx2.get(here).status_code == 401
        assert httpx2.get(f"{here}/?token={token}").status_code == 303
    finally:
        stop(served)


def test_a_taken_port_is_told(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["review", "--no-browser", "--results", str(results), "--port", str(port)]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "there are no results of nothing"),
        (["--results", "nowhere"], "there is no folder nowhere"),
        (["--port", "70000"], "--port must lie from 0 to 65535, got 70000"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid is no address of this machine"),
    ],
)
def test_what_is_wrong_is_one_message(
    results: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    where = [] if "--results" in words else ["--results", str(results)]
    assert main(["review", "--no-browser", *where, *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


@pytest.mark.parametrize(("host", "coded"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_terminal_gets_a_code_for_a_phone(
    host: str, coded: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _say(["http://192.168.1.7:80/?token=t", "http://203.0.113.9:80/?token=t"], host, True)
    out = capsys.readouterr().out
    assert "or http://203.0.113.9:80/?token=t" in out
    assert ("\u2580" in out or "\u2584" in out) is coded

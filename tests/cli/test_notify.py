"""Telling somebody who is not watching."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lora_lab.cli.notify import Notices
from lora_lab.engines.pack import Event
from lora_lab.store import SweepFolder
from lora_lab.sweep.launch import Outcome

ENDS = [
    Event("step", ("a",), "a", {"step": 1}),
    Event("end", ("a",), "a", {"status": "done", "reason": ""}),
    Event("end", ("b",), "b", {"status": "diverged", "reason": "loss is nan at step 7"}),
]


def tell(target: str, tmp_path: Path) -> list[Event]:
    seen: list[Event] = []
    notices = Notices("faces", [target])
    report = notices.beside(seen.append)
    for event in ENDS:
        report(event)
    notices.end(Outcome(SweepFolder(tmp_path), [], {"a": "done", "b": "diverged"}))
    return seen


def test_a_command_is_told_of_a_divergence_and_of_the_end(tmp_path: Path) -> None:
    script = tmp_path / "tell.py"
    script.write_text(
        "import os, sys, uuid, pathlib\n"
        "about = [os.environ['LORA_LAB_' + key] for key in ('SWEEP', 'RUN', 'STATUS')]\n"
        "text = sys.stdin.read() + '|'.join(about)\n"
        f"pathlib.Path({str(tmp_path)!r}, uuid.uuid4().hex + '.said').write_text(text)\n"
    )
    assert tell(f'"{sys.executable}" "{script}"', tmp_path) == ENDS, "what is shown stays the same"
    assert sorted(file.read_text() for file in tmp_path.glob("*.said")) == [
        "faces ended: 1 diverged, 1 done\nfaces||ended",
        "faces: b diverged: loss is nan at step 7\nfaces|b|diverged",
    ]


def test_a_webhook_is_told(tmp_path: Path) -> None:
    got: list[dict[str, Any]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    tell(f"http://127.0.0.1:{server.server_port}/hook", tmp_path)
    server.shutdown()
    server.server_close()
    assert {item["status"] for item in got} == {"diverged", "ended"}
    assert all(item["text"] == item["content"] and item["sweep"] == "faces" for item in got)


@pytest.mark.parametrize("target", ["exit 3", "http://127.0.0.1:9/nobody"])
def test_a_target_that_fails_ends_nothing(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(target, tmp_path) == ENDS
    assert f"--notify {target}: " in capsys.readouterr().err


def test_without_a_target_nothing_is_done(tmp_path: Path) -> None:
    seen: list[Event] = []
    report = seen.append
    assert Notices("faces", []).beside(report) is report

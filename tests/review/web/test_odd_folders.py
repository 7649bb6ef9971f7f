"""What lies in results beside plain runs: folders that may not be read, links, damaged files, old plans."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder, read_record, write_record
from tests.review.asking import begin
from tests.review.made_up import make_sweep

ADDRESS = "http://127.0.0.1:7868"
LOOK = "/sweep/demo/look"


def images(client: TestClient) -> list[str]:
    """The addresses of the small images on the first page of Look."""
    import re

    return re.findall(r'"(/sweep/demo/thumb/[^"]+)"', client.get(LOOK).text)


def test_a_run_that_is_a_link_is_looked_at_as_it_is_judged(
    client: TestClient, sweep: SweepFolder, tmp_path: Path
) -> None:
    before = len(images(client))
    elsewhere = tmp_path / "disk" / "lion"
    elsewhere.parent.mkdir()
    shutil.move(sweep.run("lion-fast").path, elsewhere)
    sweep.run("lion-fast").path.symlink_to(elsewhere)
    found = images(client)
    assert len(found) == before
    assert {client.get(address).status_code for address in found} == {200}
    session = begin(client, repeats="0")
    codes = {client.get(f"/session/{session}/image/{place}/0").status_code for place in range(8)}
    assert codes == {200}


def test_an_image_that_is_a_link_out_of_its_run_is_never_shown(
    client: TestClient, sweep: SweepFolder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    run = sweep.run("lion-fast")
    for item in read_record(run).checkpoints:
        for shot in item.previews:
            shutil.copy(run.path / shot.file, secret)
            (run.path / shot.file).unlink()
            (run.path / shot.file).symlink_to(secret)
    gone = {client.get(address).status_code for address in images(client)}
    assert gone == {200, 404}
    session = begin(client, repeats="0")
    codes = [client.get(f"/session/{session}/image/{place}/0").status_code for place in range(8)]
    assert codes.count(404) in (0, 2), "the gallery shows it nowhere"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"status": 5}', '{"checkpoints": [{"tag": 1}]}', '{"seconds": []}']
)
def test_a_record_of_wrong_types_is_a_row(client: TestClient, sweep: SweepFolder, text: str) -> None:
    sweep.run("lion-fast").run_file.write_text(text)
    for page in ("", "/view?run=lion-fast", "/curves", "/timings", "/settings", "/compare"):
        assert client.get(LOOK + page).status_code == 200, page
    assert "is damaged" in client.get(LOOK).text
    for page in ("/", "/sweep/demo", "/sweep/demo/score", "/sweep/demo/compare"):
        assert client.get(page).status_code == 200, page


ODD_STEPS = (
    '{"step": "x"}',
    '{"step": 1, "loss": "low"}',
    "[]",
    '{"step": 2, "seconds": "long", "learning_rates": 5, "samples": []}',
)


@pytest.mark.parametrize("line", ODD_STEPS)
def test_an_odd_step_log_is_drawn_as_far_as_it_goes(
    client: TestClient, sweep: SweepFolder, line: str
) -> None:
    sweep.run("lion-fast").steps_file.write_text(line + '\n{"step": 3, "loss": 0.5, "samples": 9}\n')
    assert client.get(f"{LOOK}/curves?run=lion-fast").status_code == 200


def test_the_loss_of_a_row_is_the_checkpoints_mean(client: TestClient, sweep: SweepFolder) -> None:
    run = sweep.run("lion-fast")
    record = read_record(run)
    record.loss, record.checkpoints[-1].loss = 0.008, 0.046
    write_record(run, record)
    html = client.get(LOOK).text
    assert "loss 0.046" in html and "0.008" not in html


def test_a_renamed_run_keeps_its_session(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, repeats="0")
    sweep.run("lion-fast").path.rename(sweep.run("another-name").path)
    codes = {client.get(f"/session/{session}/image/{place}/0").status_code for place in range(8)}
    assert codes == {200}


def test_a_large_plan_is_not_read_for_runs_that_know_their_place(
    sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, run in enumerate(sweep.runs()):
        record = read_record(run)
        record.place = number
        write_record(run, record)
    sweep.plan_file.write_text(json.dumps({"rows": []}))
    opened: list[Path] = []
    original = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, *a, **k: opened.append(self) or original(self, *a, **k)
    )
    with TestClient(create_app(sweep.path.parent), ADDRESS) as client:
        assert client.get(LOOK).status_code == client.get("/").status_code == 200
    assert sweep.plan_file not in opened and sweep.sweep_file not in opened


@pytest.fixture
def mounted() -> Iterator[SweepFolder]:
    """A sweep on a disk of its own, read by a user to whom permissions mean something."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield make_sweep(folder / "results" / "demo")
        finally:
            for path in folder.rglob("*"):
                path.chmod(stat.S_IRWXU)
            if root:
                os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_folders_that_may_not_be_read_are_no_end_of_the_gallery(mounted: SweepFolder) -> None:
    results = mounted.path.parent
    for folder in (results / "lost+found", mounted.path / "lost+found", mounted.run("lion-fast").path):
        folder.mkdir(exist_ok=True)
        folder.chmod(0)
    with TestClient(create_app(results), ADDRESS) as client:
        home = client.get("/")
        assert home.status_code == 200 and "demo" in home.text and "lost+found" not in home.text
        page = client.get(LOOK)
        assert page.status_code == 200 and "cannot be read: Permission denied" in page.text
        assert "lost+found" not in page.text
        assert client.get("/sweep/lost+found").status_code == 404

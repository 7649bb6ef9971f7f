"""Without its plan, under other names, on other disks, somewhere else: a sweep is the same."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.plots import plots, subject, to_csv
from lora_lab.report import write_report
from lora_lab.store import SweepFolder, read_record, write_record
from lora_lab.store import table as results
from tests import scored

NAMES = {"alpha-16": "sixteen0"}
"""As long as before, since the columns of a terminal are as wide as what is in them."""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """A sweep whose runs carry what readers need."""
    made = scored.sweep(tmp_path / "results", images=True)
    for number, name in enumerate(scored.RUNS):
        record = read_record(made.run(name))
        record.place, record.question = number, "Does alpha matter?"
        record.composed = ["base_model=sd15", "optimizer=adamw", *scored.RUNS[name]]
        write_record(made.run(name), record)
    return made


def told(folder: SweepFolder, place: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything that is said of a sweep, as text."""
    about = subject(folder)
    found = {f"plot {plot.name}": to_csv(plot.data) for plot in plots(about)}
    found["table"] = results.to_csv(results.rows(folder))
    capsys.readouterr()
    assert main(["verdict", str(folder.path)]) == 0
    found["verdict"] = capsys.readouterr().out
    assert main(["verdict", str(folder.path), "--json"]) == 0
    found["verdict in JSON"] = capsys.readouterr().out
    found["report"] = write_report(about, place).read_text()
    images = sorted((place / "images").iterdir())
    found["images"] = repr([image.read_bytes() for image in images])
    return found


def known(text: str, names: dict[str, str], folder: Path) -> str:
    """The text with runs and folders under the names that they had; spaces do not count."""
    text = text.replace(str(folder), "FOLDER").replace(folder.name, "SWEEP")
    for old, new in names.items():
        text = text.replace(new, old)
    return re.sub(r"\s+", " ", text)


def test_plan_names_links_and_places_do_not_matter(
    sweep: SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = told(sweep, tmp_path / "report-1", capsys)
    before = {key: known(text, {}, sweep.path) for key, text in before.items()}
    sweep.plan_file.unlink()
    sweep.sweep_file.unlink()
    for old, new in NAMES.items():
        sweep.run(old).path.rename(sweep.run(new).path)
    elsewhere = tmp_path / "another-disk" / "lion-was-here"
    elsewhere.parent.mkdir()
    shutil.move(sweep.run("lion").path, elsewhere)
    sweep.run("lion").path.symlink_to(elsewhere)
    moved = SweepFolder(Path(shutil.move(sweep.path, tmp_path / "gone")))
    after = told(moved, tmp_path / "report-2", capsys)
    for key, text in after.items():
        assert known(text, NAMES, moved.path) == before[key], key


def test_plans_of_no_use_are_not_missed(sweep: SweepFolder) -> None:
    before = results.to_csv(results.rows(sweep))
    for text in ("", "{", json.dumps({"rows": [{"name": "lion"}]}), json.dumps({"rows": 5})):
        sweep.plan_file.write_text(text)
        assert results.to_csv(results.rows(sweep)) == before

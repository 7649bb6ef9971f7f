"""Settings that differ, as a table."""

from pathlib import Path

from lora_lab.review.browse.differences import differences
from lora_lab.review.browse.runs import SweepCache
from lora_lab.store import read_record, write_record
from tests.review.troubled import make_troubled


def test_only_what_differs_is_listed_with_each_runs_value(tmp_path: Path) -> None:
    runs = SweepCache().read(make_troubled(tmp_path / "bad")).runs
    table = {line.key: line.values for line in differences([runs["good"], runs["twin"], runs["stopped"]])}
    assert table == {"optimizer.name": ("adamw", "lion", "adamw"), "train.seed": ("23", "9", "2")}
    assert differences([runs["good"], runs["good"]]) == []


def test_a_run_without_a_readable_config_is_unknown(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "bad")
    folder.run("good").config_file.write_text("nothing: here\n")
    runs = SweepCache().read(folder).runs
    table = {line.key: line.values for line in differences([runs["good"], runs["twin"], runs["black"]])}
    assert table == {"train.seed": ("?", "9", "23")}


def test_a_lora_trained_elsewhere_says_so_and_not_the_base_settings(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "bad")
    run = next(run for run in folder.runs() if run.run_file.is_file())
    record = read_record(run)
    record.external = {"source": "/x/a.safetensors", "trainer": "sd-scripts", "settings": {}}
    write_record(run, record)
    found = SweepCache().read(folder).runs[run.name].changes
    assert [(label, value) for _, label, value in found] == [("trained elsewhere", "sd-scripts")]

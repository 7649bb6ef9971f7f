"""Noise by source: what images and the eye add to training, and what more of each would buy."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab import config
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, write_record
from lora_lab.verdict.analysis import analyse
from lora_lab.verdict.evidence import RaterEvidence
from lora_lab.verdict.gather import evidence as gather
from lora_lab.verdict.sources import noise_by_source
from tests.verdict.made import Row, evidence


def test_images_are_told_from_training(tmp_path: Path) -> None:
    # 12 trainings of one setting, 8 points apart; six images, each 9 from what run and prompt have.
    draw, folder = random.Random(3), SweepFolder(tmp_path / "made")
    prompts = [draw.gauss(0, 15) for _ in range(6)]
    for number in range(12):
        level_of_run = 60 + draw.gauss(0, 8)
        previews = [
            Preview(f"{at}.png", at, 1, 1.0, metrics={"likeness": level_of_run + level + draw.gauss(0, 9)})
            for at, level in enumerate(prompts)
        ]
        run = folder.run(f"r{number}")
        made = config.compose(["base_model=sd15", f"train.seed={number}"], checked=False)
        made.name = run.path.name
        config.dump(made, run.config_file)
        item = Checkpoint("000010", "checkpoints/000010.safetensors", 10, 100, 100, previews=previews)
        write_record(run, RunRecord(status="done", checkpoints=[item]))
    found = gather(folder, metric="likeness")
    assert found.images is not None
    sd, df, count = found.images
    assert (df, count) == (55, 6) and sd == pytest.approx(9, rel=0.25), (
        "prompts of their own level are no noise"
    )
    (told,) = noise_by_source(analyse(found))
    assert "training" in told and "(6 of each run)" in told and "more runs are what helps" in told


def test_an_unsteady_eye_is_worth_another_look() -> None:
    rows: list[Row] = [(f"r{at}", {"a": 0}, at, score) for at, score in enumerate([50.0, 58.0, 66.0])]
    rows.append(("x", {"a": 1}, 0, 70.0))
    found = evidence(rows)
    seen = [
        replace(run, checkpoints=tuple(replace(item, raters={"anna": item.human or 0.0}, judgements=1)
                                       for item in run.checkpoints))
        for run in found.runs
    ]  # fmt: skip
    rater = RaterEvidence("anna", 4, 0.0, 8.0, repeats=5, repeat_sd=6.0, session_sd=3.0)
    (told,) = noise_by_source(analyse(replace(found, runs=tuple(seen), raters=(rater,))))
    # 8 points in all (sd of 50, 58, 66, and rounding), 6 of them the eye's: sqrt(64 - 36) is 5.3.
    assert "training 5.3, the eye 6" in told and "8 together" in told and "sessions 3" in told
    assert "everything trained once more brings it to 5.7" in told  # 8 / sqrt(2)
    assert "another look by each rater brings it to 6.8" in told  # sqrt(64 - 36 / 2)
    assert "another look is the cheaper way" in told


def test_nothing_is_said_where_nothing_was_measured_apart() -> None:
    assert noise_by_source(analyse(evidence([("a", {"a": 0}, 0, 5.0), ("b", {"a": 0}, 1, 9.0)]))) == []
    assert noise_by_source(analyse(evidence([("a", {"a": 0}, 0, 5.0)]))) == []

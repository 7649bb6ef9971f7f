"""Verdicts taken again on growing scores."""

import json
import random
from pathlib import Path

import pytest

from lora_lab.store import SweepFolder
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.prior import from_earlier
from lora_lab.verdict.taken import digest, looks, take
from tests.verdict.made import Row, evidence

BASE, OTHER = {"x": 0}, {"x": 1}


def grown(repeats: int) -> Evidence:
    rows: list[Row] = [(f"base-{seed}", BASE, seed, 60.0 + seed) for seed in range(repeats)]
    return evidence([*rows, ("other", OTHER, 0, 75.0)])


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    (tmp_path / "made").mkdir()
    return SweepFolder(tmp_path / "made")


def test_every_verdict_is_kept_and_widens_later_intervals(folder: SweepFolder) -> None:
    first = take(folder, grown(3)).settings[0].contrasts[0]
    again = take(folder, grown(3)).settings[0].contrasts[0]
    assert (first.look, again.look) == (1, 1) and first == again, "the same scores are no new look"
    later = take(folder, grown(4)).settings[0].contrasts[0]
    alone = judge(grown(4)).settings[0].contrasts[0]
    assert later.look == 2 and later.difference == alone.difference
    assert later.low is not None and alone.low is not None and later.low < alone.low
    lines = [json.loads(text) for text in folder.verdicts_file.read_text().splitlines()]
    assert [line["runs"] for line in lines] == [4, 5] and len(lines[0]["calls"]) == 1
    assert take(folder, grown(3)).look == 1, "what was asked first is answered as it was then"


def test_new_settings_have_been_looked_at_no_more_than_once(folder: SweepFolder) -> None:
    take(folder, grown(3))
    more = evidence(
        [*((f"base-{seed}", {"x": 0, "y": 0}, seed, 60.0 + seed) for seed in range(3)),
         ("y", {"x": 0, "y": 1}, 0, 50.0)]
    )  # fmt: skip
    assert take(folder, more).settings[0].contrasts[0].look == 1


def test_a_folder_that_cannot_be_written_to_says_so(folder: SweepFolder) -> None:
    folder.verdicts_file.mkdir()
    verdict = take(folder, grown(3))
    assert verdict.settings and any("could not be kept" in text for text in verdict.notes)


@pytest.mark.slow
def test_asking_after_every_repeat_gives_chance_no_further_try() -> None:
    draw, called, plain = random.Random(6), 0, 0
    sweeps = 250
    for _ in range(sweeps):
        base = [draw.gauss(60, 5.5) for _ in range(7)]
        other = draw.gauss(60, 5.5)
        lines: list[dict[str, object]] = []
        found, each = False, False
        for repeats in range(2, 7):
            own = evidence(
                [*((f"b{i}", BASE, i, base[i]) for i in range(repeats)), ("other", OTHER, 0, other)]
            )
            verdict = judge(own, looks=looks(lines, own))
            found |= verdict.settings[0].call in ("helps", "hurts")
            each |= judge(own).settings[0].call in ("helps", "hurts")
            calls = {"x 0 1": verdict.settings[0].call}
            lines.append({"data": digest(own), "criterion": "score", "rule": "last", "calls": calls})
        called, plain = called + found, plain + each
    assert called <= 0.08 * sweeps and called < plain


def test_earlier_sweeps_of_the_same_kind_are_the_prior() -> None:
    def sweep(name: str, family: str, sd: float) -> Evidence:
        draw = random.Random(name)
        rows: list[Row] = []
        for level in range(4):
            settings = {"x": level, "base_model.family": family}
            rows += [(f"{level}-{seed}", settings, seed, round(draw.gauss(50, sd), 1)) for seed in range(5)]
        return evidence(rows, name=name)

    own = sweep("now", "sd1", 3.0)
    found = from_earlier([sweep("before", "sd1", 12.0), sweep("other", "sdxl", 1.0), own], own)
    assert found is not None and found.sweeps == ("before",) and 8 < found.sd < 17
    assert from_earlier([own], own) is None
    verdict = judge(evidence([("a", {"x": 0}, 1, 50.0), ("b", {"x": 1}, 1, 90.0)]), prior=found)
    assert verdict.noise.source == "earlier" and verdict.settings[0].contrasts[0].low is not None

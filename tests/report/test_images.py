"""Which images a report shows, and their copies."""

from pathlib import Path

import numpy as np
from PIL import Image

from lora_lab.plots import subject
from lora_lab.report.images import LONG_SIDE, Album, chosen_shots
from lora_lab.report.runs import report_data
from lora_lab.report.side_by_side import matched_sets, sheets
from lora_lab.store import Preview
from tests import scored


def shots(*places: tuple[int, int, float]) -> list[Preview]:
    return [Preview(f"{place}.png", *place) for place in places]


def test_a_large_image_is_made_small_and_a_small_one_is_kept_exactly(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "small.png")
    Image.new("RGB", (1024, 1536), "red").save(tmp_path / "large.png")
    album = Album(tmp_path / "report")
    small, large = album.add(tmp_path / "small.png"), album.add(tmp_path / "large.png")
    assert small and large
    assert small.tiny and not large.tiny
    assert max(large.width, large.height) == LONG_SIDE and large.width == 341
    assert np.array_equal(np.asarray(Image.open(tmp_path / "report" / small.src)), noise)
    assert album.add(tmp_path / "small.png") is small, "copied once"


def test_a_missing_or_broken_image_is_none(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    album = Album(tmp_path / "report")
    assert album.add(tmp_path / "broken.png") is None
    assert album.add(tmp_path / "missing.png") is None


def test_prompts_come_before_seeds_and_the_strength_nearest_to_one_is_shown() -> None:
    many = shots(*((p, s, w) for p in range(3) for s in (1, 2) for w in (0.6, 0.9)))
    assert [(item.prompt, item.seed, item.strength) for item in chosen_shots(many)] == [
        (0, 1, 0.9), (0, 2, 0.9), (1, 1, 0.9), (2, 1, 0.9),
    ]  # fmt: skip
    assert [item.prompt for item in chosen_shots(shots(*((p, 1, 1.0) for p in range(9))))] == [0, 1, 2, 3]
    assert chosen_shots([]) == []


def test_runs_stand_beside_each_other_where_they_differ_in_one_setting(tmp_path: Path) -> None:
    about = subject(scored.sweep(tmp_path))
    found = [[run.name for run in runs] for runs in matched_sets(about.evidence.own, "network.network_alpha")]
    assert found == [["base", "alpha-16", "alpha-64", "broken"], ["lion", "lion-16"]]
    assert matched_sets(about.evidence.own, "network.network_dim") == []


def test_a_sheet_shows_the_same_prompts_and_seeds_of_all(tmp_path: Path) -> None:
    told = report_data(subject(scored.sweep(tmp_path, images=True)), "en")
    first, second = sheets(told, "network.network_alpha", Album(tmp_path / "report"))
    assert [column.head for column in first.columns] == ["alpha 1", "alpha 16", "alpha 64", "alpha 128"]
    assert [column.score for column in first.columns] == ["90", "60", "20", ""]
    assert first.rows == tuple(f"“prompt number {n}”, seed 7, LoRA strength 1" for n in (0, 1))
    assert all(tile and (tile.width, tile.height) == scored.IMAGE for tile in first.columns[0].tiles)
    assert first.columns[3].tiles == (None, None) and "not a number" in first.columns[3].trouble
    assert first.caption == "all else as base" and second.caption == "with optimizer lion"

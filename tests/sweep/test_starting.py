"""First sweep files: every family and card gives one that plans, and that says what it is made of."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_lab.config import compose, flat
from lora_lab.errors import ConfigError
from lora_lab.kohya import convert, read
from lora_lab.models.families import FAMILIES
from lora_lab.sweep import plan, read_sweep
from lora_lab.sweep.starting import NO_CARD, Wish, card_sizes, fitting, text
from tests.data.test_folder import save
from tests.kohya.presets import MIDDLE, NEWER, NEWEST, OLDEST
from tests.material import write_images, write_model

CASES = [("sd1", 8), ("sdxl", 12), ("sdxl", NO_CARD)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(20):
        save(tmp_path / "photos" / f"{number}.jpg", (640, 512 + number))
    return tmp_path / "photos"


def written(tmp_path: Path, wish: Wish) -> Path:
    file = tmp_path / f"{wish.name}.yaml"
    file.write_text(text(wish), encoding="utf-8")
    return file


def test_every_family_has_settings_for_the_usual_cards() -> None:
    for family in FAMILIES.values():
        assert card_sizes(family.name) == (8, 12, 16, 24)


@pytest.mark.parametrize(("family", "card"), CASES)
def test_it_plans_with_one_change_a_row_and_a_noise_floor(
    tmp_path: Path, photos: Path, family: str, card: int
) -> None:
    model = write_model(tmp_path / "model", family)
    file = written(tmp_path, Wish("mine", str(model), photos, "zzcat", card))
    made = plan(
        read_sweep(file), [f"results='{tmp_path}/results'", f"cache='{tmp_path}/cache'", "device=cpu"]
    )
    assert all(row.status == "planned" for row in made.rows)
    assert all(len(row.changes) <= 1 for row in made.rows)
    assert {row.name for row in made.rows} >= {"reference", "reference-r3", "lr-low", "lr-high", "dim-64"}
    assert made.comparisons.aliased == () and len(made.comparisons.replicates) == 1
    base = made.row("reference").config
    assert base.dataset.trigger_word == "zzcat" and base.dataset.repeats == 15  # 300 samples of 20 images
    for word in FAMILIES[family].cards.get(card, ()):
        assert word.split("=")[0] in file.read_text()


def test_a_demo_sweep_of_photographs_is_small(tmp_path: Path, photos: Path) -> None:
    file = written(tmp_path, Wish("try", "demo", photos, "zz"))
    made = plan(
        read_sweep(file), [f"results='{tmp_path}/results'", f"cache='{tmp_path}/cache'", "device=cpu"]
    )
    assert made.row("reference").samples == 20 * 4 * 12
    assert "card" not in file.read_text()


def test_kohya_folders_keep_their_repeats(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set", count=2)
    values = yaml.safe_load(text(Wish("k", "demo", folder, "miko")))
    assert not any(word.startswith("dataset.repeats") for word in values["base"])


def test_names_with_signs_of_yaml_stay_what_they_are(tmp_path: Path, photos: Path) -> None:
    odd = photos.rename(tmp_path / "it's: 50% #1, {me}")
    file = written(tmp_path, Wish("odd", "demo", odd, "猫: #1"))
    made = plan(
        read_sweep(file), [f"results='{tmp_path}/results'", f"cache='{tmp_path}/cache'", "device=cpu"]
    )
    config = made.row("reference").config
    assert (config.dataset.path, config.dataset.trigger_word) == (str(odd), "猫: #1")


def test_cards_report_a_little_less_than_they_are_sold_with() -> None:
    assert [fitting("sdxl", size) for size in (6, 7.7, 11.6, 12, 15.9, 22.1, 23.6, 79)] == [
        8, 8, 12, 12, 16, 16, 24, 24
    ]  # fmt: skip


def test_a_card_without_settings_is_refused(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ConfigError, match="--card 10: settings for Stable Diffusion 1.x are there for 8, 12"):
        text(Wish("x", "demo", photos, "zz", 10))


@pytest.mark.parametrize(
    "preset", [OLDEST, MIDDLE, NEWER, NEWEST], ids=["oldest", "middle", "newer", "newest"]
)
def test_a_preset_is_the_reference_as_it_would_be_as_a_recipe(
    tmp_path: Path, photos: Path, preset: dict[str, Any]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(preset))
    found = convert(read(file))
    wish = Wish("mine", "demo", photos, "", NO_CARD, file.name, found.settings)
    sweep = read_sweep(written(tmp_path, wish))
    base = flat(compose(sweep.base, checked=False))
    own = {"base_model.path", "base_model.family", "dataset.path", "name"}
    said = {key: value for key, value in found.settings.items() if key not in own}
    assert len(said) > 25
    assert {key: base[key] for key in said} == said
    assert base["dataset.path"] == str(photos)
    rates = [row.overrides for row in sweep.rows if row.name in ("lr-low", "lr-high")]
    assert rates == [("optimizer.unet_lr=3e-05",), ("optimizer.unet_lr=0.0003",)], "the one that acts"


def test_axes_leave_the_presets_own_values(tmp_path: Path, photos: Path) -> None:
    settings = {"network.network_alpha": 1.0, "network.network_dim": 32, "train.max_train_steps": 500}
    settings |= {"network.train_text_encoder": False, "optimizer.name": "prodigy"}
    sweep = read_sweep(written(tmp_path, Wish("mine", "demo", photos, "", 12, "p.toml", settings)))
    rows = {row.name: row.overrides for row in sweep.rows}
    assert rows["alpha-32"] == ("network.network_alpha=32",) and "alpha-1" not in rows
    assert rows["longer"] == ("train.max_train_steps=1000",) and "unet-only" not in rows
    assert not any(word.startswith("optimizer=") for word in sweep.base)
    assert sweep.question == "Which setting moves likeness most?"

"""A dataset file decides: what it sets has no effect as a setting, what it leaves acts, and rules ask it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lora_lab.config import compose
from lora_lab.effective import examine
from lora_lab.errors import ConfigError
from lora_lab.resolved import Resolved

Look = Callable[..., Resolved]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Resolves a dataset file over four images in `own` and two in `reg`."""
    for name, count in (("own", 4), ("reg", 2), ("more", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            shade = Image.new("RGB", (64, 64), (40 * number, 99, len(name)))
            shade.save(tmp_path / name / f"{number}.png")
            (tmp_path / name / f"{number}.txt").write_text("miko, red, blue, green")

    def looker(text: str, *words: str) -> Resolved:
        # A process reads a dataset file once.
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        file.write_text(text)
        given = ["base_model=demo", f"dataset.path={file}", f"cache={tmp_path}/cache", "dataset.repeats=null",
                 "dataset.max_bucket_reso=1024", "dataset.shuffle_caption=false"]  # fmt: skip
        return examine(compose([*given, *words]), "cpu").resolved

    return looker


def subsets(general: str = "", own: str = "", rest: str = "", dataset: str = "") -> str:
    first = f"[[datasets.subsets]]\nimage_dir='own'\n{own}\n"
    return f"[general]\n{general}\n[[datasets]]\n{dataset}\n{first}{rest}\n"


REG = "[[datasets.subsets]]\nimage_dir='reg'\nis_reg=true\n"
MORE = "[[datasets.subsets]]\nimage_dir='more'\n"


def test_regularisation_images_of_the_file_give_prior_loss_weight_its_effect(look: Look) -> None:
    marks = {
        look(subsets(rest=REG), f"loss.prior_loss_weight={weight}").fingerprint for weight in (1, 0.3, 0)
    }
    assert len(marks) == 3
    plain = look(subsets(), "loss.prior_loss_weight=0.3")
    assert [item.key for item in plain.inert if item.key.startswith("loss")] == ["loss.prior_loss_weight"]


def test_regularisation_images_beside_a_file_are_refused(look: Look, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reg_path=.* has no place beside a dataset file: add"):
        look(subsets(), f"dataset.reg_path={tmp_path / 'reg'}")


DECIDED = [
    ("batch_size=3", "train.train_batch_size", "2"),
    ("shuffle_caption=true", "dataset.shuffle_caption", "true"),
    ("keep_tokens=2\nshuffle_caption=true", "dataset.keep_tokens", "1"),
    ("resolution=128", "dataset.resolution", "'192'"),
    ("num_repeats=3", "dataset.repeats", "2"),
    ("flip_aug=true", "dataset.flip_aug", "true"),
    ("caption_prefix='photo of'", "dataset.caption_prefix", "drawing"),
    ("caption_dropout_rate=0.5", "dataset.caption_dropout_rate", "0.1"),
    ("enable_bucket=false", "dataset.enable_bucket", "true"),
    ("max_bucket_reso=256", "dataset.max_bucket_reso", "512"),
]


@pytest.mark.parametrize(("said", "key", "value"), DECIDED, ids=[row[1] for row in DECIDED])
def test_what_the_file_sets_everywhere_has_no_effect_and_is_named(
    look: Look, said: str, key: str, value: str
) -> None:
    plain, asked = look(subsets(general=said)), look(subsets(general=said), f"{key}={value}")
    assert plain.fingerprint == asked.fingerprint
    assert key not in asked.acting
    assert asked.no_effect[key] == "the dataset file sets it for every image"


@pytest.mark.parametrize(("said", "key", "value"), DECIDED, ids=[row[1] for row in DECIDED])
def test_what_the_file_sets_is_part_of_the_experiment(look: Look, said: str, key: str, value: str) -> None:
    assert look(subsets(general=said)).fingerprint != look(subsets()).fingerprint


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.train_batch_size", "3"), ("dataset.shuffle_caption", "true"), ("dataset.resolution", "'128'"),
     ("dataset.flip_aug", "true"), ("dataset.repeats", "4")],
)  # fmt: skip
def test_what_the_file_leaves_to_the_run_acts(look: Look, key: str, value: str) -> None:
    plain, asked = (
        look(subsets(general="keep_tokens=1")),
        look(subsets(general="keep_tokens=1"), f"{key}={value}"),
    )
    assert plain.fingerprint != asked.fingerprint and key in asked.acting


def test_what_one_subset_sets_still_acts_on_the_others(look: Look) -> None:
    text = subsets(own="shuffle_caption=true", rest=MORE)
    plain, asked = look(text), look(text, "dataset.shuffle_caption=true")
    assert plain.fingerprint != asked.fingerprint
    assert plain.facts.from_file["dataset.shuffle_caption"] == (True, False)


def test_keep_tokens_acts_where_the_file_shuffles(look: Look) -> None:
    """The run's own shuffle_caption is off, but that is not what is in force."""
    one, two = (look(subsets(own="shuffle_caption=true"), f"dataset.keep_tokens={n}") for n in (1, 2))
    assert one.fingerprint != two.fingerprint and not [i for i in two.inert if i.key == "dataset.keep_tokens"]


def test_bucket_limits_act_where_the_file_has_buckets(look: Look) -> None:
    text = subsets(dataset="enable_bucket=true")
    one, two = (look(text, "dataset.enable_bucket=false", f"dataset.bucket_reso_steps={n}") for n in (8, 16))
    assert one.fingerprint != two.fingerprint


def test_validation_seed_acts_where_the_file_holds_images_back(look: Look) -> None:
    found = look(subsets(general="validation_split=0.5"), "train.validation_seed=3")
    assert "train.validation_seed" not in found.no_effect and found.facts.held_back == 2


@pytest.mark.parametrize("said", [True, False])
def test_zero_terminal_snr_of_the_model_is_one_experiment(said: bool) -> None:
    from lora_lab.effective import Facts, resolve

    facts = Facts(zero_terminal_snr=said, prediction_type="v_prediction")
    off, on = (
        resolve(
            compose(["base_model=demo", "dataset.path=d", f"loss.zero_terminal_snr={value}"]),
            facts,
            {"x": "y"},
        )
        for value in ("false", "true")
    )
    assert (off.fingerprint == on.fingerprint) is said
    assert on.loss.zero_terminal_snr is True and off.loss.zero_terminal_snr is said
    assert ("loss.zero_terminal_snr" in {item.key for item in on.inert}) is said

"""What is read off images and models for deciding about a config."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lora_lab.config import compose
from lora_lab.effective import Examined, examine
from lora_lab.errors import DataError, ModelError
from lora_lab.sweep.packs import pack_key
from tests.material import write_images, write_model


@pytest.fixture
def look(tmp_path: Path):
    write_images(tmp_path / "images", 4)
    write_model(tmp_path / "model")

    def looker(*overrides: str, device: str = "cuda") -> Examined:
        where = [
            "base_model=sd15",
            f"dataset.path='{tmp_path}/images'",
            f"base_model.path='{tmp_path}/model'",
        ]
        return examine(compose([*where, f"cache='{tmp_path}/cache'", *overrides]), device)

    return looker


def test_facts(look) -> None:
    facts = look("train.train_batch_size=8", device="cpu").resolved.facts
    assert (facts.family, facts.prediction_type, facts.device_type) == ("sd1", "epsilon", "cpu")
    assert (facts.images, facts.reg_images, facts.repeats, facts.buckets) == (4, 0, 15, 1)
    assert (facts.draws_per_epoch, facts.batches_per_epoch, facts.text_layers) == (60, 8, 12)


def test_trigger_word(look, tmp_path: Path) -> None:
    assert not look("dataset.trigger_word=miko").resolved.facts.trigger_missing
    assert look("dataset.trigger_word=neko").resolved.facts.trigger_missing
    assert not look().resolved.facts.trigger_missing
    (tmp_path / "images" / "15_miko girl" / "000.txt").write_text("smile\n", encoding="utf-8")
    other = write_images(tmp_path / "second", 1)
    (other / "15_miko girl" / "000.txt").write_text("smile\n", encoding="utf-8")
    assert look("dataset.trigger_word=miko", f"dataset.path='{other}'").resolved.facts.trigger_missing


def test_repeats_of_folders_and_of_the_setting(look, tmp_path: Path) -> None:
    write_images(tmp_path / "two", 2, "10_a")
    write_images(tmp_path / "two", 3, "20_b")
    path = f"dataset.path='{tmp_path}/two'"
    assert look(path).resolved.facts.repeats is None
    assert look(path, "dataset.repeats=7").resolved.facts.repeats == 7
    assert look(path).resolved.fingerprint != look(path, "dataset.repeats=7").resolved.fingerprint
    assert look("dataset.repeats=15").resolved.fingerprint == look().resolved.fingerprint


def test_balance_of_repeats_counts(look, tmp_path: Path) -> None:
    """Folders of 10 and 20 repeats against 20 and 10: the same images, another experiment."""
    prints = set()
    for root, first, second in (("x", 10, 20), ("y", 20, 10)):
        folder = write_images(tmp_path / root, 2, f"{first}_a")
        write_images(tmp_path / root, 4, f"{second}_b")
        prints.add(look(f"dataset.path='{folder}'").resolved.fingerprint)
    assert len(prints) == 2


def test_models_count_by_content(look, tmp_path: Path) -> None:
    same = write_model(tmp_path / "copy")
    other = write_model(tmp_path / "other", seed=1)
    assert look(f"base_model.path='{same}'").resolved.fingerprint == look().resolved.fingerprint
    assert look(f"base_model.path='{other}'").resolved.fingerprint != look().resolved.fingerprint


def test_v_prediction_is_the_models(look, tmp_path: Path) -> None:
    model = write_model(tmp_path / "v", prediction_type="v_prediction")
    found = look(f"base_model.path='{model}'")
    assert found.resolved.acting["base_model.v_parameterization"] is True


def test_vae_counts_by_content(look, tmp_path: Path) -> None:
    for name, number in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        save_file({"x": np.array([number], dtype=np.float32)}, tmp_path / f"{name}.safetensors")
    prints = [look(f"base_model.vae='{tmp_path}/{name}.safetensors'").resolved.fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    assert look().resolved.fingerprint not in prints
    folder = look(f"base_model.vae='{tmp_path}/model'").resolved.identities["vae"]
    assert folder == look(f"base_model.vae='{tmp_path}/model/vae'").resolved.identities["vae"]


def test_merged_files_count_by_content_and_strength(look, tmp_path: Path) -> None:
    for name, number in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        save_file(
            {"lora_unet_x.lora_up.weight": np.array([number], dtype=np.float32)},
            tmp_path / f"{name}.safetensors",
        )
    files = [f"{tmp_path}/{name}.safetensors" for name in "abc"]
    prints = [look(f"network.base_weights=['{file}']").resolved.fingerprint for file in files]
    assert prints[0] == prints[1] != prints[2] and look().resolved.fingerprint not in prints
    one = look(f"network.base_weights=['{files[0]}']", "network.base_weights_multiplier=[1]")
    half = look(f"network.base_weights=['{files[0]}']", "network.base_weights_multiplier=[0.5]")
    assert one.resolved.fingerprint == prints[0] != half.resolved.fingerprint
    keys = {pack_key(item.config, item.resolved) for item in (look(), one, half)}
    assert len(keys) == 3
    many = look(f"network.base_weights=['{files[0]}']", "network.base_weights_multiplier=[1,2]")
    assert "give at most one value for each file" in many.resolved.refusals[0]


@pytest.mark.parametrize(
    ("key", "fitting", "refused"),
    [
        ("lora_unet_a.lora_up.weight", ["lora", "locon", "dora"], ["loha", "lokr"]),
        ("lora_unet_a.dora_scale", ["dora"], ["lora", "locon", "loha", "lokr"]),
        ("lora_unet_a.hada_w1_a", ["loha"], ["lora", "lokr", "dora"]),
        ("lora_unet_a.lokr_w1", ["lokr"], ["lora", "loha", "dora"]),
    ],
)
def test_a_file_of_another_form_is_refused(
    look, tmp_path: Path, key: str, fitting: list[str], refused: list[str]
) -> None:
    file = tmp_path / "a.safetensors"
    save_file({key: np.ones(2, dtype=np.float32)}, file)
    for type_ in (*fitting, *refused):
        found = look(f"network.network_weights='{file}'", f"network.type={type_}").resolved.refusals
        assert bool(found) == (type_ in refused), type_
        assert all(str(file) in text and "set network.type=" in text for text in found)


@pytest.mark.parametrize("key", ["network.network_weights", "network.base_weights"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0" * 100, ""),
        (b"", ""),
        (b"<html>not found</html>", ""),
        (None, "is not a LoRA: no lora_down/lora_up tensors; it holds strange"),
    ],
    ids=["zeros", "empty", "html", "another model"],
)
def test_a_file_that_is_no_lora_is_refused_before_anything_runs(
    look, tmp_path: Path, key: str, content: bytes | None, says: str
) -> None:
    file = tmp_path / "junk.safetensors"
    save_file({"strange": np.ones(2, dtype=np.float32)}, file)
    if content is not None:
        file.write_bytes(content)
    value = f"['{file}']" if key.endswith("base_weights") else f"'{file}'"
    with pytest.raises(ModelError) as caught:
        look(f"{key}={value}")
    text = str(caught.value)
    assert key in text and str(file) in text and says in text


@pytest.mark.parametrize(
    ("override", "error", "part"),
    [
        ("base_model.vae=/nowhere/vae.safetensors", ModelError, "base_model.vae"),
        ("network.network_weights=/nowhere/x.safetensors", ModelError, "network.network_weights"),
        ("network.base_weights=[/nowhere/x.safetensors]", ModelError, "network.base_weights"),
        ("base_model.path=/nowhere/x.safetensors", ModelError, "/nowhere/x.safetensors"),
        ("dataset.path=/nowhere/x", DataError, "/nowhere/x"),
    ],
)
def test_what_is_not_there(look, override: str, error: type, part: str) -> None:
    with pytest.raises(error, match=part):
        look(override)

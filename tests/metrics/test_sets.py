"""Metrics of whole checkpoints, with tiny random models."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.errors import ModelError
from lora_lab.metrics import METRICS, check, measure, set_names
from lora_lab.metrics.embed import Embedder, find_model
from lora_lab.metrics.phash import nearest, phash
from lora_lab.metrics.sets import COPY, Models, PreviewSet, Shown, measure_set
from tests.metrics.models import SIZE, clip_folder, dino_folder

CPU = torch.device("cpu")
MODELS_OF_SETS = [name for name, entry in METRICS.items() if entry.of_set]


def drawn(seed: int, size: int = 48) -> Image.Image:
    """Smooth random colours, so that scaling keeps the image."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def previews(cache: Path, shown: list[Shown] | None = None, **choices: object) -> PreviewSet:
    models = Models(str(clip_folder()), str(dino_folder()), cache, CPU)
    made = shown or [
        Shown(drawn(1), "a woman", 0, 1, 1.0, drawn(11)),
        Shown(drawn(2), "a woman", 0, 2, 1.0, drawn(12)),
        Shown(drawn(3), "a cat", 1, 1, 1.0, None),
    ]
    given = {
        "references": [drawn(20), drawn(21)],
        "training": [drawn(30), drawn(31)],
        "models": models,
    }
    return PreviewSet(made, **{**given, **choices})  # type: ignore[arg-type]


def embedded(folder: Path, image: Image.Image, clip: bool) -> np.ndarray:
    """An image's embedding by hand: resize, scale to -1..1, the whole model."""
    from transformers import CLIPModel, ViTModel

    pixels_HWC = np.asarray(
        image.resize((SIZE, SIZE), Image.Resampling.BICUBIC if clip else Image.Resampling.BILINEAR)
    )
    inputs = torch.tensor(pixels_HWC.transpose(2, 0, 1)[None] / 255.0, dtype=torch.float32) * 2 - 1
    with torch.no_grad():
        if clip:
            model = CLIPModel.from_pretrained(folder)
            vector = model.visual_projection(model.vision_model(inputs).pooler_output)[0]
        else:
            vector = ViTModel.from_pretrained(folder)(inputs).last_hidden_state[0, 0]
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("name", MODELS_OF_SETS)
def test_every_metric_of_sets_gives_a_number(name: str, tmp_path: Path) -> None:
    found = measure_set(previews(tmp_path), [name])
    keys = {key for numbers in (*found.each, found.whole) for key in numbers}
    assert keys and all(key.startswith(name) for key in keys)
    first = {**found.each[0], **found.whole}
    assert all(isinstance(value, float) and -1 <= value <= 1.0001 for value in first.values())


@pytest.mark.parametrize(("name", "clip"), [("clip_i", True), ("dino", False)])
def test_likeness_to_references_is_the_mean_cosine(name: str, clip: bool, tmp_path: Path) -> None:
    folder = clip_folder() if clip else dino_folder()
    found = measure_set(previews(tmp_path), [name]).each
    own = embedded(folder, drawn(2), clip)
    others = [embedded(folder, drawn(seed), clip) for seed in (20, 21)]
    assert found[1][name] == pytest.approx(np.mean([own @ other for other in others]), abs=2e-4)


def test_drift_and_diversity(tmp_path: Path) -> None:
    found = measure_set(previews(tmp_path), ["drift", "diversity"])
    one, other = (embedded(dino_folder(), drawn(seed), False) for seed in (1, 2))
    base = embedded(dino_folder(), drawn(11), False)
    assert found.each[0]["drift"] == pytest.approx((1 - one @ base) / 2, abs=2e-4)
    assert found.each[2]["drift"] is None, "there is no image of the base model"
    assert found.whole["diversity"] == pytest.approx(1 - one @ other, abs=2e-4)
    alone = previews(tmp_path, [Shown(drawn(1), "a", 0, 1, 1.0), Shown(drawn(2), "b", 1, 1, 1.0)])
    assert measure_set(alone, ["diversity"]).whole == {"diversity": None}, "one seed of each prompt"


def test_diversity_is_taken_at_the_strength_nearest_1(tmp_path: Path) -> None:
    same = [Shown(drawn(1), "a", 0, seed, 1.0) for seed in (1, 2)]
    other = [Shown(drawn(seed), "a", 0, seed, 0.0) for seed in (1, 2)]
    found = measure_set(previews(tmp_path, [*other, *same]), ["diversity"])
    assert found.whole["diversity"] == pytest.approx(0, abs=1e-6)


def test_clip_t_tells_texts_apart(tmp_path: Path) -> None:
    found = measure_set(previews(tmp_path), ["clip_t"]).each
    texts = Embedder("clip", clip_folder(), tmp_path, CPU).texts(["a woman", "a cat"])
    assert not np.allclose(texts[0], texts[1])
    own = embedded(clip_folder(), drawn(3), True)
    assert found[2]["clip_t"] == pytest.approx(float(own @ texts[1]), abs=2e-4)


def test_copies_are_found_mirrored_and_scaled(tmp_path: Path) -> None:
    copy = ImageOps.mirror(drawn(30)).resize((80, 80))
    shown = [Shown(copy, "", 0, 1, 1.0), Shown(drawn(5), "", 0, 2, 1.0)]
    models = Models(None, None, tmp_path, CPU)
    found = measure_set(previews(tmp_path, shown, models=models), ["copy"])
    assert found.flags == [[COPY], []]
    assert found.each[0]["copy_phash"] > 0.95 > found.each[1]["copy_phash"]  # type: ignore[operator]
    assert "copy_dino" not in found.each[0], "no model is named"
    with_model = measure_set(previews(tmp_path, [Shown(drawn(31), "", 0, 1, 1.0)]), ["copy"])
    assert with_model.each[0]["copy_dino"] == pytest.approx(1, abs=1e-5)


def test_phash_has_64_bits_and_ignores_brightness() -> None:
    image = drawn(4)
    brighter = Image.eval(image, lambda value: value // 2 + 60)
    assert phash(image).shape == (64,)
    assert nearest(brighter, [image]) > 0.9
    assert nearest(drawn(6), [image]) < 0.8


def test_embeddings_are_kept_by_content_of_image_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Embedder("dino", dino_folder(), tmp_path, CPU).images([drawn(1), drawn(2), drawn(1)])
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 2, "an image is embedded once"
    again = Embedder("dino", dino_folder(), tmp_path, CPU)
    monkeypatch.setattr(again, "_load", lambda *a, **k: pytest.fail("the model is loaded"))
    np.testing.assert_array_equal(again.images([drawn(1), drawn(2), drawn(1)]), first)
    other = Embedder("dino", dino_folder(seed=1), tmp_path, CPU).images([drawn(1)])
    assert not np.allclose(other[0], first[0]), "another model's embedding is not taken for this one's"
    files[0].write_bytes(b"cut off")
    np.testing.assert_allclose(
        Embedder("dino", dino_folder(), tmp_path, CPU).images([drawn(1), drawn(2)]), first[:2], atol=1e-6
    )


def test_dinov2_serves_as_dino(tmp_path: Path) -> None:
    models = Models(None, str(dino_folder(kind="dinov2")), tmp_path, CPU)
    assert measure_set(previews(tmp_path, models=models), ["dino"]).each[0]["dino"] is not None


def test_wrong_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="metric.clip_model=.*model_type 'vit', it must be one of clip"):
        find_model("clip", str(dino_folder()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="metric.dino_model=.*no config.json"):
        find_model("dino", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no such folder; give the model's folder"):
        find_model("dino", "/nowhere/at/all")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not in this machine's hub cache, and it cannot be fetched"):
        find_model("dino", "nobody/nothing-of-that-name")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (broken / "model.safetensors").write_bytes(hashlib.sha256(b"").digest())
    with pytest.raises(ModelError, match="cannot be loaded|no weights|damaged|safetensors"):
        Embedder("dino", broken, tmp_path, CPU).images([drawn(1)])


def test_a_metric_without_its_model_is_refused_in_the_plan() -> None:
    models = {"metric.clip_model": None, "metric.dino_model": "facebook/dinov2-base"}
    found = check(["basic", "clip_i", "clip_t", "dino"], models)
    (text,) = found.refusals
    missing = check(["dino"], {"metric.clip_model": None, "metric.dino_model": "/no/such/folder"})
    assert missing.refusals and "there is no such folder" in missing.refusals[0]
    assert text.startswith("metric.names has clip_i, clip_t: set metric.clip_model to a folder")
    config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=d", "metric.names=[basic,drift]"])
    assert any("set metric.dino_model" in text for text in resolve(config, Facts()).refusals)


def test_previews_are_measured_anew_with_another_model_only_where_one_counts() -> None:
    def mark(*overrides: str) -> str:
        config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=d", *overrides])
        return resolve(config, Facts()).preview_fingerprint

    assert mark() == mark("metric.dino_model=/m")
    assert mark("metric=copy") != mark("metric=copy", "metric.dino_model=/m")


def test_single_previews_leave_sets_alone() -> None:
    assert set_names(["basic", "copy", "dino"]) == ["copy", "dino"]
    assert measure(drawn(1), None, 1.0, ["basic", "copy", "dino"]).numbers.keys() == {
        "brightness", "contrast", "sharpness", "base_distance",
    }  # fmt: skip

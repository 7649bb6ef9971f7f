"""Settings that go to others name no folder of this machine."""

import json

import pytest

from lora_lab.config import compose, flat
from lora_lab.config.places import text_without_places, without_places


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("base_model.path", "/home/me/models/v1-5.safetensors", "v1-5.safetensors"),
        ("base_model.path", "models/secret/v1-5.safetensors", "v1-5.safetensors"),
        ("base_model.path", "demo", "demo"),
        ("dataset.path", "~/photos/anna/", "anna"),
        ("dataset.path", "C:\\Users\\me\\photos", "photos"),
        ("dataset.reg_path", None, None),
        ("network.base_weights", ["/home/me/a.pt", "b/c.pt"], ["a.pt", "c.pt"]),
        ("metric.face_model", "../me/face.onnx", "face.onnx"),
        ("metric.clip_model", "openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("optimizer.args", {"table": "/home/me/t.json", "eps": 0.1}, {"table": "t.json", "eps": 0.1}),
        ("preview.prompts", ["a cat / a dog", "1/2 body"], ["a cat / a dog", "1/2 body"]),
        ("train.seed", 7, 7),
    ],
)  # fmt: skip
def test_of_a_path_its_last_part_stays(key: str, value: object, expected: object) -> None:
    assert without_places({key: value}) == {key: expected}


def test_a_whole_config_names_no_folder() -> None:
    config = compose(
        ["base_model=sd15", "base_model.path=/srv/x/m.safetensors", "base_model.vae=/srv/x/v",
         "dataset.path=/srv/x/p", "dataset.reg_path=/srv/x/r",
         "network.base_weights=[/srv/x/a.safetensors]", "results=/srv/x/out",
         "cache=/srv/x/cache", "network.network_weights=/srv/x/b.safetensors"], checked=False
    )  # fmt: skip
    assert "/srv" not in json.dumps(without_places(flat(config)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"dataset.path": "/home/me/images", "device": "cuda:1"}', '{"dataset.path": "images"}'),
        ("[1]", "[1]"),
        ("no JSON", "no JSON"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=["settings", "no object", "no JSON", "too deep"],
)
def test_settings_in_metadata_are_told_without_places(text: str, told: str) -> None:
    assert text_without_places(text, ["device"]) == told

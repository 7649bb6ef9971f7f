"""The WD tagger, by a tiny ONNX model with the same signature that says which colour an image has."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_lab.__main__ import main
from lora_lab.dataset.tagger import prepared

SIDE = 8
TAGS = """tag_id,name,category,count
1,general,9,1
2,sensitive,9,1
3,blue_sky,0,1
4,green_grass,0,1
5,red_hat,0,1
6,miko_(cat),4,1
"""


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    """Mean colour in, probabilities out: ratings 0.9, blue, green and red as shares of 255, Miko as red."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the model of this test")
    pytest.importorskip("onnxruntime", reason="the extra `tagger`")
    folder = tmp_path / "tagger"
    folder.mkdir()
    (folder / "selected_tags.csv").write_text(TAGS)
    weights = np.zeros((3, 6), np.float32)
    weights[0, 2] = weights[1, 3] = weights[2, 4] = weights[2, 5] = 1 / 255  # BGR
    bias = np.array([0.9, 0.9, 0, 0, 0, 0], np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("input", kind, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("output", kind, ["batch", 6])],
        [
            onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    Image.new("RGB", (40, 40), (255, 0, 100)).save(place / "red.png")
    Image.new("RGB", (40, 40), (0, 0, 240)).save(place / "blue.png")
    (place / "blue.txt").write_text("mine")
    (place / "broken.png").write_bytes(b"\x89PNG no")
    return place


def test_images_are_tagged_and_captions_that_are_there_kept(
    tagger: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos), "--tagger", str(tagger), "--add-first", "zz", "--write"]
    assert main(["dataset", "caption", *words]) == 0
    # Red is 1.0: the character first; blue 0.39 is above 0.35; ratings are left out.
    assert (photos / "red.txt").read_text() == "zz, miko (cat), red hat, blue sky"
    assert (photos / "blue.txt").read_text() == "zz, mine"
    assert "not tagged: " in (text := capsys.readouterr().out) and "broken.png" in text


def test_thresholds_and_what_becomes_of_captions(tagger: Path, photos: Path) -> None:
    words = [str(photos), "--tagger", str(tagger), "--threshold", "0.5", "--write"]
    assert main(["dataset", "caption", *words, "--existing", "append"]) == 0
    assert (photos / "red.txt").read_text() == "miko (cat), red hat"
    assert (photos / "blue.txt").read_text() == "mine, blue sky"
    assert main(["dataset", "caption", *words, "--existing", "replace"]) == 0
    assert (photos / "blue.txt").read_text() == "blue sky"


def test_an_image_stands_in_a_white_square_as_bgr() -> None:
    pixels = np.zeros((4, 16, 3), np.uint8)
    pixels[:, :, 0] = 200  # red
    found = prepared(pixels, 16)
    assert found.shape == (1, 16, 16, 3) and found.dtype == np.float32
    assert found[0, 0].min() == 255 and found[0, -1].min() == 255
    assert found[0, 8, 8].tolist() == [0, 0, 200]


def test_a_folder_without_its_list_or_of_another_model_is_refused(
    tagger: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tagger / "selected_tags.csv").write_text(TAGS.rsplit("6,", 1)[0])
    assert main(["dataset", "caption", str(photos), "--tagger", str(tagger)]) == 2
    assert "the model has 6 tags, selected_tags.csv 5" in capsys.readouterr().err
    (tagger / "selected_tags.csv").unlink()
    assert main(["dataset", "caption", str(photos), "--tagger", str(tagger)]) == 2
    assert "it lacks selected_tags.csv" in capsys.readouterr().err
    (tagger / "selected_tags.csv").write_text(TAGS)
    (tagger / "model.onnx").write_bytes(b"no model")
    assert main(["dataset", "caption", str(photos), "--tagger", str(tagger)]) == 2
    assert "model.onnx cannot be loaded" in capsys.readouterr().err

import pytest
from PIL import Image

from lora_lab.data.prepare import Concept, balanced_repeats, prepare
from lora_lab.data.scan import scan
from lora_lab.data.settings import SubsetSettings
from lora_lab.errors import ConfigError, DataError


def _source(folder, count=2):
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / f"{i}.PNG")
        (folder / f"{i}.txt").write_text(f"tag{i}")
    (folder / "notes.md").write_text("x")
    return folder


def test_repeats_balance_concepts():
    assert balanced_repeats({"a": 20, "b": 40}) == {"a": 50, "b": 25}
    assert balanced_repeats({"a": 20, "b": 40}, 200, {"b": 2}) == {"a": 10, "b": 10}
    assert balanced_repeats({"a": 5000}) == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 0},), "a has no images"),
        (({"a": 1}, 0), "draws must be at least 1, got 0"),
        (({"a": 1}, 10, {"a": 0}), "weight of a must be above 0"),
        (({"a": 1}, 10, {"b": 1}), "b has a weight"),
    ],
)
def test_balancing_refuses_nonsense(arguments, message):
    with pytest.raises(ConfigError, match=message):
        balanced_repeats(*arguments)


def test_prepared_folders_scan_as_meant(tmp_path):
    train, reg = _source(tmp_path / "photos"), _source(tmp_path / "girls", 3)
    concept = Concept(train, 15, "mikocat", "girl")
    where = prepare([concept], tmp_path / "out", [Concept(reg, 1, "", "girl")])
    found = scan(where, SubsetSettings())
    assert [(i.repeats, i.caption, i.settings.class_tokens) for i in found.items] == [
        (15, "tag0", "mikocat girl"),
        (15, "tag1", "mikocat girl"),
    ]
    assert len(scan(tmp_path / "out" / "reg", SubsetSettings(is_reg=True)).items) == 3
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"img", "reg", "model", "log"}
    assert len(list(train.iterdir())) == 5  # the source is as it was
    with pytest.raises(DataError, match="there already"):
        prepare([concept], tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ((0, "a", "b"), ConfigError, "at least 1, got 0"),
        ((1, " ", ""), ConfigError, "give an instance"),
        ((1, "a/b", ""), ConfigError, "cannot be a folder's name"),
    ],
)
def test_prepare_checks_before_it_copies(tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        prepare([Concept(_source(tmp_path / "photos"), *values)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_prepare_needs_images(tmp_path):
    with pytest.raises(DataError, match="no images in it"):
        prepare([Concept(_source(tmp_path / "photos", 0), 1, "a", "b")], tmp_path / "out")

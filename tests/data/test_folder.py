"""Nothing in a folder is passed over without a word, and names mean what they say."""

import os
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lora_lab.data.buckets import assign, assign_all
from lora_lab.data.folder import names_apart
from lora_lab.data.image_set import ImageSet, refuse_errors
from lora_lab.data.images import decode, read_header
from lora_lab.data.pixels import load_pixels
from lora_lab.data.resize import INTERPOLATIONS, resize
from lora_lab.data.scan import scan
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.errors import ConfigError, DataError

PLAIN = SubsetSettings()


def save(path: Path, size: tuple[int, int] = (48, 32), kind: str | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(os.fsencode(path.name))
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    with path.open("wb") as file:
        Image.fromarray(values).save(file, kind or "PNG", **options)
    return path


def said(found: ImageSet, severity: str, folder: Path) -> list[str]:
    return [p.what for p in found.problems if p.severity == severity and p.path == folder]


def test_a_numbered_folder_without_an_image_is_an_error(tmp_path):
    save(tmp_path / "10_miko" / "a.png")
    (tmp_path / "10_neko").mkdir()
    save(tmp_path / "10_usagi" / "photos" / "a.png")
    save(tmp_path / "10_inu" / "a.jfif", kind="JPEG")
    found = scan(tmp_path, PLAIN)
    assert [(i.caption, i.path.name) for i in found.items] == [("inu", "a.jfif"), ("miko", "a.png")]
    for name in ("10_neko", "10_usagi"):
        assert said(found, "error", tmp_path / name) == ["no images in it"]
    with pytest.raises(DataError, match="10_neko: no images in it"):
        refuse_errors(found.problems)
    (below,) = said(found, "warning", tmp_path / "10_usagi" / "photos")
    assert below == "1 image not trained on: sub-folders are not read (a.png)"


@pytest.mark.parametrize("name", ["b.jfif", "b.jpe", "b.JIF", "b.jfi", "b.pjpeg", "b.Jpeg"])
def test_all_names_of_jpegs_are_read(tmp_path, name):
    save(tmp_path / name, kind="JPEG")
    assert [i.path.name for i in scan(tmp_path, PLAIN).items] == [name]


def test_what_is_not_understood_is_one_warning_per_folder_and_kind(tmp_path):
    place = tmp_path / "10_miko"
    save(place / "a.png")
    for name in ("b", "c"):
        save(place / "sub" / "deeper" / f"{name}.png")
    for name in ("x.tif", "y.heic", "z.zip", "w.mp4"):
        (place / name).write_bytes(b"x")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "a.npz"):
        (place / name).write_bytes(b"x")
    (place / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = scan(tmp_path, PLAIN)
    warned = said(found, "warning", place)
    assert "1 link to nothing (gone.png)" in warned
    assert "4 files that are neither image nor caption, not read (w.mp4, x.tif, y.heic, ...)" in warned
    assert said(found, "warning", place / "sub")[0].startswith("2 images not trained on")
    assert len([p for p in found.problems if p.path in (place, place / "sub")]) == 4  # and: no captions


def test_what_lies_beside_numbered_folders_is_named(tmp_path):
    save(tmp_path / "10_miko" / "a.png")
    save(tmp_path / "more" / "inner" / "b.png")
    save(tmp_path / "loose.png")
    (tmp_path / "old.zip").write_bytes(b"x")
    (tmp_path / "10_neko").symlink_to(tmp_path / "nowhere")
    found = scan(tmp_path, PLAIN)
    assert said(found, "error", tmp_path / "10_neko") == ["is a link to nothing"]
    loose, unknown = said(found, "warning", tmp_path)
    assert "(loose.png)" in loose and "(old.zip)" in unknown
    assert said(found, "warning", tmp_path / "more")[0].startswith("1 image not trained on: its name")


@pytest.mark.parametrize("reg", [False, True])
def test_a_linked_folder_keeps_the_links_name(tmp_path, reg):
    save(tmp_path / "real" / "x.png")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "10_miko cat").symlink_to(tmp_path / "real")
    for given in (tmp_path / "link", tmp_path / "link" / "10_miko cat"):
        (item,) = scan(given, SubsetSettings(is_reg=reg)).items
        assert (item.repeats, item.caption) == (10, "miko cat")


def test_a_folder_given_as_a_point_has_its_own_name(tmp_path, monkeypatch):
    save(tmp_path / "7_miko" / "a.png")
    monkeypatch.chdir(tmp_path / "7_miko")
    (item,) = scan(Path(), PLAIN).items
    assert (item.repeats, item.caption) == (7, "miko")


@pytest.mark.parametrize(
    ("name", "repeats"), [("1024", 1024), ("2024_summer", 2024), ("20230115_miko", 20230115), ("512_x", 512)]
)
def test_years_dates_and_sizes_taken_as_repeats_are_warned_of(tmp_path, name, repeats):
    save(tmp_path / name / "a.png")
    for given in (tmp_path, tmp_path / name):
        found = scan(given, PLAIN)
        assert found.items[0].repeats == repeats
        assert any(f"{repeats:,} repeats" in text for text in said(found, "warning", tmp_path / name))
    given = scan(tmp_path, SubsetSettings(repeats=2))
    assert not any("a year" in p.what for p in given.problems)


def test_usual_repeats_are_not_warned_of(tmp_path):
    save(tmp_path / "100_miko" / "a.png")
    assert not any("repeats" in p.what for p in scan(tmp_path, PLAIN).problems)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("stem", ["café", "がぎぐ", "Ångström"])
def test_captions_match_in_any_unicode_form(tmp_path, forms, stem):
    image, text = (unicodedata.normalize(form, stem) for form in forms)
    save(tmp_path / f"{image}.png")
    (tmp_path / f"{text}.txt").write_text("a caption")
    found = scan(tmp_path, PLAIN)
    assert [i.caption for i in found.items] == ["a caption"]
    assert found.problems == []


def test_class_tokens_are_composed_as_typed_words_are(tmp_path):
    save(tmp_path / unicodedata.normalize("NFD", "3_がぎ café") / "a.png")
    assert scan(tmp_path, PLAIN).items[0].caption == "がぎ café"


def test_names_that_are_no_utf8_train_and_can_be_printed(tmp_path):
    name = os.fsdecode(b"\x83~\x83N2.png")
    save(tmp_path / name)
    save(tmp_path / "b.png")
    found = scan(tmp_path, PLAIN, cache=tmp_path / "cache")
    assert len(found.items) == 2
    text = "\n".join(map(str, found.problems))
    assert text.encode("utf-8") and "\\x83~\\x83N2.png" in text
    assert len(scan(tmp_path, PLAIN, cache=tmp_path / "cache").items) == 2


def test_a_folder_name_that_is_no_utf8_is_no_caption(tmp_path):
    place = tmp_path / os.fsdecode(b"10_\x83~\x83N")
    save(place / "a.png")
    with pytest.raises(DataError, match="its name is not UTF-8.*dataset.class_tokens"):
        refuse_errors(scan(tmp_path, PLAIN).problems)
    assert [i.caption for i in scan(tmp_path, SubsetSettings(class_tokens="x")).items] == ["x"]


@pytest.mark.parametrize("extension", ["txt", ".txt", " txt", "caption"])
def test_the_dot_of_a_caption_extension_is_meant(tmp_path, extension):
    save(tmp_path / "a.png")
    (tmp_path / f"a.{extension.strip(' .')}").write_text("words")
    settings = SubsetSettings(captions=CaptionSettings(caption_extension=extension))
    assert [i.caption for i in scan(tmp_path, settings).items] == ["words"]


@pytest.mark.parametrize("key", ["Description", "parameters", "prompt"])
def test_large_texts_of_a_png_are_not_read(tmp_path, key):
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, "x" * 3_000_000, zip=True)
    info.add_text(key, "y" * 3_000_000, zip=True)
    path = save(tmp_path / "a.png", pnginfo=info)
    plain = save(tmp_path / "plain" / "a.png")
    assert len(scan(tmp_path, PLAIN).items) == 1
    assert np.array_equal(decode(path.read_bytes()), decode(plain.read_bytes()))


def test_a_png_keeps_the_orientation_of_its_texts(tmp_path):
    spaces = 'xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    xmp = f'<x:xmpmeta {spaces} tiff:Orientation="6"/>'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    info.add_itxt("Comment", "x" * 3_000_000, zip=True)
    header = read_header(save(tmp_path / "a.png", (48, 32), pnginfo=info).read_bytes())
    assert (header.width, header.height) == (32, 48)


# --- sizes ---


@pytest.mark.parametrize("size", [(600, 6000), (4000, 500), (500, 4000)])
def test_crops_that_cut_away_more_than_a_third_are_named(tmp_path, size):
    path = save(tmp_path / "a.png", size)
    save(tmp_path / "b.png", (512, 512))
    (found,) = (
        p for p in assign_all(scan(tmp_path, PLAIN).items, BucketSettings((512, 512)))[2] if "crop" in p.what
    )
    place = assign(size, BucketSettings((512, 512)))
    share = 1 - place.bucket[0] * place.bucket[1] / (place.resized[0] * place.resized[1])
    assert found.path == path.parent and share > 1 / 3
    assert found.what == f"1 lose more than a third of their area to the crop, a.png {share:.0%}"


@pytest.mark.parametrize("size", [(600, 900), (512, 768), (1000, 1000), (768, 1024)])
def test_usual_crops_are_not_named(tmp_path, size):
    save(tmp_path / "a.png", size)
    assert assign_all(scan(tmp_path, PLAIN).items, BucketSettings((512, 512)))[2] == []


@pytest.mark.parametrize(
    "settings", [{"bucket_reso_steps": 10}, {"bucket_reso_steps": 12}, {"bucket_reso_steps": 36}]
)
def test_a_bucket_step_that_the_vae_cannot_keep_is_refused(settings):
    with pytest.raises(ConfigError, match="must be a multiple of 8"):
        assign((500, 500), BucketSettings((512, 512), **settings))


def test_without_buckets_the_resolution_itself_has_to_fit():
    with pytest.raises(ConfigError, match="such as 496x896"):
        assign((500, 900), BucketSettings((500, 900), enable_bucket=False))
    assert assign((500, 900), BucketSettings((504, 896), enable_bucket=False)).bucket == (504, 896)


def test_a_stripe_is_cut_before_it_is_enlarged(tmp_path):
    import tracemalloc

    path = save(tmp_path / "a.png", (4000, 1))
    (item,) = scan(path.parent, PLAIN).items
    place = assign(item.size, BucketSettings((512, 512)))
    assert place.resized == (1_024_000, 256)
    for kind in (None, *INTERPOLATIONS):
        tracemalloc.start()
        part = resize(decode(path.read_bytes()), place.resized, kind, (*place.crop_left_top, *place.bucket))
        assert tracemalloc.get_traced_memory()[1] < 2e8
        tracemalloc.stop()
        assert part.shape == (256, 1024, 3)
    assert load_pixels(item, place).shape == (3, 256, 1024)


PIXELS = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)


@pytest.mark.parametrize("kind", [None, *INTERPOLATIONS])
@pytest.mark.parametrize("size", [(90, 70), (31, 23), (200, 20)])
def test_a_part_is_the_same_pixels_as_of_the_whole(kind, size):
    part = resize(PIXELS, size, kind, (5, 4, 16, 12))
    assert np.array_equal(part, resize(PIXELS, size, kind)[4:16, 5:21])


@pytest.mark.parametrize("size", [(90, 70), (120, 200), (61, 51)])
def test_a_part_that_is_made_alone_is_the_same_pixels(size, monkeypatch):
    whole = resize(PIXELS, size, "lanczos")
    monkeypatch.setattr("lora_lab.data.resize._WHOLE", 0)
    part = resize(PIXELS, size, "lanczos", (5, 4, 16, 12)).astype(int)
    assert np.abs(part - whole[4:16, 5:21]).max() <= 1


def test_images_in_a_sub_folder_are_named_beside_those_that_train(tmp_path):
    save(tmp_path / "10_miko" / "a.png")
    for name in ("b", "c"):
        save(tmp_path / "10_miko" / "sub" / f"{name}.png")
    found = scan(tmp_path, PLAIN)
    assert [i.path.name for i in found.items] == ["a.png"]
    (below,) = said(found, "warning", tmp_path / "10_miko" / "sub")
    assert below == "2 images not trained on: sub-folders are not read (b.png, c.png)"


def test_folders_of_one_name_are_told_apart_by_what_stands_before_it():
    found = names_apart([Path("/d/a/10_cat"), Path("/d/b/10_cat"), Path("/d/b/10_dog"), Path("/d/a/10_cat")])
    assert list(found.values()) == ["a/10_cat", "b/10_cat", "10_dog"]
    assert list(names_apart([Path("10_cat"), Path("/x/10_cat")]).values()) == ["10_cat", "x/10_cat"]

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lora_lab.data import images
from lora_lab.data.image_set import ImageSet, identity, order_keys, refuse_errors, report
from lora_lab.data.scan import scan
from lora_lab.data.settings import CaptionSettings, SubsetSettings
from lora_lab.data.verify import verify
from lora_lab.errors import DataError

PLAIN = SubsetSettings()


def _image(seed: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def _save(path: Path, image: Image.Image | None = None, caption: str | None = None, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or _image(zlib.crc32(path.name.encode()))).save(path, **kwargs)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def _by_severity(found: ImageSet, severity: str) -> str:
    return report([p for p in found.problems if p.severity == severity])


def test_kohya_folders_set_repeats_and_class_tokens(tmp_path):
    _save(tmp_path / "15_mikocat girl" / "a.png", caption="mikocat, smile\n")
    _save(tmp_path / "15_mikocat girl" / "b.JPG")
    _save(tmp_path / "2_some_place" / "c.Png", caption="a place")
    found = scan(tmp_path, PLAIN)
    got = [(i.path.name, i.repeats, i.caption) for i in found.items]
    assert got == [("a.png", 15, "mikocat, smile"), ("b.JPG", 15, "mikocat girl"), ("c.Png", 2, "a place")]
    assert "1 of 2: no .txt caption file; trained with the class tokens 'mikocat girl' (b.JPG)" in report(
        found.problems
    )


def test_settings_go_before_folder_names(tmp_path):
    _save(tmp_path / "15_mikocat girl" / "a.png")
    found = scan(tmp_path, SubsetSettings(repeats=4, class_tokens="sks"))
    assert [(i.repeats, i.caption) for i in found.items] == [(4, "sks")]


def test_a_flat_folder_and_a_numbered_folder_given_itself(tmp_path):
    _save(tmp_path / "flat" / "a.png")
    _save(tmp_path / "7_miko" / "a.png")
    assert [(i.repeats, i.caption) for i in scan(tmp_path / "flat", PLAIN).items] == [(1, "")]
    assert [(i.repeats, i.caption) for i in scan(tmp_path / "7_miko", PLAIN).items] == [(7, "miko")]


def test_regularisation_images(tmp_path):
    _save(tmp_path / "1_girl" / "a.png")
    assert [i.is_reg for i in scan(tmp_path, SubsetSettings(is_reg=True)).items] == [True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "there is no such folder"),
        (lambda p: p.write_text("x"), "is a file, not a folder"),
        (lambda p: p.mkdir(), "no images in it"),
        (lambda p: _save(p / "portraits" / "a.png"), "does not begin with a number"),
        (lambda p: _save(p / "img" / "15_x" / "a.png"), "one level deeper"),
        (lambda p: _save(p / "0_x" / "a.png"), "repeats must be at least 1, got 0"),
    ],
)
def test_folders_that_cannot_be_used_are_errors(tmp_path, make, message):
    folder = tmp_path / "set"
    make(folder)
    found = scan(folder, PLAIN)
    assert message in _by_severity(found, "error")
    with pytest.raises(DataError, match=message):
        refuse_errors(found.problems)


def test_what_is_left_out_is_named(tmp_path):
    _save(tmp_path / "15_x" / "a.png", caption="x")
    _save(tmp_path / "loose.png")
    _save(tmp_path / "notes" / "b.png")
    _save(tmp_path / "15_x" / "c.gif", _image().convert("P"))
    _save(tmp_path / "15_x" / "._a.png")
    (tmp_path / "15_x" / "alone.txt").write_text("x")
    text = _by_severity(scan(tmp_path, PLAIN), "warning")
    for part in (
        "beside the numbered folders",
        "notes: 1 image not trained on: its name does not begin",
        "(c.gif)",
        "without an image (alone",
    ):
        assert part in text
    assert [i.path.name for i in scan(tmp_path, PLAIN).items] == ["a.png"]


def _truncated(path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    _image(1, (200, 150)).save(buffer, kind)
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def _bomb(path: Path) -> None:
    """A PNG whose header claims 65000 x 65000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ends)


BAD = {
    "empty.png": lambda p: p.write_bytes(b""),
    "text.jpg": lambda p: p.write_text("this is no image"),
    "noise.webp": lambda p: p.write_bytes(bytes(range(256)) * 9),
    "cut.png": lambda p: _truncated(p, "PNG"),
    "cut.jpg": lambda p: _truncated(p, "JPEG"),
    "cut.webp": lambda p: _truncated(p, "WEBP"),
    "cut.bmp": lambda p: _truncated(p, "BMP"),
    "bomb.png": _bomb,
}


def test_all_bad_images_are_named_in_one_report(tmp_path):
    for name, make in BAD.items():
        make(tmp_path / name)
    _save(tmp_path / "good.png")
    found = scan(tmp_path, PLAIN)
    assert [i.path.name for i in found.items] == ["good.png"]
    with pytest.raises(DataError) as caught:
        refuse_errors(found.problems)
    text = str(caught.value)
    assert f"{len(BAD)} problems" in text and all(name in text for name in BAD)
    assert "65000x65000 pixels are more than dataset.max_image_pixels" in text


def test_the_pixel_limit_can_be_set(tmp_path):
    _save(tmp_path / "a.png", _image(0, (100, 100)))
    assert "max_image_pixels = 9999" in _by_severity(scan(tmp_path, PLAIN, max_pixels=9999), "error")
    assert not _by_severity(scan(tmp_path, PLAIN, max_pixels=10_000), "error")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485  # the global is as it was


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]), data=st.data())
def test_damaged_files_raise_nothing_but_data_errors(kind, data):
    buffer = io.BytesIO()
    _image(1, (40, 30)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for read in (images.read_header, images.decode):
        try:
            read(bytes(content), 10**6)
        except DataError as error:
            assert str(error)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_after_exif_rotation(tmp_path, suffix, orientation):
    _save(tmp_path / f"a{suffix}", _image(0, (48, 32)), exif=_exif(orientation))
    (item,) = scan(tmp_path, PLAIN).items
    assert item.size == ((32, 48) if orientation > 4 else (48, 32))
    assert verify([item]) == []


def test_odd_kinds_are_taken_and_said(tmp_path):
    frames = [_image(i) for i in range(3)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    _save(tmp_path / "cmyk.jpg", _image().convert("CMYK"))
    _save(tmp_path / "clear.png", _image().convert("RGBA"))
    _save(tmp_path / "palette.png", _image().convert("P"))
    _save(tmp_path / "grey.png", _image().convert("L"))
    found = scan(tmp_path, PLAIN)
    assert len(found.items) == 6 and not _by_severity(found, "error") and verify(found.items) == []
    text = _by_severity(found, "warning")
    for part in (
        "moving.webp: animated, 3 frames",
        "moving.png: animated",
        "CMYK",
        "transparency; laid on white",
    ):
        assert part in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
def test_caption_encodings(tmp_path, encoding):
    _save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes("みこ, 猫耳\r\n".encode(encoding))
    found = scan(tmp_path, PLAIN)
    assert [i.caption for i in found.items] == ["みこ, 猫耳"]
    assert ("Shift-JIS" in report(found.problems)) == (encoding == "cp932")


@pytest.mark.parametrize("data", [b"caf\xe9 ol\xe9 \xff\xfe\xfd", b"a\0b\0c", b"\xff\xfea"])
def test_a_caption_in_no_known_encoding_is_an_error(tmp_path, data):
    _save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(data)
    assert "a.txt: the caption is neither UTF-8" in _by_severity(scan(tmp_path, PLAIN), "error")


def test_caption_files_of_another_extension_are_named(tmp_path):
    _save(tmp_path / "a.png")
    (tmp_path / "a.caption").write_text("right")
    found = scan(tmp_path, PLAIN)
    assert found.items[0].caption == ""
    assert "not of dataset.caption_extension = .txt" in _by_severity(found, "warning")
    other = SubsetSettings(captions=CaptionSettings(caption_extension=".caption"))
    assert scan(tmp_path, other).items[0].caption == "right"
    (tmp_path / "a.txt").write_text("both")
    assert "two caption files" in _by_severity(scan(tmp_path, PLAIN), "warning")


def test_caption_lines(tmp_path):
    _save(tmp_path / "a.png", caption="\n one \n\n two\n")
    _save(tmp_path / "b.png", caption="")
    found = scan(tmp_path, PLAIN)
    assert [i.caption for i in found.items] == ["one\ntwo", ""]
    text = _by_severity(found, "warning")
    assert "more than one caption line" in text and "an empty caption file" in text
    wild = SubsetSettings(captions=CaptionSettings(enable_wildcard=True))
    assert "more than one" not in report(scan(tmp_path, wild).problems)


def test_duplicates_and_shared_names_are_named(tmp_path):
    _save(tmp_path / "1_a" / "a.png", _image(1), caption="one")
    _save(tmp_path / "2_b" / "b.png", _image(1), caption="one")
    _save(tmp_path / "2_b" / "b.jpg", _image(2))
    found = scan(tmp_path, PLAIN)
    text = _by_severity(found, "warning")
    assert "1 image counts twice (b.png = " in text and "shares its caption's name" in text
    assert len(set(order_keys(found.items))) == 3
    assert {i.caption for i in found.items if i.path.stem == "b"} == {"one"}


def test_identity_is_of_content_not_of_names(tmp_path):
    for folder, names in (("one", "ab"), ("two", "yx")):
        for seed, name in enumerate(names):
            _save(tmp_path / folder / f"{name}.png", _image(seed), caption=f"tag{seed}")
    one, two = (scan(tmp_path / f, PLAIN).items for f in ("one", "two"))
    assert identity(one) == identity(two)
    assert sorted(order_keys(one)) == sorted(order_keys(two))
    assert identity(scan(tmp_path / "one", SubsetSettings(repeats=2)).items) != identity(one)
    (tmp_path / "one" / "a.txt").write_text("other")
    assert identity(scan(tmp_path / "one", PLAIN).items) != identity(two)
    _save(tmp_path / "two" / "y.png", _image(9))
    assert identity(scan(tmp_path / "two", PLAIN).items) != identity(one)


@pytest.fixture
def settled(monkeypatch):
    """Believe entries at once, as if each scan came long after the last change."""
    monkeypatch.setattr("lora_lab.data.image_headers._CLOCK_GRAIN_NS", -(10**12))


def test_a_second_scan_reads_no_image(tmp_path, settled, monkeypatch):
    for i in range(3):
        _save(tmp_path / "set" / f"{i}.png", _image(i))
    first = scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache")
    monkeypatch.setattr(
        "lora_lab.data.image_headers.read_bytes", lambda path: pytest.fail(f"{path} was read")
    )
    again = scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache")
    assert again.items == first.items and len(first.items) == 3


def test_an_edited_image_is_read_anew(tmp_path, settled):
    path = _save(tmp_path / "set" / "a.bmp", _image(1))
    (before,) = scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache").items
    old = path.stat()
    _save(path, _image(2))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # same length, same modification time
    (after,) = scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache").items
    assert after.sha256 != before.sha256


def test_a_fresh_entry_is_not_believed(tmp_path, monkeypatch):
    _save(tmp_path / "set" / "a.png")
    scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache")
    reads = []
    real = images.read_bytes
    monkeypatch.setattr("lora_lab.data.image_headers.read_bytes", lambda p: reads.append(p) or real(p))
    scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache")
    assert len(reads) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": {"a.png": {}}}'])
def test_a_damaged_cache_is_made_anew(tmp_path, content):
    _save(tmp_path / "set" / "a.png")
    first = scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(content)
    assert scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache").items == first.items


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path):
    _save(tmp_path / "set" / "a.png")
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert len(scan(tmp_path / "set", PLAIN, cache=tmp_path / "cache").items) == 1


def test_verify_finds_what_headers_hide(tmp_path):
    whole = _save(tmp_path / "a.jpg", _image(0, (200, 150)))
    (tmp_path / "c.png").write_bytes(_damaged_png())
    found = scan(tmp_path, PLAIN)
    seen = []
    problems = verify(found.items, cache=tmp_path / "v", on_image=lambda *n: seen.append(n))
    assert {p.path.name for p in problems} == {"c.png"} and seen[-1] == (2, 2)
    assert len(verify(found.items, cache=tmp_path / "v")) == 1  # the good one is remembered, bad ones are not
    whole.write_bytes(_save(tmp_path / "other.jpg", _image(5)).read_bytes())
    assert "changed since it was scanned" in report(verify(found.items))


def _damaged_png() -> bytes:
    buffer = io.BytesIO()
    _image(3, (64, 64)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 0xFF
    return bytes(data)

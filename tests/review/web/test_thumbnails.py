"""Small copies: made once per content, of the right size, and never in the way of an image."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from lora_lab.review.web.thumbnails import Thumbnails


def png(path: Path, colour: str, size: tuple[int, int] = (600, 900)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_copy_keeps_the_shape_and_the_colours(tmp_path: Path) -> None:
    small = Thumbnails(tmp_path / "cache").small(png(tmp_path / "a.png", "#c04020"), 192)
    with Image.open(io.BytesIO(small.data)) as image:
        assert (image.size, image.format) == ((128, 192), "WEBP")
        red, green, blue = image.convert("RGB").getpixel((64, 96))
    assert abs(red - 0xC0) < 6 and abs(green - 0x40) < 6 and abs(blue - 0x20) < 6
    assert small.media_type == "image/webp"


def test_a_copy_is_made_once_per_content(tmp_path: Path, monkeypatch) -> None:
    first, same = png(tmp_path / "a.png", "red"), png(tmp_path / "b.png", "red")
    thumbnails = Thumbnails(tmp_path / "cache")
    made = thumbnails.small(first, 192)
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("the image was decoded again"))
    assert thumbnails.small(same, 192) == made
    assert Thumbnails(tmp_path / "cache").small(first, 192) == made, "also by a later server"


def test_an_image_that_changed_has_another_copy_and_tag(tmp_path: Path) -> None:
    file = png(tmp_path / "a.png", "red")
    thumbnails = Thumbnails(tmp_path / "cache")
    before = thumbnails.small(file, 192)
    stat = file.stat()
    png(file, "blue")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    after = thumbnails.small(file, 192)
    assert after.tag != before.tag and after.data != before.data


def test_an_image_that_is_small_already_is_sent_as_it_is(tmp_path: Path) -> None:
    file = png(tmp_path / "a.png", "red", (64, 96))
    small = Thumbnails(tmp_path / "cache").small(file, 192)
    assert small.data == file.read_bytes() and small.media_type == "image/png"
    assert not (tmp_path / "cache").exists()


def test_where_nothing_can_be_kept_copies_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, where a folder should be")
    small = Thumbnails(tmp_path / "cache").small(png(tmp_path / "a.png", "red"), 192)
    assert small.media_type == "image/webp"


def test_a_broken_image_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="identify"):
        Thumbnails(tmp_path / "cache").small(tmp_path / "a.png", 192)

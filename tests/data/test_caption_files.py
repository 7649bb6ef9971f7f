"""Captions are read in the encoding they were written in, or refused by name."""

import numpy as np
import pytest
from PIL import Image

from lora_lab.data.caption_files import decoded, read_caption
from lora_lab.data.image_set import refuse_errors
from lora_lab.data.scan import scan
from lora_lab.data.settings import SubsetSettings
from lora_lab.errors import DataError

WESTERN = [
    "a girl, “smile”, red hat", "the girl’s dress, smile", "a portrait – close up",
    "red dress—blue hat, smile", "a café, naïve drawing, crème", "Größe, schöne Mädchen, Straße",
    "piñata, año nuevo, niña", "100€ note, 20° tilt",
    "“smile”", "it’s", "wait… what", "Ça va, garçon, être",
]  # fmt: skip
JAPANESE = [
    "みこ, 笑顔", "猫耳, 少女, 制服", "1girl, 白髪, smile", "テスト", "トリガー, score_9, 黒髪",
    "miko ミコ", "女の子、笑顔", "少女", "眼鏡, glasses", "東京タワー", "Ａｂｃ",
]  # fmt: skip


@pytest.mark.parametrize("text", WESTERN)
def test_windows_1252_is_not_taken_for_shift_jis(text):
    assert decoded(text.encode("cp1252")) == (text, "cp1252")


@pytest.mark.parametrize("text", JAPANESE)
def test_shift_jis(text):
    assert decoded(text.encode("cp932")) == (text, "cp932")


@pytest.mark.parametrize(
    "text", [*WESTERN, *JAPANESE, "девушка, улыбка", "여자, 미소", "女孩,微笑", "🐱 cat"]
)
def test_what_says_its_encoding_is_believed(text):
    assert decoded(text.encode()) == (text, "utf-8")
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert decoded(text.encode(encoding)) == (text, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    ["a girl, smile", "a", "1girl, 笑顔", "a café, smile", "девушка, улыбка", "여자, 미소", "女孩, 微笑"],
)
def test_utf_16_without_a_mark(text, encoding):
    assert decoded(text.encode(encoding)) == (text, encoding)


@pytest.mark.parametrize(
    "data",
    [
        "девушка, улыбка, платье".encode("cp1251"),
        "девушка".encode("koi8-r"),
        "女孩, 微笑, 长发".encode("gbk"),
        "여자, 미소".encode("euc-kr"),
        "1girl, 微笑".encode("gbk"),  # valid UTF-8, of a letter that does not exist
        "1girl, 猫".encode("iso2022_jp"),
        "девушка".encode("utf-16-le"),  # no zero says that it is UTF-16
        "a girl".encode("utf-32-le"),
        bytes(range(256)),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
    ],
)
def test_what_no_caption_comes_of_is_refused(data):
    assert decoded(data) is None


def test_the_report_shows_what_was_read(tmp_path):
    for name, data in (
        ("a", "the girl’s dress, a long caption that goes on and on".encode("cp1252")),
        ("b", "みこ, 笑顔".encode("cp932")),
        ("c", "девушка, улыбка".encode("cp1251")),
    ):
        values = np.full((32, 32, 3), ord(name), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_bytes(data)
    found = scan(tmp_path, SubsetSettings())
    text = "\n".join(map(str, found.problems))
    assert (
        "1 of 3: caption read as Windows-1252 (a.txt: 'the girl’s dress, a long caption that go...')" in text
    )
    assert "1 of 3: caption read as Shift-JIS (b.txt: 'みこ, 笑顔'); save it as UTF-8" in text
    with pytest.raises(
        DataError, match="c.txt: the caption is neither UTF-8, UTF-16, Shift-JIS nor Windows-1252"
    ):
        refuse_errors(found.problems)


def test_captions_that_were_saved_wrongly_are_named(tmp_path):
    for name, text in (("a", "a cafÃ©, â€œsmileâ€\x9d"), ("b", "a caf\ufffd")):
        Image.fromarray(np.full((32, 32, 3), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    text = "\n".join(map(str, scan(tmp_path, SubsetSettings()).problems))
    assert "1 of 2: UTF-8 that a program read as Windows-1252 and saved so (a.txt: 'a cafÃ©" in text
    assert "was 'a café, “smile”'); write the caption again" in text
    assert "1 of 2: letters that were lost in saving (\ufffd) (b.txt); write the caption again" in text


def test_lines_are_stripped(tmp_path):
    (tmp_path / "a.txt").write_bytes("  one \r\n\r\n two\u3000\n three\rfour\u2028five".encode())
    assert read_caption(tmp_path / "a.txt").text == "one\ntwo\nthree\nfour\nfive"

"""Letters that Latin fonts lack: a font of this machine is taken, else what is missing is said once."""

from pathlib import Path

import matplotlib
import pytest

from lora_lab import contact_sheets, fonts

BROUGHT = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_said", set())


def test_latin_text_needs_no_other_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "found", lambda: ("x", Path("x.ttf")))
    assert fonts.file_for(["alpha 8 → 1", "Größe µ × ±", ""]) is None


@pytest.mark.parametrize("text", ["みこ", "猫の絵", "한국어", "中文", "ﾐｺ"])
def test_other_letters_take_the_font_that_is_there(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(fonts, "found", lambda: ("x", Path("x.ttf")))
    assert fonts.file_for(["a", f"run {text}"]) == Path("x.ttf")


def test_what_is_missing_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(fonts, "found", lambda: None)
    for number in range(3):
        contact_sheets.sheet(tmp_path / f"{number}.png", "みこ", [], [contact_sheets.Line("a", "b", [None])])
    said = capsys.readouterr().err
    assert said.count("note: no font here has letters such as みこ") == 1 and "fonts-noto-cjk" in said


def test_a_font_is_one_that_has_the_letters_and_no_font_of_boxes() -> None:
    assert not fonts._has(BROUGHT / "DejaVuSans.ttf") and not fonts._has(BROUGHT / "none.ttf")
    found = fonts.found()
    assert found is None or not found[0].startswith(fonts.STAND_IN) and fonts._has(found[1])


def test_a_contact_sheet_is_drawn_in_that_font(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts, "found", lambda: ("DejaVu Serif", BROUGHT / "DejaVuSerif.ttf"))
    large, small = contact_sheets._fonts(["みこ"])
    assert (large.getname(), large.size, small.size) == (("DejaVu Serif", "Book"), 15, 12)  # type: ignore[union-attr]

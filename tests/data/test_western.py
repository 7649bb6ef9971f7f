"""Windows-1252 is told from the other encodings of one byte per letter; what was saved wrongly is seen."""

import pytest

from lora_lab.data.western import is_western, unscrambled

TEXTS = [
    "une fille à l’école, cheveux châtains, œil bleu", "Mädchen, “süß”, Übung", "flicka, blå ögon",
    "niña, ¿quién?, ¡hola!", "menina, cabelo castanho, coração, não", "ragazza, città, perché",
    "pige, blå øjne, æble", "stúlka, þar, blá augu", "20°C, 5 m², n°1, 1º, 3×4", "© artist, brand™, ½ body",
    "dress – red — blue…", "« une fille »", "10€, £20", "élève, été, créée", "ÉTÉ", "é", "“girl”",
    "50°, smile",
]  # fmt: skip
OTHERS = {
    "cp1250": ["žena, úsměv", "kobieta, uśmiech, włosy", "mała dziewczynka", "róża", "leány, kékszemű",
               "Łódź"],
    "iso8859-2": ["žena, úsměv", "uśmiech"],
    "iso8859-15": ["100€ note", "œuvre"],
    "mac-roman": ["café", "“smile”", "naïve girl"],
    "cp437": ["café", "naïve", "Mädchen"],
    "cp1251": ["девушка", "1girl, лес", "да", "я", "1girl, solo, long hair, blue eyes, на море"],
    "koi8-r": ["девушка", "1girl, solo, long hair, blue eyes, лес"],
    "cp1253": ["κορίτσι, χαμόγελο"],
    "cp1254": ["kız, gülümseme", "şapka, gözlük"],
    "cp1255": ["ילדה"],
    "cp1257": ["mergaitė, šypsena"],
    "gbk": ["女孩, 微笑", "1girl, long hair, blue eyes, solo, 海", "大"],
    "big5": ["1girl, 微笑", "貓"],
    "euc-jp": ["桜, smile", "女の子"],
    "euc-kr": ["여자", "1girl, long hair, blue eyes, 소녀"],
    "cp932": ["①girl", "cat猫", "薔薇"],
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_western_languages_are_seen(text: str) -> None:
    assert is_western(text.encode("cp1252"))


@pytest.mark.parametrize(("encoding", "text"), [(e, t) for e, texts in OTHERS.items() for t in texts])
def test_other_encodings_are_not_taken_for_it(encoding: str, text: str) -> None:
    assert not is_western(text.encode(encoding))


@pytest.mark.parametrize("text", ["café", "“smile”", "it’s", "女の子", "девушка", "20 °C"])
def test_utf_8_that_was_saved_twice_is_seen(text: str) -> None:
    data = text.encode()
    saved = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in data)
    assert unscrambled(saved) == text
    assert unscrambled(text) is None


def test_plain_text_was_not_scrambled() -> None:
    assert unscrambled("a girl") is None

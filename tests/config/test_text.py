"""One rule for text at every door: where a setting is text, its text counts as it stands."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from lora_lab.config import compose, dump, load, parse_value, quoted, settings, whole
from lora_lab.config.compose import from_dict, load_any
from lora_lab.config.text import read_text, split_at_commas, unquoted
from lora_lab.errors import ConfigError

TEXTS = [
    "2024_10_05", "5e2", "2_1", "true", "off", "1.0", "010", "null and void", "みこ", "fotos {neu}", "Café",
    "a: b: c", "x: [", "it's", "a, b", "(smile:1.3), [hat]", "=", "a=b", "<<", "#1", "100%",
    "a\\b", "\\", "nan",
    "'a' and 'b'", '"', "choice(a,b)", "range(1,4)", "@x", "&x", "*", "~", "!tag", "-", "\N{SNOWMAN}",
    "C:\\fotos\\neu",
]  # fmt: skip
"""Texts that number parsers, YAML or Hydra's grammar would make something else of."""

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["dataset.trigger_word", "dataset.path", "train.training_comment", "results"])
def test_text_counts_as_it_stands(key: str, text: str) -> None:
    assert read_text(key, text, {}.__getitem__) == text
    group, _, name = key.rpartition(".")
    config = compose([f"{key}={text}"], checked=False)
    assert getattr(getattr(config, group) if group else config, name) == text


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("null", None), ("'null'", "null"), (" miko ", "miko"), ("' miko '", " miko "), ('"a, b"', "a, b"),
        (r"'it\'s'", "it's"), (r"\${x}", "${x}"), ("${network.type} b", "lora b"), ("$x and ${", "$x and ${"),
    ],
)  # fmt: skip
def test_quotes_null_and_references(raw: str, value: str | None) -> None:
    assert compose([f"dataset.trigger_word={raw}"], checked=False).dataset.trigger_word == value


@pytest.mark.parametrize(
    ("raw", "items"),
    [
        ("[]", []),
        ("[2024_10_05,5e2]", ["2024_10_05", "5e2"]),
        ("['a, b', c]", ["a, b", "c"]),
        ("[{trigger} red, (hat:1.2, big), it's]", ["{trigger} red", "(hat:1.2, big)", "it's"]),
        ("[みこ: b, a)b]", ["みこ: b", "a)b"]),
        (r'["\${x}"]', ["${x}"]),
    ],
)
def test_lists_of_texts(raw: str, items: list[str]) -> None:
    assert compose([f"preview.prompts={raw}"], checked=False).preview.prompts == items


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ('preview.prompts=["${trigger} red"]', ["{trigger}", "preview.prompts"]),
        ("preview.prompts=a red hat", ["is a list", "[a red hat]"]),
        ("train.training_comment=${x}", ["${x}", "no", r"\${x}"]),
        ("dataset.path=${dataset.pth}", ["did you mean dataset.path?"]),
        ("dataset.path=${dataset.path}", ["itself"]),
        ("network.network_dim=みこ", ["network.network_dim must be of type int", "みこ"]),
        ("optimizer=みこ", ["optimizer"]),
        ("みこ=1", ["unknown setting 'みこ'"]),
    ],
)
def test_what_cannot_be_is_said(word: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([word], checked=False)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


def test_a_prompt_in_a_file_may_not_hold_a_shells_trigger() -> None:
    config = compose([], checked=False)
    values = {"preview": {"prompts": ["${trigger} red"]}}
    assert from_dict(values, checked=False).preview.prompts == ["${trigger} red"]
    config.preview.prompts = ["${trigger} red"]
    from lora_lab.config import problems

    assert any("{trigger}" in line for line in problems(config))


@given(ANY_TEXT)
@example("\\${x}")
@example("${")
@example("\\\\'${dataset.path}\\")
@example("null")
def test_any_text_comes_through_the_command_line(text: str) -> None:
    assert read_text("dataset.trigger_word", quoted(text), {}.__getitem__) == text
    assert read_text("preview.prompts", f"[{quoted(text)},{quoted(text)}]", {}.__getitem__) == [text, text]
    assert unquoted(quoted(text)) == text.replace("${", "\\${")
    assert split_at_commas(f"{quoted(text)},x") == [quoted(text), "x"]


@settings_of(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
@example("a ${dataset.path} b")
@example("\\${x}")
@example("\\\\${x}\\")
@example("${")
@example("${a${b}}")
@example("\x85")
@example("a\u2028b\u2029")
def test_any_text_comes_through_a_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("texts", numbered=True) / "config.yaml"
    config = compose([], checked=False)
    config.dataset.trigger_word, config.preview.prompts = text, [text]
    config.optimizer.args = {"x": text}
    dump(config, path)
    assert load(path, checked=False) == config
    assert load_any(path) == config
    path.unlink()
    path.parent.rmdir()


@pytest.mark.parametrize(
    ("key", "cell", "value"),
    [
        ("dataset.trigger_word", "2_1", "2_1"),
        ("dataset.trigger_word", "no", "no"),
        ("dataset.path", "2024_10_05", "2024_10_05"),
        ("network.network_dim", "010", 10),
        ("network.network_dim", "16.0", 16),
        ("network.network_alpha", "1", 1.0),
        ("optimizer.learning_rate", "1e-4", 1e-4),
        ("dataset.flip_aug", "no", False),
        ("dataset.flip_aug", "TRUE", True),
        ("own", "a: b: c", "a: b: c"),
        ("own", "12:30", "12:30"),
        ("own", "2024-01-01", "2024-01-01"),
        ("own", "<<", "<<"),
        ("own", "no", "no"),
        ("own", "1e-4", 1e-4),
        ("own", ".5", 0.5),
        ("own", "nan", "nan"),
    ],
)
def test_cells_of_a_table(key: str, cell: str, value: object) -> None:
    found = parse_value(key, cell)
    assert found == value and type(found) is type(value)


@given(ANY_TEXT)
def test_no_cell_ends_in_an_error(text: str) -> None:
    for key in settings():
        parse_value(key, text)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("1.0", 1), ("2.0", 2), ("3e0", 3), ("1.5", None), ("", None), ("x", None)]
)
def test_whole_numbers_as_spreadsheets_write_them(text: str, number: int | None) -> None:
    assert whole(text) == number


class TestFoldersOfChoices:
    @pytest.mark.parametrize(
        "name", ["a[1]", "a=b", "it's", "#1", "a{b}", "a(b)", "みこ", "a b", "$HOME", "a,b"]
    )
    def test_odd_signs_in_the_path(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        (folder / "optimizer").mkdir(parents=True)
        (folder / "optimizer" / "mine.yaml").write_text("# @package _global_\noptimizer: {name: lion}\n")
        (folder / "network").mkdir()
        (folder / "network" / "mine.yaml").write_text("network_dim: 9\n")
        found = compose(["optimizer=mine", "network=mine"], [str(folder)], checked=False)
        assert (found.optimizer.name, found.network.network_dim) == ("lion", 9)

    def test_a_folder_that_is_not_there(self) -> None:
        with pytest.raises(ConfigError, match="--config-dir /nowhere/at/all: there is no such folder"):
            compose([], ["/nowhere/at/all"])

    @pytest.mark.parametrize("text", ["name: [lion", "\t: x", "a: b: c"])
    def test_a_file_that_is_not_yaml(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "optimizer").mkdir()
        (tmp_path / "optimizer" / "mine.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"mine\.yaml is not readable as YAML"):
            compose(["optimizer=mine"], [str(tmp_path)], checked=False)

    def test_a_file_called_as_a_shipped_one(self, tmp_path: Path) -> None:
        (tmp_path / "optimizer").mkdir()
        (tmp_path / "optimizer" / "lion.yaml").write_text("name: lion\nlearning_rate: 1\n")
        with pytest.raises(ConfigError, match="optimizer=lion is a shipped choice"):
            compose(["optimizer=lion"], [str(tmp_path)], checked=False)


def test_a_comment_with_a_shells_sign_is_loaded_as_it_was_planned(tmp_path: Path) -> None:
    config = compose([r"train.training_comment=\${x}"], checked=False)
    assert config.train.training_comment == "${x}"
    dump(config, tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml", checked=False).train.training_comment == "${x}"

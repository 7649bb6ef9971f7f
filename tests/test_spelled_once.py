"""One Pareto front, one smoothing, and one spelling of a setting, its values and their changes."""

import ast
from pathlib import Path

import pytest

import lora_lab
from lora_lab.axes import axis, scale, show_apart, show_setting
from lora_lab.words import TEXTS, change_of, in_language

PACKAGE = Path(lora_lab.__file__).parent
TREES = {
    str(file.relative_to(PACKAGE)): ast.parse(file.read_text(encoding="utf-8"))
    for file in sorted(PACKAGE.rglob("*.py"))
}
ONCE = {
    "a Pareto front": (("pareto", "front", "dominated", "dominates"), "verdict/front.py"),
    "smoothing": (("running_mean", "smoothed", "smooth", "moving_average", "ewm"), "smoothing.py"),
}
SMOOTHERS = {"ewm", "rolling", "convolve", "savgol_filter", "uniform_filter1d", "gaussian_filter1d"}
"""What other libraries call it."""


LANGUAGES = {"english": "en", "japanese": "ja"}


@pytest.mark.parametrize("what", ONCE)
def test_it_is_written_in_one_module(what: str) -> None:
    names, place = ONCE[what]
    found = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.strip("_") in names
    }
    assert found == {place}


def test_no_curve_is_smoothed_by_another_library() -> None:
    found = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SMOOTHERS
    }
    assert not found, "lora_lab.smoothing.running_mean does"


def test_a_change_is_spelled_in_words_alone() -> None:
    """Nothing but `words` puts an arrow between two values; docstrings may."""
    found = {}
    for file, tree in TREES.items():
        texts = [part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values]
        texts += [value for node in ast.walk(tree) if isinstance(node, ast.Dict) for value in node.values]
        held = [node.value for node in texts if isinstance(node, ast.Constant)]
        arrows = [text for text in held if isinstance(text, str) and (" -> " in text or "} → {" in text)]
        if arrows:
            found[file] = arrows
    assert found == {f"words/{file}.py": [TEXTS[short]["change"]] for file, short in LANGUAGES.items()}


def test_a_value_of_a_setting_is_spelled_with_its_setting() -> None:
    """`show` knows no setting, and writes a path in full: of a setting `show_setting` and `show_apart` do."""
    found = [
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        if file != "axes.py" and not file.startswith(("verdict/advice", "review/browse/matrix"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "show"
        if any(isinstance(part, ast.Attribute) and part.attr == "settings" for part in ast.walk(node))
    ]
    assert not found


@pytest.mark.parametrize(
    ("key", "one", "other", "text"),
    [
        ("optimizer.learning_rate", 1e-4, 0.003, "1e-4 -> 3e-3"),
        ("optimizer.learning_rate", 3e-05, 0.01, "3e-5 -> 0.01"),
        ("network.network_alpha", 16.0, 1, "16 -> 1"),
        ("dataset.flip_aug", False, True, "off -> on"),
        ("dataset.trigger_word", None, "miko", "- -> miko"),
        ("optimizer.name", "adamw", "lion", "adamw -> lion"),
        ("optimizer.args.betas", [0.9, 0.999], (0.95, 0.98), "[0.9, 0.999] -> [0.95, 0.98]"),
        ("base_model.path", "/a/x.safetensors", "C:\\b\\y.safetensors", "x.safetensors -> y.safetensors"),
        ("base_model.path", "/models/a/x.ckpt", "/models/b/x.ckpt", "a/x.ckpt -> b/x.ckpt"),
        ("network.base_weights", ["/a/x.pt"], ["/b/x.pt", "/b/y.pt"], "[x.pt] -> [x.pt, y.pt]"),
        ("base_model.vae", None, "/a/vae", "- -> vae"),
    ],
)
def test_a_change(key: str, one: object, other: object, text: str) -> None:
    said = change_of(key, one, other)
    assert said == text and in_language(said, "ja") == text.replace("->", "→")
    marks = {mark for _, mark in scale(axis(key), [one, other]).ticks}
    assert marks == set(show_apart(key, [one, other])) == set(text.split(" -> "))


def test_paths_are_told_apart_with_as_few_parts_as_can_be() -> None:
    paths = ["/r/a/1/m.pt", "/r/b/1/m.pt", "/r/b/2/m.pt", "/r/b/2/m.pt"]
    assert show_apart("base_model.path", paths) == ["a/1/m.pt", "b/1/m.pt", "b/2/m.pt", "b/2/m.pt"]
    assert [show_setting("base_model.path", path) for path in paths[:2]] == ["m.pt", "m.pt"]
    assert [text for _, text in scale(axis("base_model.path"), paths).ticks] == [
        "a/1/m.pt",
        "b/1/m.pt",
        "b/2/m.pt",
    ]
    assert show_apart("base_model.path", []) == []

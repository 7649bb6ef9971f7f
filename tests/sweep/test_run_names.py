"""One rule for names: folders on any system, files, addresses, and LoRA names in prompts."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.__main__ import main
from lora_lab.store import RunFolder, SweepFolder
from lora_lab.sweep.run_names import distinct, joined, name_problem, run_problem, same_folder, short_value

BAD = [
    "", "a/b", "a\\b", "..", ".a", "a.", "a ", " a", "what?", "my sweep #1",
    "100%41", "a:b", "a*b", '"a"', "<a>",
    "a|b", "a\nb", "a\x00b", "CON", "nul", "com1", "LPT9.txt", "Aux.run", "com\u00b9", 
    "\u200b", "a\u200bb", "-a",
    "猫" * 34, "a" * 81, "\U0001f408", 3, True, None,
]  # fmt: skip
GOOD = [
    "03", "network_alpha=16", "my sweep", "みこ", "Café", "Cafe\u0301", "हिन्दी", "a+b@c", "conan",
    "console", "com",
    "com10", 
    "a.b", "_a", "猫" * 33,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refused(name: object) -> None:
    assert name_problem(name) and run_problem(name)


@pytest.mark.parametrize("name", GOOD)
def test_taken(name: str) -> None:
    assert name_problem(name) is None and run_problem(name) is None


@pytest.mark.parametrize(
    "name", ["report", "plots", "exports", "Anchors", "copier", "plan.json", "sheet.png"]
)
def test_a_run_may_not_be_called_as_what_else_lies_there(name: str) -> None:
    assert "taken" in (run_problem(name) or "")
    assert name_problem(name) is None


def test_nothing_that_lies_in_a_sweeps_folder_can_be_a_runs_name() -> None:
    folder = SweepFolder(Path("sweep"))
    places = [
        name for name, item in vars(SweepFolder).items() if isinstance(item, property) and name != "name"
    ]
    assert len(places) >= 11
    assert not [name for name in places if run_problem(getattr(folder, name).name) is None]


@pytest.mark.parametrize("name", ["猫" * 33, "a=" * 40])
def test_the_longest_files_fit(name: str) -> None:
    file = RunFolder(Path(name)).checkpoint("step00000200").name
    exported = f".{name}-{file}.12345678.safetensors"
    assert len(exported.encode()) <= 255
    assert "=" not in file


@given(st.text(max_size=60), st.text(max_size=60))
def test_derived_names_are_always_good_and_apart(one: str, other: str) -> None:
    names = [joined([("dataset.trigger_word", text)]) for text in (one, other)]
    apart = distinct(names, [one, other + "'"])
    assert all(name_problem(name) is None for name in apart), apart
    assert same_folder(apart[0]) != same_folder(apart[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [(".5", "5"), ("-1", "1"), ("-.5", ".5"), ("a b", "a-b"), ("a,b", "a-b"), ("a/b", "c/b"), ("a#", "a")],
)
def test_other_values_have_other_names(one: str, other: str) -> None:
    assert short_value(one) != short_value(other)


@pytest.mark.parametrize(
    ("value", "key", "name"),
    [
        (".5", "", "0.5"), ("1e-4", "", "1e-4"), ("'16'", "", "16"), ("-1", "", "-1"), ("1.", "", "1"),
        ("lion", "", "lion"), ("/x/photos/", "dataset.path", "photos"), 
        ("a/m.safetensors", "base_model.path", "m"),
    ],
)  # fmt: skip
def test_plain_values_stand_as_they_are(value: str, key: str, name: str) -> None:
    assert short_value(value, key) == name


@pytest.mark.parametrize("name", ["my sweep #1", "what?", "100%41", "con"])
def test_a_sweep_files_name_is_held_to_it_before_anything_runs(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{name}.yaml").write_text("base: [train.max_train_steps=2, preview=off]\n")
    assert main(["plan", str(tmp_path / f"{name}.yaml")]) == 2
    assert "sweep=NAME" in capsys.readouterr().err
    assert main(["plan", str(tmp_path / f"{name}.yaml"), "sweep=fine"]) == 0


@pytest.mark.parametrize("word", ["name=a/b", "name=report", "name=nul", "name=" + "猫" * 80, "sweep=a?b"])
def test_a_single_runs_name_is_held_to_it_before_anything_runs(
    tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "train.max_train_steps=2", "preview=off", f"results={tmp_path}/r", word]) == 2
    assert re.search("name .* (folder|taken|reserved|too long)", capsys.readouterr().err)
    assert not (tmp_path / "r").exists()

"""`-m`: what Hydra multiplies, in our words and with our texts."""

from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.config.multirun import expand
from lora_lab.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (
            ["optimizer=lion", "optimizer.args.weight_decay=0,0.1"],
            [
                ("optimizer=lion", "optimizer.args.weight_decay=0"),
                ("optimizer=lion", "optimizer.args.weight_decay=0.1"),
            ],
        ),
        (["+train.seed=1,2"], [("train.seed=1",), ("train.seed=2",)]),
        (["++train.seed=1"], [("train.seed=1",)]),
        (["+optimizer=lion,adamw"], [("optimizer=lion",), ("optimizer=adamw",)]),
        (["train.seed=range(1,4)"], [("train.seed=1",), ("train.seed=2",), ("train.seed=3",)]),
        (["optimizer=glob(adafactor*)"], [("optimizer=adafactor",), ("optimizer=adafactor_fixed",)]),
        (["network.type=choice(lora,loha)"], [("network.type=lora",), ("network.type=loha",)]),
        (["optimizer.args.x='a,b',c"], [("optimizer.args.x='a,b'",), ("optimizer.args.x=c",)]),
        (
            ["train.seed=1,2", "dataset.path=a,b"],
            [
                ("train.seed=1", "dataset.path=a"),
                ("train.seed=1", "dataset.path=b"),
                ("train.seed=2", "dataset.path=a"),
                ("train.seed=2", "dataset.path=b"),
            ],
        ),
        ([], [()]),
    ],
)
def test_rows_are_plain_overrides_in_hydras_order(words: list[str], rows: list[tuple[str, ...]]) -> None:
    assert expand(words) == rows


@pytest.mark.parametrize(
    ("word", "values"),
    [
        (r"dataset.trigger_word=a\,b,c", ["a,b", "c"]),
        ("dataset.trigger_word='a,b',c", ["a,b", "c"]),
        (r"dataset.trigger_word='a\,b',c", [r"a\,b", "c"]),
        ("dataset.trigger_word=みこ, fotos {neu},x: [", ["みこ", "fotos {neu}", "x: ["]),
        ("dataset.trigger_word=5e2,true,2024_10_05", ["5e2", "true", "2024_10_05"]),
        (r"dataset.trigger_word='\${a','x\'y'", ["${a", "x'y"]),
        ("dataset.trigger_word=null,miko", [None, "miko"]),
        ("dataset.trigger_word=,miko", ["", "miko"]),
        ("preview.prompts=[a {trigger}, (b:1.2)],[みこ]", [["a {trigger}", "(b:1.2)"], ["みこ"]]),
    ],
)
def test_texts_count_as_they_stand(word: str, values: list[object]) -> None:
    configs = [compose(row, checked=False) for row in expand([word])]
    group, _, name = word.partition("=")[0].partition(".")
    assert [getattr(getattr(config, group), name) for config in configs] == values


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train.seed=range(1,1)"], ["train.seed=range(1,1) gives no value", "train.seed=A,B"]),
        (["train.seed=1,2", "train.seed=3,4"], ["train.seed stands more than once", "one list"]),
        (["optimizer=lion,sgd", "+optimizer=adamw"], ["optimizer stands more than once"]),
        (["optimizer=glob(zz*)"], ["no optimizer is called so", "adafactor"]),
        (["train.seed=glob(1*)"], ["glob is for choices", "train.seed=A,B"]),
        (["train.seed=interval(1,3)"], ["range without steps", "train.seed=A,B"]),
        (["train.seed=a,b"], ["train.seed must be of type int, got 'a'", "got 'b'"]),
        (["preview.prompts=[a],b"], ["preview.prompts is a list", "preview.prompts=[b]"]),
        (["~train.seed"], ["cannot delete train.seed"]),
        (["train.seed"], ["write key=value"]),
        (["train.sed=1,2", "optimizer=lionn"], ["did you mean train.seed?", "did you mean lion?"]),
        (["hydra.job.name=x"], ["unknown setting 'hydra.job.name'"]),
    ],
)
def test_what_cannot_be_is_said_and_never_by_hydra(
    words: list[str], parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(words)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "-m" not in str(caught.value).split() and "HYDRA" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a [b]", "x=y", "it's", "#1", "{z}", "(q", "a,b", "みこ"])
def test_folders_of_ones_own_may_be_called_anything(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "optimizer"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: lion\n", encoding="utf-8")
    rows = expand(["optimizer=mine,sgd"], [str(tmp_path / name)])
    assert rows == [("optimizer=mine",), ("optimizer=sgd",)]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        expand(["train.seed=1,2"], [str(tmp_path / "none")])


def test_a_plus_does_no_harm_to_a_choice() -> None:
    assert compose(["+optimizer=lion"], checked=False).optimizer.name == "lion"

"""Sweep files: what rows they make, and what is said of bad ones."""

from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.errors import ConfigError
from lora_lab.sweep import read_sweep, rows_from_overrides, select
from lora_lab.sweep.run_names import name_problem
from lora_lab.sweep.text import read_yaml, value_text


@pytest.fixture
def write(tmp_path: Path):
    def writer(text: str, name: str = "try.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def names(path: Path) -> list[str]:
    return [row.name for row in read_sweep(path).rows]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    return str(caught.value)


class TestRows:
    def test_patterns_in_order(self, write) -> None:
        sweep = read_sweep(write('question: Why?\nbase: [a=1]\npatterns:\n  "10": [b=2]\n  "02": []\n  x:\n'))
        assert [(row.name, row.overrides) for row in sweep.rows] == [("10", ("b=2",)), ("02", ()), ("x", ())]
        assert (sweep.name, sweep.question, sweep.base) == ("try", "Why?", ("a=1",))

    def test_grid_is_a_product_beside_the_patterns(self, write) -> None:
        text = "patterns: {p: [z=1]}\ngrid:\n  optimizer: [adamw, lion]\n  network.network_alpha: [1, 0.5]\n"
        sweep = read_sweep(write(text))
        assert [row.name for row in sweep.rows] == [
            "p",
            "optimizer=adamw,network_alpha=1",
            "optimizer=adamw,network_alpha=0.5",
            "optimizer=lion,network_alpha=1",
            "optimizer=lion,network_alpha=0.5",
        ]
        assert sweep.rows[-1].overrides == ("optimizer=lion", "network.network_alpha=0.5")

    def test_zip_is_one_axis_of_the_grid(self, write) -> None:
        text = "zip:\n  a.x: [1, 2]\n  a.y: [3, 4]\ngrid:\n  a.z: [5, 6]\n"
        assert names(write(text)) == ["z=5,x=1,y=3", "z=5,x=2,y=4", "z=6,x=1,y=3", "z=6,x=2,y=4"]

    def test_replicates_count_the_base(self, write) -> None:
        rows = read_sweep(write("replicates: 3\npatterns: {a: [x=1]}\n")).rows
        assert [(row.name, row.replicate) for row in rows] == [
            ("a", 1),
            ("base", 1),
            ("base-r2", 2),
            ("base-r3", 3),
        ]

    def test_replicates_of_a_pattern_that_is_the_base(self, write) -> None:
        assert names(write('replicates: 2\npatterns: {"03": []}\n')) == ["03", "03-r2"]

    def test_no_rows_is_the_base(self, write) -> None:
        assert names(write("question: one run\n")) == ["base"]

    def test_only(self, write) -> None:
        path = write('patterns: {"01": [], "02": [x=1], "03": [x=2]}\nonly: ["03", "01"]\n')
        assert names(path) == ["01", "03"]
        assert [row.name for row in select(read_sweep(path), ["01"]).rows] == ["01"]
        with pytest.raises(ConfigError, match="unknown row '1'"):
            select(read_sweep(path), ["1"])

    def test_values_keep_their_yaml_12_meaning(self, write) -> None:
        sweep = read_sweep(
            write("grid:\n  train.mixed_precision: [no, fp16]\n  optimizer.learning_rate: [1e-4]\n")
        )
        assert sweep.rows[0].overrides == ("train.mixed_precision=no", "optimizer.learning_rate=0.0001")

    def test_values_that_need_quotes(self, write) -> None:
        sweep = read_sweep(write("grid:\n  preview.negative_prompt: ['a, b', \"it's\"]\n"))
        assert [row.overrides for row in sweep.rows] == [
            ("preview.negative_prompt='a, b'",),
            ("preview.negative_prompt='it\\'s'",),
        ]


BLOCKS = """
base_model: demo
preview:
  prompts: ["{trigger}, a red hat", "(smile:1.2), [b], it's"]
  negative_prompt: 'x: y, "z"'
  seeds: [1, 2]
base:
  dataset: {path: demo, trigger_word: 012}
  optimizer: {args: {weight_decay: 0.5, betas: [0.9, 0.99]}}
  network.network_alpha: 4
patterns:
  plain: {}
  lion: {optimizer: lion, train: {seed: 7}}
  mixed: [optimizer=sgd, {preview: {steps: 3}}]
"""


class TestBlocks:
    def test_they_are_the_base_and_the_rows(self, write) -> None:
        sweep = read_sweep(write(BLOCKS))
        base = compose(sweep.base, checked=False)
        assert base.preview.prompts == ["{trigger}, a red hat", "(smile:1.2), [b], it's"]
        assert (base.preview.negative_prompt, base.preview.seeds) == ('x: y, "z"', [1, 2])
        assert (base.dataset.trigger_word, base.network.network_alpha) == ("012", 4)
        assert base.optimizer.args == {"weight_decay": 0.5, "betas": [0.9, 0.99]}
        assert base.base_model.path == compose(["base_model=demo"], checked=False).base_model.path
        rows = {row.name: compose([*sweep.base, *row.overrides], checked=False) for row in sweep.rows}
        assert rows["plain"] == base
        assert (rows["lion"].optimizer.name, rows["lion"].train.seed) == ("lion", 7)
        assert rows["mixed"].optimizer.name.lower() == "sgd" and rows["mixed"].preview.steps == 3

    @pytest.mark.parametrize("text", ["5e2", "2024_10_05", "true", "012", "1.0", "-3", ".5", "1e-4", "off"])
    @pytest.mark.parametrize(
        "form",
        [
            "grid: {{dataset.trigger_word: [{0}]}}",
            "zip: {{dataset.trigger_word: [{0}]}}",
            "dataset: {{trigger_word: {0}}}",
            "base: {{dataset.trigger_word: {0}}}",
            "patterns: {{a: {{dataset: {{trigger_word: {0}}}}}}}",
        ],
    )
    def test_a_text_without_quotes_is_the_text_it_is(self, write, text: str, form: str) -> None:
        sweep = read_sweep(write(form.format(text)))
        config = compose([*sweep.base, *sweep.rows[0].overrides], checked=False)
        assert config.dataset.trigger_word == text

    def test_texts_in_lists_and_what_is_none(self, write) -> None:
        sweep = read_sweep(write("preview: {prompts: [5e2, true, 012]}\ndataset: {trigger_word: null}\n"))
        config = compose(sweep.base, checked=False)
        assert config.preview.prompts == ["5e2", "true", "012"]
        assert config.dataset.trigger_word is None

    def test_numbers_stay_numbers(self, write) -> None:
        sweep = read_sweep(write("grid: {network.network_dim: [4, 8], dataset.flip_aug: [true]}\n"))
        assert sweep.rows[1].overrides == ("network.network_dim=8", "dataset.flip_aug=true")


@pytest.mark.parametrize(
    "value",
    ["a, b", "it's", "c:\\dir\\", "x=1", "[a]", "{t}, y", "", "null", "true", "a\\'b", "~/x y", "日本"],
)
def test_texts_survive_as_overrides(value: str) -> None:
    config = compose([f"preview.negative_prompt={value_text(value)}"], checked=False)
    assert config.preview.negative_prompt == value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("patern: {}\n", ["unknown key 'patern'", "did you mean patterns?"]),
        ("patterns: {02: []}\n", ["name 2 is not text", "quotes"]),
        ("patterns: {true: []}\n", ["name True is not text"]),
        ('patterns: {"a/b": []}\n', ["name 'a/b' cannot be a folder"]),
        ('patterns: {"..": []}\n', ["cannot be a folder"]),
        ("patterns: {anchors: []}\n", ["'anchors' is taken"]),
        ('patterns: {"a": [], "A": [x=1]}\n', ["row 'A' has the same folder as row 'a'"]),
        ('patterns: {"a": [], "a": [x=1]}\n', ["line 1", "'a' stands twice"]),
        ("patterns: [a=1]\n", ["patterns must name its rows"]),
        ('patterns: {"a": [7]}\n', ["row 'a' holds 7", "KEY=VALUE"]),
        ("base: [a.b=1]\nprevieww: {steps: 1}\n", ["unknown key 'previeww'", "did you mean preview"]),
        ("network_dim: 4\n", ["unknown key 'network_dim'", "did you mean network.network_dim?"]),
        (
            "base: [preview.steps=1]\npreview: {steps: 2}\n",
            ["preview.steps stands in base and beside it"],
        ),
        ('patterns: {"a": [x]}\n', ["row 'a'", "write key=value"]),
        ("base: 7\n", ["base holds 7", "KEY=VALUE"]),
        ("grid: {a.b: 1}\n", ["grid: a.b needs a list of values"]),
        ("grid: {a.b: []}\n", ["grid: a.b needs a list of values, as in a.b: [1, 16]"]),
        ("grid: {a.b: [1, 1]}\n", ["holds a value twice"]),
        ("zip: {a: [1, 2], b: [1]}\n", ["equally many values: a has 2, b has 1"]),
        ("zip: {a: [1]}\ngrid: {a: [2]}\n", ["a stands in grid and in zip"]),
        ("replicates: 0\n", ["replicates must be", "at least 1"]),
        ("replicates: true\n", ["replicates must be"]),
        ("only: [9]\n", ["only must be a list of row names in quotes"]),
        ('only: ["9"]\n', ["unknown row '9'; known: base"]),
        ("question: [a]\n", ["question must be text"]),
        ("a: [b\n", ["line 2", "not valid YAML"]),
        ("just text\n", ["holds no keys"]),
        ("", ["holds no keys"]),
    ],
)
def test_bad_files(write, text: str, parts: list[str]) -> None:
    path = write(text)
    message = refusal(path)
    for part in [str(path), *parts]:
        assert part in message


def test_a_value_that_stands_twice_is_one_mistake(write) -> None:
    assert len(refusal(write("grid: {a.b: [1, 1]}\n")).splitlines()) == 1


def test_all_mistakes_at_once(write) -> None:
    message = refusal(write("replicates: 0\npatterns: {2: [x]}\nquestions: x\n"))
    assert len(message.splitlines()) == 4


def test_missing_file_names_its_neighbours(write, tmp_path: Path) -> None:
    write("question: x\n", "demo.yaml")
    assert "holds demo.yaml" in refusal(tmp_path / "dmo.yaml")


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refusal(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(tmp_path)


class TestMultirun:
    def test_named_by_what_differs(self) -> None:
        jobs = [
            ["dataset=demo", f"optimizer={o}", f"network.network_alpha={a}"] for o in "ab" for a in (1, 16)
        ]
        sweep = rows_from_overrides(jobs)
        assert sweep.base == ("dataset=demo",)
        assert [row.name for row in sweep.rows] == [
            "optimizer=a,network_alpha=1",
            "optimizer=a,network_alpha=16",
            "optimizer=b,network_alpha=1",
            "optimizer=b,network_alpha=16",
        ]

    def test_equal_last_parts_are_written_in_full(self) -> None:
        rows = rows_from_overrides(
            [["preview.batch_size=1", "x.batch_size=2"], ["preview.batch_size=3", "x.batch_size=4"]]
        )
        assert rows.rows[0].name == "preview.batch_size=1,x.batch_size=2"

    def test_every_name_is_a_folder(self) -> None:
        jobs = [[f"base_model.path={p}"] for p in ("/a/b.safetensors", "'c d/e, f'", "../", "x" * 300)]
        rows = rows_from_overrides(jobs).rows
        assert [name_problem(row.name) for row in rows] == [None] * 4
        assert rows[0].name == "path=b"

    def test_names_that_would_be_the_same_are_told_apart_by_their_source(self) -> None:
        jobs = [["base_model.path=/a/m.ckpt"], ["base_model.path=/b/m.ckpt"]]
        found = [row.name for row in rows_from_overrides(jobs).rows]
        assert len(set(found)) == 2 and all(name.startswith("path=m-") for name in found)
        assert found == [row.name for row in rows_from_overrides(jobs).rows]

    def test_one_job(self) -> None:
        assert rows_from_overrides([["optimizer=lion"]]).rows[0].name == "optimizer=lion"
        assert rows_from_overrides([[]]).rows[0].name == "base"

    def test_the_same_job_twice_is_one_row(self) -> None:
        assert len(rows_from_overrides([["a=1"], ["a=2"], ["a=1"]]).rows) == 2

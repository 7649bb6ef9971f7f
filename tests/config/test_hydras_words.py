"""What is wrong in files of one's own is said in our words: the file, the key, what is meant."""

from pathlib import Path

import pytest

from lora_lab.config import compose, dump, load
from lora_lab.errors import ConfigError


@pytest.mark.parametrize(
    ("choice", "text", "says"),
    [
        ("optimizer=a", "- a\n", "optimizer/a.yaml: it is a list, and has to hold `key: value` lines"),
        ("optimizer=b", "nmae: x\n",
         "optimizer/b.yaml: unknown setting 'optimizer.nmae'; did you mean optimizer.name?"),
        ("optimizer=c", "name: ${x}\n", r"optimizer.name: ${x} refers to no setting; as text it is \${x}"),
        ("optimizer=d", "name: ${a b\n", "optimizer/d.yaml: name: cannot read the reference in it"),
        ("optimizer=e", "learning_rate: fast\n",
         "optimizer/e.yaml: optimizer.learning_rate must be of type float | None, got 'fast'"),
        ("optimizer=f", "args: 5\n", "optimizer.args must be of type `name: value` lines"),
        ("optimizer=g", "defaults:\n  - nope\nname: sgd\n",
         "optimizer/g.yaml: there is no optimizer 'nope': it needs a file optimizer/nope.yaml"),
        ("optimizer=h", "5\n", "optimizer/h.yaml: it has to hold `key: value` lines"),
        ("optimizer=i", "name: ${oc.env:NOPE}\n", "${oc.env:NOPE} refers to no setting"),
        ("base_model=j", "path: m\n", "there is no metric 'j': it needs a file metric/j.yaml"),
        ("recipe=k", "# @package _global_\ntrain:\n  sed: 5\n",
         "recipe/k.yaml: unknown setting 'train.sed'; did you mean train.seed?"),
        ("recipe=l", "# @package _global_\ntrain:\n  seed: x\n",
         "recipe/l.yaml: train.seed must be of type int, got 'x'"),
        ("recipe=m", "# @package _global_\ndefaults:\n  - override /optimizer: nix\n",
         "there is no optimizer 'nix'"),
        ("recipe=n", "# @package _global_\ndefaults: 5\n", "defaults must be a list"),
        ("recipe=o", "train: {seed: 1}\n", "recipe/o.yaml: without `# @package _global_`"),
        ("recipe=p", "# @package _global_\n- a\n", "recipe/p.yaml: it is a list"),
    ],
)  # fmt: skip
def test_a_file_of_ones_own(tmp_path: Path, choice: str, text: str, says: str) -> None:
    group, _, name = choice.partition("=")
    file = tmp_path / group / f"{name}.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        compose([choice], [str(tmp_path)], checked=False)
    message = str(caught.value)
    assert says in message and "\n" not in message
    for word in ("full_key", "OptimizerConfig", "Interpolation", "composing", "search path", "object_type"):
        assert word not in message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed: 23", "seed: x", "train.seed must be of type int, got 'x'"),
        ("seed: 23", "sed: 23", "unknown setting 'train.sed'; did you mean train.seed?"),
    ],
)
def test_a_runs_own_config_edited_by_hand(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "config.yaml"
    dump(compose(["train.seed=23"], checked=False), file)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: {says}"

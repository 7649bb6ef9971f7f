"""`Resolved` as plain values, and that the worker runs what the planner said, with no second rule."""

import ast
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import lora_lab
from lora_lab.config import CONF_DIR, RunConfig, compose
from lora_lab.demo.dataset import write_dataset
from lora_lab.effective import Facts, examine, resolve
from lora_lab.errors import RunFolderError
from lora_lab.resolved import Resolved
from lora_lab.run.task import Task
from lora_lab.store import RunFolder, read_record
from lora_lab.sweep import plan, read_sweep
from lora_lab.sweep.launch import prepare
from tests.run.acting import BASE, TRIALS

PACKAGE = Path(lora_lab.__file__).parent
PLACES = {"name", "sweep", "results", "cache", "device", "engine", "stop"}
"""Where, when and beside which others a run is trained: nothing that it does by itself."""
GROUPS = {item.name for item in fields(RunConfig)} - PLACES
WORKER = ("run", "train", "networks", "losses", "preview")
"""What works on a run; what it does, it takes from `Resolved`."""


def as_bytes(resolved: Resolved) -> bytes:
    return json.dumps(resolved.to_plain(), sort_keys=True).encode()


CASES = [(*trial.beside, f"{key}={trial.value}") for key, trial in TRIALS.items()]


@pytest.mark.parametrize("words", CASES, ids=lambda words: words[-1])
def test_plain_values_give_an_equal_one_back(words: tuple[str, ...]) -> None:
    names = ("base", "base_2", "family", "pictures", "others", "glass", "silent", "lora", "cache", "results")
    given = [word.format(**dict.fromkeys(names, "here")) for word in (*BASE, *words)]
    found = resolve(compose(given), Facts(from_file={"dataset.keep_tokens": (1, 2)}), {"dataset": "d"})
    again = Resolved.from_plain(json.loads(as_bytes(found)))
    assert as_bytes(again) == as_bytes(found)
    assert again.fingerprint == found.fingerprint and again.facts == found.facts


@pytest.mark.parametrize("damage", [{"facts": 3}, {"inert": [{"key": "a"}]}, {"train": [1]}, {"loss": None}])
def test_damaged_values_are_refused_in_one_sentence(damage: dict[str, Any]) -> None:
    found = resolve(compose(["base_model=demo", "dataset.path=d"]), Facts()).to_plain() | damage
    with pytest.raises(RunFolderError, match="resolved settings are damaged"):
        Resolved.from_plain(found)


def test_what_a_newer_version_wrote_is_left_out() -> None:
    found = resolve(compose(["base_model=demo", "dataset.path=d"]), Facts()).to_plain()
    found["of_the_future"], found["train"]["of_the_future"] = 1, 2
    assert Resolved.from_plain(found).train.seed == 23


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("images") / "set", images=2, seed=0).parent


SWEEPS = sorted((CONF_DIR.parent / "sweeps").glob("*.yaml"))
CONF = [
    f"{file.parent.name}={file.stem}"
    for group in ("optimizer", "lr_scheduler", "network", "loss", "preview", "metric")
    for file in sorted((CONF_DIR / group).glob("*.yaml"))
]
NEED_MORE = {"metric=models", "lr_scheduler=piecewise_constant", "lr_scheduler=adafactor"}
"""Conf files that are no run without a value of the user's."""


def _planned_and_worked(extra: list[str], sweep: Path, tmp_path: Path) -> list[tuple[bytes, bytes]]:
    made = plan(read_sweep(sweep), [*extra, f"results={tmp_path}/results", f"cache={tmp_path}/cache"])
    prepare(made, read_sweep(sweep))
    found = []
    for row in made.rows:
        folder = made.folder.run(row.name)
        recorded = read_record(folder).resolved
        task = Task.open(RunFolder(folder.path))
        assert task is not None
        task.resolve(made.device_type)
        task.lock.release()
        found.append((json.dumps(recorded, sort_keys=True).encode(), as_bytes(task.resolved)))
    return found


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda file: file.stem)
def test_the_worker_resolves_a_shipped_sweep_as_the_planner_did(
    sweep: Path, images: Path, tmp_path: Path
) -> None:
    extra = ["base_model.path=demo", f"dataset.path={images}", "device=cpu", "base_model.family=auto"]
    for planned, worked in _planned_and_worked(extra, sweep, tmp_path):
        assert planned == worked


def test_the_worker_resolves_every_conf_file_as_the_planner_did(images: Path, tmp_path: Path) -> None:
    rows = {f"r{number}": [text] for number, text in enumerate(CONF) if text not in NEED_MORE}
    sweep = tmp_path / "conf.yaml"
    base = ["base_model=demo", "device=cpu", f"dataset.path={images}", "optimizer.learning_rate=1e-4"]
    sweep.write_text(json.dumps({"base": base, "patterns": rows}))
    for planned, worked in _planned_and_worked([], sweep, tmp_path):
        assert planned == worked


def test_the_same_question_is_answered_alike_twice(images: Path) -> None:
    config = compose(["base_model=demo", f"dataset.path={images}"])
    assert as_bytes(examine(config, "cpu").resolved) == as_bytes(examine(config, "cpu").resolved)


def _fields_of_configs(tree: ast.AST) -> set[str]:
    """`config.GROUP` wherever something called config, or a task's config, is asked."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr not in GROUPS:
            continue
        owner = node.value
        name = (
            owner.id
            if isinstance(owner, ast.Name)
            else owner.attr
            if isinstance(owner, ast.Attribute)
            else ""
        )
        if name in ("config", "own_config", "run_config"):
            found.add(f"{name}.{node.attr}")
    return found


@pytest.mark.parametrize("part", WORKER)
def test_nothing_of_the_worker_asks_a_config_what_to_do(part: str) -> None:
    asked = {
        str(file.relative_to(PACKAGE)): found
        for file in sorted((PACKAGE / part).rglob("*.py"))
        if (found := _fields_of_configs(ast.parse(file.read_text())))
    }
    assert not asked, f"take it from Resolved: {asked}"


def test_v_prediction_is_decided_in_one_place() -> None:
    """Only its rule chooses between what a model says of itself and what a config forces."""
    users = [
        str(file.relative_to(PACKAGE))
        for file in sorted(PACKAGE.rglob("*.py"))
        if "v_parameterization is None" in file.read_text() or "forced is None" in file.read_text()
    ]
    assert users == ["effective/rules/base_model.py"]

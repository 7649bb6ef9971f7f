"""`Resolved` as plain values, and that the worker runs what the planner said, with no second rule."""

import ast
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import lora_lab
from lora_lab.config import CONF_DIR, SWEEPS_DIR, RunConfig, compose, groups
from lora_lab.effective import Facts, examine, resolve
from lora_lab.effective.rules import memory
from lora_lab.errors import RunFolderError
from lora_lab.lora_files.disk import save_lora
from lora_lab.resolved import Resolved
from lora_lab.run.task import Task
from lora_lab.store import RunFolder, read_record
from lora_lab.sweep import plan, read_sweep
from lora_lab.sweep.launch import prepare
from tests import tiny
from tests.run.acting import BASE, PREVIEWS, TRIALS
from tests.run.trial_places import write_places

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
    names = ("base", "base_2", "family", "images", "others", "glass", "silent", "lora", "cache", "results")
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


LORA = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 32, 1, 1),
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": (32, 4, 1, 1),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | Path]:
    """What trials name in braces, and a base model of every family."""
    root = tmp_path_factory.mktemp("places")
    save_lora(root / "lora.safetensors", {key: torch.ones(shape) for key, shape in LORA.items()}, {})
    families = {family: tiny.folder(family) for family in tiny.FAMILIES}
    own = {"lora": root / "lora.safetensors", "results": root / "results", "cache": root / "cache"}
    return {**write_places(root), **families, **own}


SWEEPS = sorted(SWEEPS_DIR.glob("*.yaml"))
CHOICES = [f"{group}={name}" for group, names in groups().items() for name in names]
"""Every file under conf/, but for the base of all."""
OF_THE_SWEEP = [choice for choice in CHOICES if choice.startswith("engine=")]
OF_A_ROW = [choice for choice in CHOICES if choice not in OF_THE_SWEEP]
NEEDED = {
    "lr_scheduler=adafactor": ["optimizer=adafactor"],
    "base_model=sd2": ["base_model.path={sd2}"],
    "base_model=sdxl": ["base_model.path={sdxl}"],
    **{f"recipe={name}": ["base_model=sd15"] for name in ("copier", "copier_1x800", "parameters")},
    "recipe=parameters_v": ["base_model=sd15", "base_model.v_parameterization=true"],
    **{f"recipe=style_locon{more}": ["base_model.path={sdxl}"] for more in ("", "_1x30", "_2x150")},
}
"""What a choice is no run without, beside a base model, images and a learning rate."""
WITH_IMAGES = (
    "base_model.path={base}",
    "dataset.path={images}",
    "device=cpu",
    "optimizer.learning_rate=1e-4",
    "results={results}",
    "cache={cache}",
)

Places = dict[str, str | Path]
Rows = dict[str, list[str]]


def _write_sweep(base: Sequence[str], rows: Rows, places: Places, file: Path) -> Path:
    """A sweep file with rows by name."""
    filled = {name: [word.format(**places) for word in words] for name, words in rows.items()}
    file.write_text(json.dumps({"base": [word.format(**places) for word in base], "patterns": filled}))
    return file


def _refuse_otherwise(sweep: Path, extra: Sequence[str] = ()) -> int:
    """Plan a sweep as the planner does, then resolve its run folders as workers do, and compare the bytes.

    Workers are other processes: nothing that the planner found is known to them, nor in which order.

    Returns:
        How many runs were compared.
    """
    made = plan(read_sweep(sweep), extra)
    prepare(made, read_sweep(sweep))
    for module in list(sys.modules.values()):
        if module.__name__.startswith(("lora_lab.effective.", "lora_lab.data.", "lora_lab.training_data")):
            for found in [item for item in vars(module).values() if hasattr(item, "cache_clear")]:
                found.cache_clear()
    wrong = []
    for row in reversed(made.rows):
        folder = made.folder.run(row.name)
        planned = json.dumps(read_record(folder).resolved, sort_keys=True).encode()
        task = Task.open(RunFolder(folder.path))
        assert task is not None
        task.resolve(made.device_type)
        task.lock.release()
        if planned != as_bytes(task.resolved) or planned != as_bytes(row.resolved):
            wrong.append(row.name)
    assert not wrong, "the worker would run something else than was planned"
    return len(made.rows)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda file: file.stem)
def test_the_worker_resolves_a_shipped_sweep_as_the_planner_did(
    sweep: Path, places: Places, tmp_path: Path
) -> None:
    extra = ["base_model.path=demo", f"dataset.path={places['images']}", "device=cpu"]
    extra += ["base_model.family=auto", f"results={tmp_path}/results", f"cache={tmp_path}/cache"]
    assert _refuse_otherwise(sweep, extra) == len(read_sweep(sweep).rows)


def test_the_worker_resolves_every_conf_file_as_the_planner_did(places: Places, tmp_path: Path) -> None:
    shipped = [file.relative_to(CONF_DIR) for file in CONF_DIR.rglob("*") if file.is_file()]
    assert len(CHOICES) == len(shipped) - 1, "all but config.yaml are choices"
    rows = {choice.replace("=", "-"): [choice, *NEEDED.get(choice, [])] for choice in OF_A_ROW}
    sweep = _write_sweep(WITH_IMAGES, rows, places, tmp_path / "conf.yaml")
    assert _refuse_otherwise(sweep) == len(OF_A_ROW)


@pytest.mark.parametrize("choice", OF_THE_SWEEP)
def test_the_worker_resolves_whatever_started_it(choice: str, places: Places, tmp_path: Path) -> None:
    sweep = _write_sweep([*WITH_IMAGES, choice], {"only": []}, places, tmp_path / f"{choice[7:]}.yaml")
    assert _refuse_otherwise(sweep) == 1


def test_the_worker_resolves_every_setting_that_acts_as_the_planner_did(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda _: object())  # as if xformers were here
    rows = {key: [*trial.beside, f"{key}={trial.value}"] for key, trial in TRIALS.items()}
    rows |= {key: ["preview=demo", f"{key}={value}"] for key, value in PREVIEWS.items()}
    sweep = _write_sweep([*BASE, "device=cuda"], rows, places, tmp_path / "settings.yaml")
    assert _refuse_otherwise(sweep) == len(TRIALS) + len(PREVIEWS)


def test_the_same_question_is_answered_alike_twice(places: Places) -> None:
    config = compose(["base_model=demo", f"dataset.path={places['images']}"])
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

"""The functions for programs, used as the module's own example uses them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lora_lab
from lora_lab.errors import RunFolderError
from lora_lab.store import SweepFolder, append_score_line
from lora_lab.store.verdicts import read_verdicts
from tests.sweep.trained import AtOnce

BASE = ["base_model=demo", "dataset=demo", "optimizer=adamw", "train.max_train_steps=2", "preview=off"]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = {"reference": [], "alpha": ["network.network_alpha=1"]}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"base": BASE, "patterns": rows}, sort_keys=False))
    return path


def test_from_a_sweep_file_to_a_verdict(sweep: Path) -> None:
    plan = lora_lab.plan(sweep)
    assert [(row.name, row.status) for row in plan.rows] == [("reference", "planned"), ("alpha", "planned")]
    seen: list[str] = []
    outcome = lora_lab.launch(sweep, engine=AtOnce(), report=lambda event: seen.append(event.kind))
    assert outcome.statuses == {"reference": "done", "alpha": "done"}
    assert {row["run"] for row in lora_lab.table(outcome.folder.path)} == {"reference", "alpha"}
    found = lora_lab.evidence(outcome.folder.path)
    assert [run.name for run in found.runs] == ["reference", "alpha"]
    verdict = lora_lab.judge(found)
    assert verdict.evidence.name == "small"
    assert read_verdicts(outcome.folder) == [], "nothing has a score yet"
    assert {row.status for row in lora_lab.plan(sweep).rows} == {"done"}


def test_the_readmes_example_runs(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert example.count('"sweeps/demo.yaml"') == 2
    code = example.replace("sweeps/demo.yaml", str(sweep)).replace("/data/results", str(sweep.parent / "out"))
    code = code.replace(', metric="likeness"', "")  # this engine draws nothing that could be measured
    launch = lora_lab.launch
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lora_lab, "launch", lambda *given: launch(*given, engine=AtOnce()))
        exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[('reference', 'planned', 2), ('alpha', 'planned', 2)]")
    assert {row.status for row in lora_lab.plan(sweep, [f"results={sweep.parent / 'out'}"]).rows} == {"done"}


def test_a_verdict_is_kept_as_that_of_the_command_line_is(sweep: Path) -> None:
    folder = lora_lab.launch(sweep, engine=AtOnce()).folder
    for look, values in enumerate(((80.0, 60.0), (70.0, 65.0)), start=1):
        for run, value in zip(("reference", "alpha"), values, strict=True):
            (row,) = (row for row in lora_lab.table(folder.path) if row["run"] == run)
            place = {"run": run, "tag": row["tag"], "position": 0, "value": value}
            append_score_line(folder, "score", session="s", rater="anna", **place)
        verdict = lora_lab.judge(lora_lab.evidence(folder.path))
        assert lora_lab.judge(lora_lab.evidence(folder.path)).look == verdict.look == look
        assert len(read_verdicts(folder)) == look, "the same scores again are no new look"
    assert lora_lab.judge(lora_lab.evidence(folder.path), looks={}).look == 1, (
        "who counts himself is believed"
    )


def test_one_run_folder_in_this_process(sweep: Path) -> None:
    from lora_lab.sweep import read_sweep
    from lora_lab.sweep.launch import prepare

    prepare(lora_lab.plan(sweep), read_sweep(sweep))
    run = SweepFolder(Path("results/small")).run("alpha")
    assert lora_lab.train_run(run.path).status == "done"
    assert list(run.path.glob("checkpoints/*.safetensors"))
    with pytest.raises(RunFolderError):
        lora_lab.train_run("results")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, lora_lab; assert 'lora_lab.api' not in sys.modules; lora_lab.plan; "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    assert "plan" in dir(lora_lab)
    with pytest.raises(AttributeError, match="has no attribute 'plans'"):
        lora_lab.plans  # noqa: B018

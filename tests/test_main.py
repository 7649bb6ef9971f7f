"""The command line from the outside: words in, exit code and text out."""

import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import lora_lab
from lora_lab import config
from lora_lab.__main__ import main
from lora_lab.cli import COMMANDS, parse, start
from lora_lab.cli.command import Command
from lora_lab.errors import ModelError
from lora_lab.run.lock import FolderLock
from lora_lab.store import Checkpoint, RunRecord, SweepFolder, write_record
from lora_lab.store.locks import is_locked
from tests.material import write_images

ROOT = Path(lora_lab.__file__).parent.parent
DEMO = ("base_model=demo", "dataset=demo")


def run(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "lora_lab", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
    )


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepFolder:
    monkeypatch.chdir(tmp_path)
    folder = SweepFolder(tmp_path / "results" / "colours")
    for name, alpha in (("red", 1), ("blue", 2)):
        made = config.compose([*DEMO, f"network.network_alpha={alpha}"], checked=False)
        config.dump(made, folder.run(name).config_file)
        points = [Checkpoint("000001", f"checkpoints/{name}.safetensors", 1, 10, 20, loss=0.125)]
        write_record(folder.run(name), RunRecord("done", checkpoints=points))
    return folder


LEAVES = [
    *((item.name, item) for item in COMMANDS if not item.verbs),
    *((f"{item.name} {verb.name}", verb) for item in COMMANDS for verb in item.verbs),
]


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_every_command_has_help_that_ends_in_an_example(
    name: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"  lora-lab {name} " in text.split("example:")[1]


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_every_example_parses(name: str, command: Command) -> None:
    for line in command.example.splitlines():
        words = shlex.split(line)
        assert words[0] == "lora-lab"
        assert parse(words[1:]).command in [item for _, item in LEAVES]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {item.name} " in text and item.summary in text for item in COMMANDS)


def test_no_command_or_an_unknown_one_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["swep"]) == 2
    assert "did you mean sweep?" in capsys.readouterr().err


def test_the_module_can_be_run(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert done.returncode == 0 and lora_lab.__version__ in done.stdout


def test_a_table_is_printed_and_exported(
    sweep: SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", "results/colours"]) == 0
    text = capsys.readouterr().out
    assert "network_alpha=1" in text and "0.125" in text
    assert main(["table", "sweeps/colours.yaml", "--json"]) == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == ["blue", "red"]
    assert main(["table", "colours", "--csv", "--no-timings"]) == 0
    assert "seconds" not in capsys.readouterr().out
    assert main(["table", "colours", "--all", "-o", "all.csv"]) == 0
    assert "train.seed" in (tmp_path / "all.csv").read_text()


def test_missing_results_are_named(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "results/colors"]) == 2
    text = capsys.readouterr().err
    assert "there are no results of results/colors" in text and "holds colours" in text


def test_settings_are_found_by_name_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "alpha"]) == 0
    text = capsys.readouterr().out
    assert "network.network_alpha" in text and "train.seed" not in text
    assert main(["settings", "alpah"]) == 2
    assert "alpah" in capsys.readouterr().err
    assert main(["settings", "--json"]) == 0
    assert {row["key"] for row in json.loads(capsys.readouterr().out)} == set(config.settings())


def test_an_unknown_setting_is_one_message_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *DEMO, "network.netwrok_alpha=1"]) == 2
    text = capsys.readouterr().err
    assert "unknown setting 'network.netwrok_alpha'; did you mean network.network_alpha?" in text
    assert "Traceback" not in text


def test_multirun_says_all_that_is_wrong_in_our_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", *DEMO, "optimizer=adamw,lionn", "network.network_alpha=1,x"]) == 2
    text = capsys.readouterr().err
    assert "unknown optimizer 'lionn'; did you mean lion?" in text
    assert "network.network_alpha must be of type float" in text


def test_a_list_of_values_needs_multirun(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *DEMO, "optimizer=adamw,lion"]) == 2
    assert "use -m" in capsys.readouterr().err


def test_the_config_that_would_run_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *DEMO, "optimizer=lion", "--cfg", "job", "-p", "optimizer"]) == 0
    assert "name: lion" in capsys.readouterr().out
    assert main(["train", *DEMO, "--cfg", "job", "-p", "optimiser"]) == 2


@pytest.mark.parametrize(
    ("words", "sweep_name", "names"),
    [
        ((*DEMO, "optimizer=lion"), "train", ["base_model=demo,dataset=demo,optimizer=lion"]),
        ((*DEMO, "name=mine", "sweep=first", "results=/r"), "first", ["mine"]),
        (
            ("-m", *DEMO, "optimizer=lion,adamw"),
            "base_model=demo,dataset=demo",
            ["optimizer=lion", "optimizer=adamw"],
        ),
        (("-m", *DEMO, "sweep=s", "optimizer=lion,adamw"), "s", ["optimizer=lion", "optimizer=adamw"]),
    ],
)
def test_names_follow_from_the_words(
    words: tuple[str, ...], sweep_name: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(start, "_start", lambda rows, *rest: made.append((rows, rest)) or 0)
    assert main(["train", *words]) == 0
    ((rows, (extra, *_)),) = made
    assert rows.name == sweep_name
    assert [row.name for row in rows.rows] == names
    assert extra == [word for word in words if word.startswith("results=")]


def test_a_name_is_for_a_single_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", *DEMO, "name=x", "optimizer=lion,adamw"]) == 2
    assert "sweep=" in capsys.readouterr().err


def test_multirun_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "_start", lambda *_: 0)
    assert main(["train", "-m", *DEMO, "optimizer=lion,adamw"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_own_config_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("name: adamw\nlearning_rate: 0.125\n")
    made = []
    monkeypatch.setattr(start, "_start", lambda rows, *_: made.append(rows) or 0)
    words = ["train", "-m", *DEMO, "optimizer=mine,lion", "--config-dir", str(tmp_path)]
    assert main(words) == 0
    assert [row.name for row in made[0].rows] == ["optimizer=mine", "optimizer=lion"]


def test_a_missing_sweep_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sweeps/nothing.yaml"]) == 2
    assert "sweeps/nothing.yaml" in capsys.readouterr().err


def test_a_shipped_sweep_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "sweeps/demo.yaml"):
        rows, folder = start.read(name, ["lion"])
        assert rows.name == "demo" and [row.name for row in rows.rows] == ["lion"] and folder is None
    (tmp_path / "demo.yaml").write_text("patterns: {'my-own': []}")
    assert [row.name for row in start.read("demo.yaml", [])[0].rows] == ["my-own"]


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(tmp_path)]) == 2
    assert "holds no sweep.yaml" in capsys.readouterr().err


def test_our_errors_are_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise ModelError("model.ckpt is a LoRA, not a checkpoint")

    monkeypatch.setattr(start, "plan", refuse)
    assert main(["plan", "x.yaml"]) == 2
    assert capsys.readouterr().err == "lora-lab: model.ckpt is a LoRA, not a checkpoint\n"


def test_a_disk_that_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(start, "plan", lambda given: (tmp_path / "gone" / "x").read_text())
    assert main(["plan", "x.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lora-lab: {tmp_path}/gone/x: No such file or directory; ")
    assert "fault in lora-lab" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "results={file}"], "results={file}: {file} is a file, not a folder; give results a "),
        (["train", "results={file}/deep/er"], "results={file}/deep/er: {file} is a file, not a folder"),
        (["train", "-m", "train.seed=1,2", "results={file}/x"], "results={file}/x: {file} is a file"),
        (["train", "cache={file}/x"], "cache={file}/x: {file} is a file, not a folder; give cache a folder"),
        (["plan", "demo", "results=/dev/null/x"], "results=/dev/null/x: /dev/null is a file, not a folder"),
        (["sweep", "demo", "results={file}"], "results={file}: {file} is a file, not a folder"),
        (["dataset", "check", "{images}", "-o", "{file}/a"], "cannot write {file}/a: {file} is a file, not "),
        (["demo-data", "{file}/x", "--images", "1"], "{file} is a file, not a folder; give another place"),
    ],
)  # fmt: skip
def test_a_file_where_a_folder_is_needed_is_named(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    names = {"file": tmp_path / "file", "images": write_images(tmp_path / "images", 2)}
    assert main([word.format(**names) for word in words]) == 2
    said = capsys.readouterr().err
    assert says.format(**names) in said and "damaged" not in said and "fault in lora-lab" not in said
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize(
    "words",
    [
        ["train", "train.seed=1", "train.seed=2"],
        ["train", "name=a", "train.seed=1", "+train.seed=2"],
        ["plan", "demo", "train.seed=1", "train.seed=2"],
        ["sweep", "demo", "train.seed=1", "train.seed=1"],
    ],
)
def test_a_value_that_another_would_replace_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*words, f"results={tmp_path}"]) == 2
    assert "train.seed stands more than once: give it one value" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_faults_are_a_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("oops")

    monkeypatch.setattr(start, "plan", fail)
    monkeypatch.delenv("LORA_LAB_DEBUG", raising=False)
    assert main(["plan", "x.yaml"]) == 1
    text = capsys.readouterr().err
    assert "unexpected RuntimeError: oops" in text and "Traceback" not in text
    details = Path(text.split("details are in ")[1].split(". Please")[0])
    assert "Traceback" in details.read_text()
    details.unlink()
    monkeypatch.setenv("LORA_LAB_DEBUG", "1")
    assert main(["plan", "x.yaml"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "plan", interrupted)
    assert main(["plan", "x.yaml"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_run_that_is_being_let_go_of_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SweepFolder(tmp_path)
    (tmp_path / "a").mkdir()
    lock = FolderLock(folder.run("a").lock_file)
    assert lock.acquire()
    plans = []

    def plan(*_: object, **__: object) -> SimpleNamespace:
        status = "running" if is_locked(folder.run("a")) else "resume"
        plans.append(status)
        return SimpleNamespace(folder=folder, rows=[SimpleNamespace(name="a", status=status)])

    monkeypatch.setattr(start, "make_plan", plan)
    monkeypatch.setattr(start, "POLL_SECONDS", 0.01)
    timer = threading.Timer(0.2, lock.release)
    timer.start()
    given = SimpleNamespace(config_dir=[], retry=False, redo=False)
    made = start._planned(None, [], None, given)  # type: ignore[arg-type]
    timer.join()
    assert plans == ["running", "resume"] and made.rows[0].status == "resume"
    assert "waiting for another process to let go of a" in capsys.readouterr().err


def test_the_demo_pictures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo-data", str(tmp_path), "--images", "2"]) == 0
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.glob("*.png"))) == len(list(folder.glob("*.txt"))) == 2
    assert main(["demo-data", str(tmp_path), "--images", "0"]) == 2


def test_images_of_somebody_else_are_not_drawn_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo-data", str(tmp_path), "--images", "3"]) == 0
    assert main(["demo-data", str(tmp_path), "--images", "2"]) == 0  # its own it draws again
    assert "1 more were there already" in capsys.readouterr().out
    image = next(tmp_path.rglob("001.png"))
    image.write_bytes(b"mine")
    assert main(["demo-data", str(tmp_path), "--images", "2"]) == 2
    assert image.read_bytes() == b"mine" and "it was changed since" in capsys.readouterr().err
    own = tmp_path / "photos" / "cat.JPG"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert main(["demo-data", str(own.parent), "--images", "2"]) == 2
    assert "holds images of its own (1, such as cat.JPG)" in capsys.readouterr().err
    assert list(own.parent.iterdir()) == [own]


def test_a_grid_is_shown_and_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "_start", lambda *_: pytest.fail("something was started"))
    words = ["train", "-m", *DEMO, "preview=off", "train.max_train_steps=2", "optimizer=lion,adamw"]
    places = [f"results={tmp_path}/results", f"cache={tmp_path}/cache"]
    assert main([*words, *places, "--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("optimizer=lion", "planned"), ("optimizer=adamw", "planned"),
    ]  # fmt: skip
    assert not (tmp_path / "results").exists()

"""`lora-lab new`: by flags and by questions; it ends with the plan, and writes over nobody's file."""

import json
from pathlib import Path

import pytest
from PIL import Image

from lora_lab.__main__ import main
from lora_lab.cli import new
from lora_lab.store import SweepFolder, read_record
from tests.data.test_folder import save
from tests.material import write_model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.jpg", (512, 400 + number))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new, "cards", list)
    return tmp_path


FLAGS = ["new", "mine", "--base", "demo", "--images", "photos", "--trigger", "zz"]


def test_flags_alone_write_the_file_and_show_its_plan(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FLAGS) == 0
    out = capsys.readouterr().out
    assert "lr-high" in out and "start it:  lora-lab sweep mine.yaml" in out
    assert main(["plan", "mine.yaml"]) == 0
    assert main(FLAGS) == 0  # what was written by it, it writes again
    (place / "mine.yaml").write_text("question: mine now\n")
    assert main(FLAGS) == 2
    assert (place / "mine.yaml").read_text() == "question: mine now\n"


def test_json_is_the_plan(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "mine.yaml" and len(told["plan"]["rows"]) == 9
    assert main(["new", "mine.yaml", *FLAGS[2:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "mine.yaml"


def test_it_asks_again_until_it_can_go_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["nowhere.safetensors", "demo", "none", "photos", "", "zz"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert main(["new", "mine"]) == 0
    out = capsys.readouterr().out
    assert "nowhere.safetensors" in out and "--images none: there is no such folder" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["new", "mine", "--base", "demo"], "--images is needed: folder with your images"),
        (["new", "a/b", *FLAGS[2:]], "NAME: name 'a/b' cannot be a folder everywhere"),
        ([*FLAGS, "-o", "mine.txt"], "--output mine.txt must end in .yaml"),
        ([*FLAGS, "--card", "0"], "--card must be the card's memory in GB, at least 1, got 0"),
        ([*FLAGS, "--card=-3"], "--card must be the card's memory in GB, at least 1, got -3"),
    ],
)
def test_what_cannot_be_is_one_message(
    place: Path,
    words: list[str],
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert main(words) == 2
    assert why in capsys.readouterr().err
    assert not (place / "mine.yaml").exists()


@pytest.mark.slow
def test_photographs_become_a_running_sweep_in_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check, new, sweep, with scikit-image's photographs; here of two rows and a few updates."""
    data = pytest.importorskip("skimage.data")
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()).save(f"photos/{name}.jpg")
    assert main(["dataset", "check", "photos", "base_model=demo"]) == 0
    assert main(["new", "mine", "--base", "demo", "--images", "photos", "--trigger", "zzcat"]) == 0
    few = ["--quiet", "train.max_train_epochs=null", "train.max_train_steps=4", "preview.steps=2"]
    assert main(["sweep", "mine.yaml", "--only", "reference", "--only", "lr-high", *few]) == 0
    assert [read_record(run).status for run in SweepFolder(Path("results/mine")).runs()] == ["done", "done"]
    assert len(list(Path("results/mine").glob("*/checkpoints/*.safetensors"))) == 2
    assert Path("photos-check.html").is_file() and sorted(Path("photos").iterdir())[0].name == "astronaut.jpg"


PRESET = {"pretrained_model_name_or_path": "D:/gone.safetensors", "train_data_dir": "photos", "epoch": 2,
          "learning_rate": "1e-3", "network_dim": 4, "network_alpha": 2, "max_resolution": "64,64",
          "min_bucket_reso": 64, "max_bucket_reso": 64, "wandb_api_key": "SECRET", "sdxl": False}  # fmt: skip


def test_a_preset_is_the_reference_with_what_is_here_of_its_paths(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.json").write_text(json.dumps(PRESET))
    words = ["new", "mine", "--preset", "p.json"]
    assert main(words) == 2
    assert "--base is needed" in capsys.readouterr().err, "the preset's model lies on another machine"
    assert main([*words, "--base", "demo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {line["key"] for line in told["preset"]} == set(PRESET)
    rows = {row["name"]: row for row in told["plan"]["rows"]}
    assert {"lr-low", "dim-8", "alpha-1", "longer"} <= set(rows)
    written = (place / "mine.yaml").read_text()
    assert "network.network_alpha=2.0" in written and "SECRET" not in written
    assert f"dataset.path='{place / 'photos'}'" in written
    assert main([*words, "--base", "demo"]) == 0
    assert "each of them, and why:  lora-lab import p.json" in capsys.readouterr().out


def test_a_preset_of_another_family_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "p.json").write_text(json.dumps(PRESET | {"sdxl": True}))
    model = write_model(place / "model", "sd1")
    assert main(["new", "mine", "--preset", "p.json", "--base", str(model)]) == 2
    assert "--preset p.json is for Stable Diffusion XL" in capsys.readouterr().err
    assert not (place / "mine.yaml").exists()


def test_a_dataset_file_may_stand_in_place_of_the_folder(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "set.toml").write_text(
        "[[datasets]]\nresolution = 64\nmin_bucket_reso = 64\nmax_bucket_reso = 64\n"
        "[[datasets.subsets]]\nimage_dir = 'photos'\nnum_repeats = 4\n"
    )
    (place / "p.json").write_text(json.dumps({**PRESET, "dataset_config": "set.toml"}))
    assert main(["new", "mine", "--base", "demo", "--images", "set.toml", "--trigger", "zz"]) == 0
    assert "dataset.repeats" not in (place / "mine.yaml").read_text()
    capsys.readouterr()
    assert main(["new", "other", "--preset", "p.json", "--base", "demo", "--images", "set.toml"]) == 0
    assert "keys:" in capsys.readouterr().out
    (place / "notes.txt").write_text("no dataset")
    assert main(["new", "third", "--base", "demo", "--images", "notes.txt", "--trigger", "zz"]) == 2


def test_keys_are_told_also_where_the_plan_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "p.json").write_text(json.dumps({**PRESET, "xformers": "xformers"}))
    assert main(["new", "mine", "--preset", "p.json", "--base", "demo"]) == 2
    told = capsys.readouterr()
    assert "lora-lab import p.json" in told.out and "xformers" in told.err and "mend it there" in told.err


def test_what_a_preset_says_and_cannot_be_taken_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"LoRA_type": "Flux1", "network_dim": -4, "network_alpha": 8, "epoch": 3}
    (place / "my preset.json").write_text(json.dumps(wrong))
    words = ["new", "two words", *FLAGS[2:], "--preset", "my preset.json"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "  not taken: network_dim: network.network_dim must be at least 1; got -4" in out
    assert "  not taken: LoRA_type: no such network here" in out and "not taken: epoch" not in out
    assert "lora-lab import 'my preset.json'" in out and "lora-lab sweep 'two words.yaml'" in out
    head = (place / "two words.yaml").read_text().split("question:")[0]
    assert "lora-lab sweep 'two words.yaml' " in head and "lora-lab verdict 'two words' " in head

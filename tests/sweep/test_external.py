"""LoRAs trained elsewhere in a sweep: rendered as the sweep's own, scored, never trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from lora_lab.__main__ import main
from lora_lab.cli.plan_view import show_plan
from lora_lab.effective.previews import wanted_shots
from lora_lab.errors import ConfigError
from lora_lab.run.__main__ import main as render
from lora_lab.store import Preview, RunFolder, SweepFolder, read_record, write_record
from lora_lab.store.reading import read_sweep_folder
from lora_lab.sweep.external import of_sweep
from tests.sweep.test_estimate import CPU, SWEEP
from tests.sweep.test_estimate import trained as timed

SHORT = ["base_model=demo", "dataset=demo", "optimizer=adamw", "train.max_train_steps=2", "preview.seeds=[3]",
         "preview.prompts=['a girl']", "preview.steps=2", "metric.names=[basic]",
         "optimizer.learning_rate=0.05", "train.save_precision=fp32"]  # fmt: skip

GOLDEN = Path(__file__).parents[1] / "golden" / "lora_files"


def kohya_file(source: Path, target: Path) -> Path:
    """The tensors of a checkpoint as sd-scripts would have written them, with some of its metadata."""
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in list(file.keys())}
    said = {
        "ss_network_dim": "4",
        "ss_network_alpha": "1.0",
        "ss_optimizer": "torch.optim.adamw.AdamW(eps=1)",
        "ss_learning_rate": "0.05",
        "ss_steps": "2",
        "ss_epoch": "1",
        "ss_seed": "23",
        "ss_network_module": "networks.lora",
        "ss_network_args": json.dumps({"rank_dropout": "0.1"}),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target, said)
    return target


def loha_file(like: Path, target: Path) -> Path:
    """A LoHa of one layer, as LyCORIS names it."""
    with safe_open(like, "pt") as file:
        key = next(
            key for key in list(file.keys()) if key.startswith("lora_unet") and "attn1_to_q.lora_down" in key
        )
        inputs = file.get_tensor(key).shape[1]
        outputs = file.get_tensor(key.replace("lora_down", "lora_up")).shape[0]
    generator = torch.Generator().manual_seed(0)
    module = key.partition(".")[0]
    shapes = {"w1_a": (outputs, 2), "w1_b": (2, inputs), "w2_a": (outputs, 2), "w2_b": (2, inputs)}
    tensors = {
        f"{module}.hada_{name}": torch.randn(shape, generator=generator) for name, shape in shapes.items()
    }
    save_file({**tensors, f"{module}.alpha": torch.tensor(2.0)}, target)
    return target


def pixels(run: Any) -> np.ndarray:
    shot = run.checkpoints[-1].previews[0]
    return np.asarray(Image.open(run.folder.path / shot.file), dtype=int)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of one trained row."""
    place = tmp_path_factory.mktemp("external")
    values = {
        "base": [*SHORT, f"results={place / 'results'}", f"cache={place / 'cache'}"],
        "patterns": {"own": []},
    }
    (place / "few.yaml").write_text(yaml.safe_dump(values))
    assert main(["sweep", str(place / "few.yaml"), "--quiet"]) == 0
    return place


def test_a_plan_refuses_what_could_not_be_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before hours of training beside it."""
    flux = {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 4)}
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    small = {f"{module}.lora_down.weight": torch.ones(2, 32), f"{module}.lora_up.weight": torch.ones(32, 2)}
    save_file(flux, tmp_path / "flux.safetensors")
    save_file(small, tmp_path / "xl.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"})
    save_file({f"{module}.oft_blocks": torch.ones(2, 4, 4)}, tmp_path / "oft.safetensors")
    save_file(small, tmp_path / "good.safetensors")
    values = {"base": [*SHORT, f"results={tmp_path}/r", f"cache={tmp_path}/c"], "patterns": {"own": []}}
    for name, said in (
        ("flux", "is a LoRA for Flux"),
        ("xl", "is for Stable Diffusion XL, but the base model is Stable Diffusion 1.x"),
        ("oft", "are OFT"),
        ("gone", "there is no such file or folder"),
    ):
        path = tmp_path / "few.yaml"
        path.write_text(
            yaml.safe_dump({**values, "external": {"theirs": str(tmp_path / f"{name}.safetensors")}})
        )
        for command in (["plan"], ["sweep", "--quiet"]):
            assert main([*command, str(path)]) == 2
            assert said in capsys.readouterr().err
    path.write_text(yaml.safe_dump({**values, "external": {"theirs": str(tmp_path / "good.safetensors")}}))
    assert main(["plan", str(path)]) == 0
    assert "theirs" in capsys.readouterr().out
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_file_is_rendered_as_the_run_that_made_it(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SweepFolder(swept / "results" / "few")
    own = read_sweep_folder(folder.path).runs["own"]
    checkpoint = own.file(own.checkpoints[-1])
    assert checkpoint is not None
    theirs = kohya_file(checkpoint, swept / "loras" / "their lora=1.safetensors")
    loha = loha_file(checkpoint, swept / "loras" / "loha.safetensors")
    broken = swept / "loras" / "broken.safetensors"
    broken.write_bytes(b"no LoRA")
    assert main(["add", str(theirs), str(broken), "--sweep", str(folder.path)]) == 2
    assert "broken.safetensors" in capsys.readouterr().err
    assert [run.name for run in folder.runs()] == ["own"], "nothing is written where one file is wrong"

    # One in a sweep file, one by command; both in one go are one worker less to wait for.
    values = yaml.safe_load((swept / "few.yaml").read_text()) | {"external": {"mine": str(theirs)}}
    (swept / "few.yaml").write_text(yaml.safe_dump(values))
    from lora_lab.sweep import external

    external.add(folder, [("", loha)])
    assert main(["sweep", str(swept / "few.yaml"), "--quiet"]) == 0
    capsys.readouterr()
    runs = read_sweep_folder(folder.path).runs
    assert set(runs) == {"own", "mine", "loha"} and {run.status for run in runs.values()} == {"done"}
    assert np.abs(pixels(runs["mine"]) - pixels(runs["own"])).max() <= 3, "merged and packed, to rounding"
    assert np.abs(pixels(runs["loha"]) - pixels(runs["own"])).max() > 3
    assert runs["mine"].record.preview_fingerprint == runs["own"].record.preview_fingerprint
    assert runs["mine"].settings["network.network_alpha"] == 1.0
    assert runs["mine"].settings["optimizer.name"] == "adamw"
    assert runs["mine"].settings["network.rank_dropout"] == 0.1
    assert runs["mine"].settings["train.train_batch_size"] is None, "what no one said is not known"
    assert (
        runs["mine"].record.step == 0
        and "train" not in runs["mine"].record.seconds
        or not (runs["mine"].record.seconds["train"])
    )

    # Once more: nothing is left to do, and a file that is gone is no mistake.
    theirs.unlink()
    before = read_record(folder.run("mine"))
    assert main(["sweep", str(swept / "few.yaml"), "--quiet"]) == 0
    assert read_record(folder.run("mine")) == before
    capsys.readouterr()

    # Table and verdict have it, and compare no setting of it.
    assert main(["table", str(folder.path), "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert "trained elsewhere (sd-scripts)" in rows["mine"]["reason"]
    assert not any(key.startswith(("network.", "optimizer.")) for key in rows["own"])
    scores = swept / "scores.csv"
    scores.write_text("run,score\nown,50\nmine,70\n")
    assert main(["verdict", str(folder.path), "--scores", str(scores), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["settings"] == [] and set(judged["missing"]) == {"loha"}
    assert any("trained elsewhere" in gap for gap in judged["evidence"]["gaps"])
    assert main(["verdict", str(folder.path), "--scores", str(scores)]) == 0
    assert "trained elsewhere and judged alike: mine 70" in capsys.readouterr().out

    # The card of the export has what the file tells, and nothing of the job that rendered it.
    assert main(["export", str(folder.path), "mine", "-o", str(swept / "out")]) == 0
    card = next((swept / "out").glob("*.md")).read_text()
    assert "Trained with another program: sd-scripts" in card and "| dim | 4 |" in card
    assert "batch size" not in card and "Training images" not in card
    assert main(["export-kohya", str(folder.path / "mine")]) == 2
    assert "go back to the files of its own trainer" in capsys.readouterr().err


def test_a_file_that_does_not_fit_is_a_failed_row_until_it_is_asked_for_again(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lora_lab.sweep import external

    folder = SweepFolder(swept / "results" / "few")
    [run] = external.add(folder, [("odd", GOLDEN / "in_A_r8a4.safetensors")])
    assert render([str(run.path), "--events", str(swept / "events")]) == 0
    record = read_record(run)
    assert record.status == "failed" and "not in the base model" in record.reason
    assert "network.base_weights" not in record.reason, "nobody set that"
    like = read_sweep_folder(folder.path).runs["own"].config
    assert like
    assert run not in external.unrendered(external.of_sweep(folder, [], like))
    assert run in external.unrendered(external.of_sweep(folder, [], like, retry=True))

    # Previews of other settings than the rows have are rendered again.
    write_record(run, replace(record, status="done", preview_fingerprint="theirs"))
    assert run not in external.unrendered(external.of_sweep(folder, [], like, {"theirs"}))
    assert run in external.unrendered(external.of_sweep(folder, [], like, {"others"}))
    shutil.rmtree(run.path)


@pytest.mark.slow
def test_a_file_is_read_also_where_nothing_is_to_be_rendered(swept: Path, tmp_path: Path) -> None:
    unseen = [text for text in SHORT if not text.startswith("preview.")]
    base = [*unseen, f"results={tmp_path / 'results'}", f"cache={swept / 'cache'}", "preview=off"]
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"base": base, "patterns": {"own": []}}))
    assert main(["sweep", str(tmp_path / "few.yaml"), "--quiet"]) == 0
    sound = next((tmp_path / "results" / "few" / "own" / "checkpoints").glob("*.safetensors"))
    with safe_open(sound, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in list(file.keys())}
    broken = next(key for key in tensors if key.endswith("lora_up.weight"))
    tensors[broken] = torch.full_like(tensors[broken], torch.nan)
    save_file(tensors, tmp_path / "nan.safetensors")
    shutil.copy(sound, tmp_path / "sound.safetensors")
    results = ["--results", str(tmp_path / "results")]
    main(
        [
            "add",
            str(tmp_path / "nan.safetensors"),
            str(tmp_path / "sound.safetensors"),
            "--sweep",
            "few",
            *results,
        ]
    )
    records = {name: read_record(RunFolder(tmp_path / "results" / "few" / name)) for name in ("nan", "sound")}
    assert records["sound"].status == "done"
    assert records["nan"].status == "failed"
    assert broken.removesuffix(".lora_up.weight") in (reason := records["nan"].reason)
    assert "holds NaN" in reason and reason.count("nan-000001.safetensors") == 1
    assert not records["sound"].checkpoints[0].previews


def test_names_and_the_form_of_the_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lora_lab.sweep.run_names import as_name

    assert as_name("their lora=1,2 (v2)") == "their lora-1-2 -v2" and as_name("...") == "lora"
    for wrong in (
        "external: file.safetensors",
        "external: {a: [1]}",
        "external: {own: x}\npatterns: {own: []}",
    ):
        (tmp_path / "s.yaml").write_text(wrong)
        assert main(["plan", str(tmp_path / "s.yaml")]) == 2
        assert "external" in capsys.readouterr().err


TEXT = (
    "base: ['preview.seeds=[1,2]', 'preview.prompts=[a hat]', 'preview.strengths=[1.0]']\n"
    "patterns: {own: []}\nexternal: "
)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of two checkpoints that sd-scripts wrote."""
    folder = tmp_path / "loras" / "theirs"
    folder.mkdir(parents=True)
    for epoch in (1, 2):
        tensors = {"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}
        said = {"ss_network_module": "networks.lora", "ss_epoch": str(epoch), "ss_steps": str(epoch)}
        save_file(tensors, folder / f"x-{epoch:06d}.safetensors", said)
    return folder


def test_a_plan_shows_them_as_rows_that_are_rendered_and_never_trained(
    make, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = make(TEXT + f"{{mine: '{theirs}', one: '{theirs}/x-000001.safetensors'}}")
    rows = [(row.name, row.status, row.checkpoints, row.to_render) for row in found.external]
    assert rows == [("mine", "previews", 2, 4), ("one", "previews", 1, 2)]
    assert [row.name for row in found.rows] == ["own"] and found.packs == [["own"]]
    assert not found.folder.path.exists(), "a plan writes nothing"
    assert found.to_json()["external"][0] == {
        "name": "mine", "source": str(theirs), "trainer": "sd-scripts", "status": "previews",
        "checkpoints": 2, "to_render": 4,
    }  # fmt: skip
    show_plan(found)
    text = " ".join(capsys.readouterr().out.split())
    assert "rendered and not trained: mine, one" in text and "renders 4 previews of" in text


def test_their_images_are_part_of_what_it_costs(
    make,
    theirs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # paths of any length leave each cell its line
    text = SWEEP.replace("patterns", f"external: {{mine: '{theirs}'}}\npatterns")
    timed(SweepFolder(tmp_path / "results" / "earlier"), make(SWEEP, *CPU), ["x"])
    with_, without = make(text, *CPU).estimate, make(SWEEP, *CPU).estimate
    # One more start of a worker, 11 s, and two previews of 2 s.
    assert with_.runs["mine"].seconds == pytest.approx(11 + 2 * 2)
    assert with_.seconds == pytest.approx(without.seconds + 11 + 2 * 2)
    show_plan(make(text, *CPU))
    assert "renders 2 previews of 2 checkpoints, 15 s" in " ".join(capsys.readouterr().out.split())


def test_what_was_rendered_is_done_and_new_prompts_are_rendered_again(make, theirs: Path) -> None:
    text = TEXT + f"{{mine: '{theirs}'}}"
    found = make(text)
    (made,) = of_sweep(found.folder, [("mine", str(theirs))], found.rows[0].config)
    record = read_record(made)
    shots = wanted_shots(found.rows[0].resolved)
    for item in record.checkpoints:
        item.previews = [Preview("p.png", *shot, drawn=key) for key, shot in shots.items()]
    record.status, record.preview_fingerprint = "done", found.rows[0].preview_fingerprint
    write_record(made, record)
    shutil.rmtree(theirs)  # it has copies
    assert [(row.name, row.status, row.to_render) for row in make(text).external] == [("mine", "done", 0)]
    (again,) = make(text.replace("[a hat]", "[a hat,a coat]")).external
    assert (again.status, again.checkpoints, again.to_render) == ("previews", 2, 4), "the hats are there"


def test_a_file_that_is_missing_is_refused_by_the_plan(make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.safetensors: there is no such file or folder"):
        make(TEXT + f"['{tmp_path}/gone.safetensors']")
    with pytest.raises(ConfigError, match=r"external: 'own' is a row, too"):
        make(TEXT + f"{{own: '{tmp_path}/gone.safetensors'}}")

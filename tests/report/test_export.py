"""The exported LoRA: its weights, its metadata, its card."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save

from lora_lab.errors import RunFolderError
from lora_lab.lora_files.disk import read_lora, save_lora
from lora_lab.lora_files.reading import from_tensors
from lora_lab.loras.writing import portable
from lora_lab.outputs import MARK
from lora_lab.plots import Subject, subject
from lora_lab.plots.by_setting import by_setting
from lora_lab.report.export import export, file_name
from lora_lab.report.webui import Strength, strength_of
from lora_lab.store import (
    Checkpoint,
    Preview,
    Score,
    ScoreLog,
    SweepFolder,
    read_record,
    table,
    write_record,
)
from lora_lab.store.housekeeping import rename_run, rename_sweep
from lora_lab.store.reading import read_sweep_folder
from lora_lab.verdict.gather import evidence
from tests import scored

CONFIG = {
    "name": "base", "sweep": "made", "results": "/home/me/results", "cache": "/home/me/cache",
    "device": "cuda", "base_model.path": "/home/me/models/mine.safetensors",
    "dataset.path": "C:\\Users\\me\\photos", "train.seed": 7,
}  # fmt: skip
METADATA = {
    "ss_output_name": "made-base-000020", "ss_network_dim": "4", "ss_base_model_version": "sdxl_base_v1-0",
    "ss_sd_model_name": "mine", "ss_new_sd_model_hash": "abcdef" * 10, "modelspec.title": "made-base-000020",
    "lora_lab.config": json.dumps(CONFIG), "lora_lab.fingerprint": "f" * 64,
    "modelspec.implementation_version": "lora_lab/0.1.0",
}  # fmt: skip


def weights() -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    key = "lora_unet_mid_block_attentions_0_proj_in"
    return {
        f"{key}.lora_down.weight": torch.randn(4, 8, generator=made).half(),
        f"{key}.lora_up.weight": torch.randn(8, 4, generator=made).bfloat16(),
        f"{key}.alpha": torch.tensor(1.0),
    }


@pytest.fixture
def made(tmp_path: Path) -> Subject:
    folder = scored.sweep(tmp_path, images=True)
    for run, fingerprint in (("base", "f" * 64), ("alpha-16", "a" * 64)):
        record = read_record(folder.run(run))
        record.fingerprint = fingerprint
        write_record(folder.run(run), record)
        for tag in ("000010", "000020"):
            own = {"ss_output_name": f"made-{run}-{tag}", "lora_lab.fingerprint": fingerprint}
            save_lora(folder.run(run).checkpoint(tag), weights(), {**METADATA, **own})
    return subject(folder)


def test_the_weights_are_the_checkpoint_s_bit_for_bit(made: Subject, tmp_path: Path) -> None:
    file = export(made, tmp_path / "out")[0]
    assert file.name == "made-base-000020.safetensors", "the best run's last checkpoint"
    before, after = weights(), load_file(file)
    assert set(before) == set(after)
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name].flatten().view(torch.uint8), tensor.flatten().view(torch.uint8)), name


def test_score_raters_fingerprint_and_seeds_stand_in_it_beside_what_was_there(
    made: Subject, tmp_path: Path
) -> None:
    scored.give(made.folder, "base", "000020", "ben", 90)
    _, metadata = read_lora(export(subject(made.folder), tmp_path / "out")[0])
    own = {
        key: value
        for key, value in metadata.items()
        if key.startswith("lora_lab.") and key not in ("lora_lab.config", "lora_lab.seal")
    }
    assert own == {
        "lora_lab.sweep": "made", "lora_lab.run": "base", "lora_lab.checkpoint": "000020",
        "lora_lab.fingerprint": "f" * 64, "lora_lab.preview_seeds": "[7]", "lora_lab.raters": "2",
        "lora_lab.score_count": "2", "lora_lab.score": "90.0",
    }  # fmt: skip
    assert {key: metadata[key] for key in METADATA if key.startswith(("ss_", "modelspec."))} == {
        key: value for key, value in METADATA.items() if key.startswith(("ss_", "modelspec."))
    }


def test_the_hashes_are_right_for_programs_that_compute_them(made: Subject, tmp_path: Path) -> None:
    file = export(made, tmp_path / "out")[0]
    _, metadata = read_lora(file)
    plain = save(weights(), {key: value for key, value in metadata.items() if key.startswith("ss_")})
    body = 8 + struct.unpack("<Q", plain[:8])[0]
    assert metadata["sshs_model_hash"] == hashlib.sha256(plain[body:]).hexdigest()
    data = file.read_bytes()
    assert data[8 + struct.unpack("<Q", data[:8])[0] :] == plain[body:]


def test_no_folder_of_this_machine_is_passed_on(made: Subject, tmp_path: Path) -> None:
    files = export(made, tmp_path / "out")
    config = json.loads(read_lora(files[0])[1]["lora_lab.config"])
    assert config == {"base_model.path": "mine.safetensors", "dataset.path": "photos", "train.seed": 7}
    for file in files[:2]:
        assert b"/home/me" not in file.read_bytes() and str(tmp_path).encode() not in file.read_bytes()


def test_the_card_tells_how_to_use_it_and_why_it(made: Subject, tmp_path: Path) -> None:
    files = export(made, tmp_path / "out")
    assert files[1].name == "made-base-000020.md" and len(files) == 6
    text = files[1].read_text()
    for part in (
        "Stable Diffusion XL",
        "StableDiffusionXLPipeline",
        "<lora:made-base-000020:1>",
        "It was judged at strength 1.",
        "models/loras",
        "mine (SHA-256 abcdefabcd)",
        "Score 90 of 100: 1 judgement by anna",
        "| alpha | 1 |",
        "| optimizer | adamw |",
        "![prompt number 0](made-base-000020/p0-s7-w1.png)",
        "Fingerprint: `ffffffffffff`",
        "Chosen by these scores",
    ):
        assert part in text, part
    for name in ("p0-s7-w1.png", "p1-s7-w1.png"):
        source = made.folder.run("base").previews("000020") / name
        assert (tmp_path / "out" / "made-base-000020" / name).read_bytes() == source.read_bytes()


def test_the_front_matter_of_the_card(made: Subject, tmp_path: Path) -> None:
    text = export(made, tmp_path / "out", license="cc-by-4.0")[1].read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "base_model": "mine",
        "base_model_relation": "adapter",
        "license": "cc-by-4.0",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusers", "lora", "stable-diffusion-xl-v1-base"],
        "widget": [
            {"text": f"prompt number {number}", "output": {"url": f"made-base-000020/p{number}-s7-w1.png"}}
            for number in (0, 1)
        ],
    }
    assert body.lstrip().startswith("# made-base-000020\n")


def test_what_a1111_shows_of_it(made: Subject, tmp_path: Path) -> None:
    _, _, told, image, *images = export(made, tmp_path / "out")
    assert (told.name, image.name) == ("made-base-000020.json", "made-base-000020.png")
    assert image.read_bytes() == images[0].read_bytes()
    values = json.loads(told.read_text())
    notes = values.pop("notes")
    assert "Score 90 of 100: 1 judgement by anna." in notes
    assert values == {
        "description": "A LoRA for Stable Diffusion XL.", "sd version": "SDXL", "activation text": "",
        "preferred weight": 1.0, "negative text": made.sweep.runs["base"].config.preview.negative_prompt,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rendered", "shown", "scored_", "strength"),
    [
        ([0.6, 0.8, 1.0], [0.6], True, Strength(0.6, (0.6,))),
        ([0.6, 0.8, 1.2], [0.6, 0.8, 1.2], True, Strength(0.8, (0.6, 0.8, 1.2))),
        ([0.6, 0.7], [], True, Strength(0.7, (0.6, 0.7))),
        ([0.6, 0.7], [0.6], False, Strength(0.7)),
        ([], [], False, Strength(0.8)),
    ],
)
def test_the_strength_that_was_judged(rendered, shown, scored_, strength: Strength) -> None:
    previews = [Preview(f"{value}.png", 0, 7, value) for value in rendered]
    item = Checkpoint("000020", "file", 20, 40, 80, previews=previews)
    own = Score("1", "s", "anna", "base", "000020", 0, 50.0, shots=tuple((0, 7, value) for value in shown))
    other = Score("2", "s", "anna", "lion", "000020", 1, 50.0, shots=((0, 7, 1.0),))
    log = ScoreLog(scores=[own, other])
    assert strength_of(log, "base", item, scored_) == strength


@pytest.mark.parametrize("asked", ["alpha-16:10", "alpha-16:000010"])
def test_a_checkpoint_can_be_named(made: Subject, tmp_path: Path, asked: str) -> None:
    target, card, *_ = export(made, tmp_path / "out", asked)
    assert target.name == "made-alpha-16-000010.safetensors"
    assert "Chosen by hand; the scores recommend base" in card.read_text()
    assert read_lora(target)[1]["lora_lab.score"] == "50.0"


def test_what_is_not_there_is_said(made: Subject, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunFolderError, match="no run 'bse'; there are: base, base-r2"):
        export(made, out, "bse")
    with pytest.raises(RunFolderError, match="no checkpoint '15'; there are: 000010, 000020"):
        export(made, out, "base:15")
    with pytest.raises(RunFolderError, match="broken has no checkpoint to export .*not a number"):
        export(made, out, "broken")
    (made.folder.run("lion").path / "checkpoints/lion-000020.safetensors").unlink()
    with pytest.raises(
        RunFolderError, match="is not there, it was deleted or moved: put it back, .*start the sweep"
    ):
        export(made, out, "lion")
    assert not out.exists()


def test_without_scores_a_run_has_to_be_named(made: Subject, tmp_path: Path) -> None:
    made.folder.scores_file.unlink()
    without = subject(SweepFolder(made.folder.path), "score")
    with pytest.raises(RunFolderError, match="lora-lab export made base"):
        export(without, tmp_path / "out")
    target, card, *_ = export(without, tmp_path / "out", "base")
    assert "Nobody has scored it." in card.read_text()
    assert "lora_lab.score" not in read_lora(target)[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b:c/d", "a_b_c_d"),
        ("optimizer=lion,alpha=1", "optimizer-lion_alpha-1"),
        ("みこ-1", "みこ-1"),
        ("..", "lora"),
    ],
)
def test_names_fit_files_and_prompts(name: str, text: str) -> None:
    assert file_name(name) == text


@pytest.mark.parametrize("end", ["safetensors", "md", "json", "png"])
def test_another_projects_files_stay(made: Subject, tmp_path: Path, end: str) -> None:
    out, name = tmp_path / "Lora", f"made-base-000020.{end}"
    out.mkdir()
    (out / name).write_text("another project's")
    with pytest.raises(RunFolderError, match=rf"{name} \(lora-lab did not write it\)"):
        export(made, out)
    assert [file.name for file in out.iterdir()] == [name] and (out / name).read_text() == "another project's"


def test_a_run_of_the_same_name_in_another_project_stays(made: Subject, tmp_path: Path) -> None:
    # As it was exported by an earlier version: without a mark, but with what it says of itself.
    out = tmp_path / "Lora"
    file = export(made, out)[0]
    (out / MARK).unlink()
    other = {"lora_lab.fingerprint": "e" * 64}
    save_lora(file, weights(), {**read_lora(file)[1], **other})
    with pytest.raises(RunFolderError, match="did not write it"):
        export(made, out)


def test_this_very_runs_export_is_replaced(made: Subject, tmp_path: Path) -> None:
    out = tmp_path / "Lora"
    files = export(made, out)
    assert export(made, out) == files
    for mark in (*out.rglob(MARK), files[2], files[3]):
        mark.unlink()
    assert export(made, out) == files, "an earlier version's, which left no mark"
    files[1].write_text("my own words")
    with pytest.raises(RunFolderError, match="it was changed since it was written"):
        export(made, out)


def test_an_export_by_one_raters_scores(made: Subject, tmp_path: Path) -> None:
    scored.give(made.folder, "alpha-16", "000020", "ben", 99)
    (file, *_) = export(subject(made.folder, raters=["BEN"]), tmp_path / "out")
    assert file.name == "made-alpha-16-000020.safetensors"


def uneven(name: str) -> dict[str, torch.Tensor]:
    """Modules `name`q, k and v of several ranks and alphas."""
    tensors = {}
    for place, (leaf, rank, alpha) in enumerate((("q", 4, 2.0), ("k", 2, 1.0), ("v", 3, 2.0))):
        generator = torch.Generator().manual_seed(place)
        tensors[f"{name}{leaf}.lora_down.weight"] = torch.randn(rank, 8, generator=generator)
        tensors[f"{name}{leaf}.lora_up.weight"] = torch.randn(8, rank, generator=generator)
        tensors[f"{name}{leaf}.alpha"] = torch.tensor(alpha)
    return tensors


def assert_alike(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], name: str, atol: float
) -> None:
    """Both change their modules by the same."""
    for leaf in "qkv":
        acts = [
            t[f"{name}{leaf}.lora_up.weight"] @ t[f"{name}{leaf}.lora_down.weight"]
            * float(t[f"{name}{leaf}.alpha"]) / len(t[f"{name}{leaf}.lora_down.weight"])
            for t in (one, other)
        ]  # fmt: skip
        assert torch.allclose(*acts, atol=atol)


def test_alphas_that_diffusers_misreads_are_evened_out(tmp_path: Path) -> None:
    """One alpha for each part: the rest of the strength goes into the weights, which act as before."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_"
    tensors = uneven(name)
    found = portable(from_tensors(tensors))
    assert {float(found[key]) for key in found if key.endswith("alpha")} == {2.0}
    assert_alike(tensors, found, name, 1e-6)
    even = {key: t for key, t in tensors.items() if "to_k" not in key}
    same = portable(from_tensors(even))
    assert same.keys() == even.keys() and all(same[key] is even[key] for key in even)


def replaced(folder: SweepFolder, metadata: dict[str, str]) -> None:
    save_lora(folder.run("base").checkpoint("000020"), weights(), {**METADATA, **metadata})


def test_a_file_that_the_run_did_not_save_is_refused(made: Subject, tmp_path: Path) -> None:
    own = made.sweep.runs["base"].record
    step = own.checkpoint("000020").step  # type: ignore[union-attr]
    own_ones = {"lora_lab.fingerprint": own.fingerprint, "ss_steps": str(step)}
    replaced(made.folder, own_ones)
    export(made, tmp_path / "out", "base:20")
    for other, why in (
        ({"lora_lab.fingerprint": "e" * 64}, "another experiment"),
        ({"ss_steps": str(step + 1)}, f"of step {step + 1}"),
        ({"lora_lab.made": "{}"}, "a verb of"),
    ):
        replaced(made.folder, {**own_ones, **other})
        with pytest.raises(RunFolderError, match=f"not what run base saved.*{why}"):
            export(made, tmp_path / "out2", "base:20")
        assert not (tmp_path / "out2").exists()


def test_what_was_exported_into_a_sweep_is_replaced_after_renaming(made: Subject) -> None:
    first = export(made, made.folder.exports, "base:20")
    renamed = rename_sweep(made.folder, "other")
    rename_run(read_sweep_folder(renamed.path), "base", "usual")
    again = export(subject(renamed), renamed.exports, "usual:20")
    assert [file.name for file in again] == [file.name for file in first]


def test_table_verdict_plot_card_and_metadata_say_one_score(made: Subject, tmp_path: Path) -> None:
    scored.give(made.folder, "lion-16", "000020", "ben", 100)  # anna gave it 0, and base 90
    about = subject(made.folder)
    rows = {(row["run"], row["tag"]): row["score"] for row in table.rows(made.folder)}
    judged = {
        (run.name, item.tag): item.human for run in evidence(made.folder).runs for item in run.checkpoints
    }
    assert {place: rows[place] for place in judged} == pytest.approx(judged, abs=1e-3, nan_ok=True)
    assert all(0 <= score <= 100 for score in judged.values() if score is not None)
    drawn = {point.run: point.score for point in by_setting(about, "network.network_alpha").points}
    files = export(about, tmp_path / "out", "base:20")
    said = float(read_lora(files[0])[1]["lora_lab.score"])
    assert said == pytest.approx(judged["base", "000020"], abs=0.1) == pytest.approx(drawn["base"], abs=0.1)
    assert f"Score {said:.0f} of 100" in files[1].read_text()
    assert judged["base", "000020"] != judged["lion", "000020"], "anna gave 90 and 85, and they stay apart"


def test_an_export_has_alphas_that_diffusers_reads(made: Subject, tmp_path: Path) -> None:
    """As a run with `dim_from_weights` of a dynamically resized file leaves them."""
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_"
    tensors = uneven(name)
    own = {"ss_output_name": "made-base-000020", "lora_lab.fingerprint": "f" * 64}
    save_lora(made.folder.run("base").checkpoint("000020"), tensors, {**METADATA, **own})
    found = load_file(export(made, tmp_path / "out")[0])
    assert {float(value) for key, value in found.items() if key.endswith("alpha")} == {2.0}
    assert_alike(tensors, found, name, 1e-5)

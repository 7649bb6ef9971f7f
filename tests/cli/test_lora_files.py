"""`lora-lab lora VERB` as typed: output, files, refusals."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from lora_lab.__main__ import main
from lora_lab.lora_files.factors import delta, products
from lora_lab.loras import read
from tests import tiny
from tests.loras.made import dense, error, kohya, numbers


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two LoRAs in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a.safetensors", 0), ("b.safetensors", 1)):
        save_file(kohya(seed=seed), name, {"ss_output_name": name, "ss_seed": "23"})
    return ["a.safetensors", "b.safetensors"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["lora", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_info(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", *files)
    assert code == 0
    for text in (
        "a.safetensors",
        "Stable Diffusion 1.x",
        "4 modules: 4 LoRA",
        "unet down 0",
        "te layer 0",
        "23",
    ):
        assert text in out
    _, brief, _ = run(capsys, "info", "a.safetensors", "--brief")
    assert "unet down 0" not in brief
    _, text, _ = run(capsys, "info", *files, "--json")
    assert [item["family"] for item in json.loads(text)] == ["sd1", "sd1"]


def test_merge(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "merge", *files, "--ratios=1,-1", "-o", "c.safetensors")
    assert code == 0 and out.startswith("wrote c.safetensors: 4 modules of rank 8")
    first, second = dense(kohya(seed=0)), dense(kohya(seed=1))
    for name, item in products(read("c.safetensors")).items():
        assert error(delta(item), first[name] - second[name]) < 1e-6
    code, _, said = run(capsys, "merge", *files, "-o", "c.safetensors")
    assert code == 2 and "c.safetensors exists" in said and said.count("\n") == 1
    assert run(capsys, "merge", *files, "-o", "c.safetensors", "--force")[0] == 0


def test_svd_merge_and_resize(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--new-rank", "4", "--new-conv-rank", "2", "--report", "-o")
    code, out, _ = run(capsys, "svd-merge", *files, *words, "c.safetensors", "--precision", "fp16")
    assert code == 0 and "retained energy: " in out and "lora_unet_up_blocks_1_resnets_0_conv1" in out
    ranks = {name: item.rank for name, item in products(read("c.safetensors")).items()}
    assert sorted(ranks.values()) == [2, 4, 4, 4]
    code, out, _ = run(capsys, "svd-merge", *files, *words, "d.safetensors", "--clamp-quantile", "0.9")
    assert code == 0
    dynamic = ("--dynamic-method", "sv_fro", "--dynamic-param", "0.8")
    code, out, _ = run(capsys, "resize", "a.safetensors", "--new-rank", "4", *dynamic, "-o", "e.safetensors")
    assert code == 0 and "modules of rank" in out and " % in all" in out


def test_bake_and_extract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    down, up = numbers(4, 16, 3, 3), numbers(16, 4, 1, 1)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file(tensors, "a.safetensors")
    base = str(tiny.folder("sd1"))
    code, out, _ = run(capsys, "bake", base, "a.safetensors", "--ratio", "0.5", "-o", "baked")
    assert code == 0 and out == "wrote baked: 1 module changed\n"
    code, _, said = run(capsys, "bake", base, "a.safetensors", "-o", "baked")
    assert code == 2 and "baked exists" in said
    code, out, _ = run(
        capsys, "extract", base, "baked", "--dim", "4", "--conv-dim", "4", "-o", "x.safetensors"
    )
    assert code == 0 and "1 module of rank 4" in out and "left out: text encoder 1" in out
    assert error(delta(products(read("x.safetensors"))[name]), 0.5 * dense(tensors)[name]) < 1e-5
    code, out, _ = run(capsys, "extract", base, "baked", "--dim", "4", "-o", "y.safetensors")
    assert code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "none.safetensors"], "none.safetensors does not exist"),
        (["merge", "a.safetensors", "b.safetensors", "--ratios", "1", "-o", "c.safetensors"], "1 number"),
        (["merge", "a.safetensors", "-o", "c.pt"], "must end in .safetensors"),
        (["resize", "a.safetensors", "--new-rank", "0", "-o", "c.safetensors"], "--new-rank must"),
        (["extract", "demo", "none", "--dim", "4", "-o", "c.safetensors"], "none"),
        (["bake", "demo", "a.safetensors", "-o", "c"], "does not fit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_message(
    files: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = sorted(Path().iterdir())
    code, out, said = run(capsys, *words)
    assert code == 2 and message in said and "unexpected" not in said and out == ""
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("verb", ["merge", "svd-merge", "resize"])
def test_the_rest_is_left_out_where_that_is_asked_for(
    files: list[str], capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    odd = {"lora_unet_mid_block_resnets_0_norm1.w_norm": numbers(4),
           "lora_unet_mid_block_resnets_0_conv1.oft_blocks": numbers(2, 2, 2),
           "bundle_emb.person.string_to_param": numbers(2, 24)}  # fmt: skip
    save_file(kohya() | odd, "more.safetensors", {"ss_base_model_version": "sd_v1"})
    _, out, _ = run(capsys, "info", "more.safetensors", "--brief")
    for part in ("1 norm differences", "1 OFT", "1 embedding: person", "--leave-out-rest"):
        assert part in out
    ranks = [] if verb == "merge" else ["--new-rank", "4"]
    words = [verb, "more.safetensors", *ranks, "-o", "new.safetensors"]
    code, out, said = run(capsys, *words)
    assert code == 2 and "--leave-out-rest" in said and not Path("new.safetensors").exists()
    code, out, _ = run(capsys, *words, "--leave-out-rest")
    assert code == 0 and "left out of more.safetensors: " in out
    for part in ("1 embeddings", "1 norm differences", "1 OFT"):
        assert part in out
    expected = dense(kohya())
    found = products(read("new.safetensors"))
    assert found.keys() == expected.keys()
    assert all(error(delta(item), expected[name]) < 1e-5 for name, item in found.items())


def test_baking_leaves_the_rest_out_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    tensors = {f"{name}.lora_down.weight": numbers(4, 16, 3, 3),
               f"{name}.lora_up.weight": numbers(16, 4, 1, 1),
               "lora_unet_down_blocks_0_resnets_0_norm1.w_norm": numbers(16)}  # fmt: skip
    save_file(tensors, "a.safetensors")
    words = ["bake", str(tiny.folder("sd1")), "a.safetensors", "-o", "baked"]
    code, _, said = run(capsys, *words)
    assert code == 2 and "norm differences" in said and not Path("baked").exists()
    code, out, _ = run(capsys, *words, "--leave-out-rest")
    assert code == 0 and out.splitlines() == [
        "left out of a.safetensors: 1 norm differences", "wrote baked: 1 module changed"
    ]  # fmt: skip

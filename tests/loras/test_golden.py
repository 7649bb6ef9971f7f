"""The peers' recorded results on the same files: equal where they are right, better where they are not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lora_lab.lora_files.factors import delta
from lora_lab.lora_files.reading import Module
from lora_lab.loras import LoraFile, Ranks, merge, read, resize, svd_merge
from lora_lab.loras.bake import baked
from lora_lab.loras.extract import Wish, approximated
from lora_lab.loras.truncated_svd import truncated_svd
from tests.loras.made import error

GOLDEN = Path(__file__).parents[1] / "golden" / "lora_files"
REPORT: dict[str, Any] = json.loads((GOLDEN / "report.json").read_text())
DELTAS = load_file(GOLDEN / "deltas.safetensors")
WEIGHTS = load_file(GOLDEN / "weights_and_extract.safetensors")
CLAMP_NOISE = 0.16
"""The peers' clamp depends on arbitrary signs: 30 flips moved weight differences by up to 10 %, and rank 4
of a 12 x 24 convolution by more."""


def golden_file(name: str) -> LoraFile:
    found = sorted(GOLDEN.glob(f"in_{name}.safetensors")) or sorted(GOLDEN.glob(f"in_{name}_*.safetensors"))
    return read(found[0])


def cases(kind: str) -> Any:
    return pytest.mark.parametrize("case", REPORT[kind], ids=[case["tag"] for case in REPORT[kind]])


def exact(case: dict[str, Any], name: str) -> torch.Tensor:
    label = "+".join(f"{m}*{r}" for m, r in zip(case["models"], case["ratios"], strict=True))
    return DELTAS[f"exact.{label}.{name}"]


@cases("svd_merge")
def test_merge_is_the_exact_sum(case: dict[str, Any]) -> None:
    result = merge([golden_file(model) for model in case["models"]], case["ratios"])
    assert result.modules.keys() == case["modules"].keys()
    for name, factors in result.modules.items():
        assert error(delta(factors), exact(case, name)) < 2e-6


@cases("svd_merge")
def test_svd_merge_is_the_best_of_its_rank(case: dict[str, Any]) -> None:
    """The peer's own report says how far the best approximation without a clamp is from the exact sum."""
    ranks = Ranks(case["new_rank"], case["extra"][1] if case["extra"] else None)
    result = svd_merge([golden_file(model) for model in case["models"]], case["ratios"], ranks)
    for name, recorded in case["modules"].items():
        factors, kept = result.modules[name], result.kept[name]
        assert factors.rank == recorded["rank"] and factors.alpha == recorded["alpha"]
        best = recorded["best_rank_k_vs_exact"]["rel"]
        assert error(delta(factors), exact(case, name)) == pytest.approx(best, rel=1e-4, abs=3e-6)
        assert (1 - kept.share) ** 0.5 == pytest.approx(best, rel=1e-3, abs=3e-6)
        assert best <= recorded["vs_exact_sum"]["rel"] + 1e-6


@cases("svd_merge")
def test_svd_merge_with_the_clamp_is_the_peers(case: dict[str, Any]) -> None:
    ranks = Ranks(case["new_rank"], case["extra"][1] if case["extra"] else None)
    files = [golden_file(model) for model in case["models"]]
    result = svd_merge(files, case["ratios"], ranks, clamp_quantile=0.99)
    for name, recorded in case["modules"].items():
        found = delta(result.modules[name])
        assert error(found, DELTAS[f"{case['tag']}.{name}.delta"]) < CLAMP_NOISE
        ours = error(found, exact(case, name))
        assert ours == pytest.approx(recorded["vs_exact_sum"]["rel"], abs=0.06)
        assert (1 - result.kept[name].share) ** 0.5 == pytest.approx(ours, rel=1e-3, abs=1e-5)


def test_the_clamp_loses_even_what_the_rank_can_hold() -> None:
    """Rank 8 + 8 into 16: without a clamp the sum itself, with it several percent off (golden.md B2)."""
    files = [golden_file("B_r8a1"), golden_file("A_r8a1")]
    plain = svd_merge(files, [1, -1], Ranks(16))
    clamped = svd_merge(files, [1, -1], Ranks(16), 0.99)
    assert 1 - plain.share < 1e-10
    assert min((1 - item.share) ** 0.5 for item in clamped.kept.values()) > 0.02


@pytest.mark.parametrize("conv1x1_as_conv", [True, False])
@cases("resize")
def test_resize(case: dict[str, Any], conv1x1_as_conv: bool) -> None:
    """Fixed ranks as the peer; dynamic ones exactly one fewer than the peer, who counts one too many (B5)."""
    given = dict(zip(case["args"][::2], case["args"][1::2], strict=True))
    conv_rank = given.get("--new_conv_rank")
    method, param = given.get("--dynamic_method"), float(given.get("--dynamic_param", 0))
    rank = int(given["--new_rank"])
    ranks = Ranks(rank, int(conv_rank) if conv_rank else None, method, param, conv1x1_as_conv)
    file = golden_file(case["tag"].split(".")[1])
    result = resize(file, ranks)
    assert result.modules.keys() == case["modules"].keys()
    for name, recorded in case["modules"].items():
        factors = result.modules[name]
        if factors.down.shape[2:] == (1, 1) and conv_rank and not conv1x1_as_conv:
            assert factors.rank == rank  # ours: as in training; the peer: --new_conv_rank
            continue
        scale = recorded["alpha"] / recorded["rank"]
        assert factors.scale == pytest.approx(scale)
        peer = DELTAS[f"{case['tag']}.{name}.delta"]
        values = torch.tensor(recorded["singular_values_up_at_down"]) * scale
        if method is None:
            assert error(delta(factors), peer) < 1e-5
        else:
            assert factors.rank == min(recorded["rank"] - 1, ranks.limit(tuple(factors.down.shape[2:])))
            missing = float((delta(factors) - peer).norm())
            assert missing == pytest.approx(float(values[recorded["rank"] - 1]), rel=1e-3)
        lost = values[factors.rank :].square().sum() / values.square().sum()
        assert 1 - result.kept[name].share == pytest.approx(float(lost), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("case", [case for case in REPORT["merge_lora"] if not case["concat"]], ids=str)
def test_the_peers_merge_squares_the_ratio(case: dict[str, Any]) -> None:
    """merge_lora puts the ratio on both factors (B3); ours acts once. The peer checked `exact_norm`."""
    result = merge([golden_file(model) for model in case["models"]], case["ratios"])
    for name, recorded in case["modules"].items():
        found = delta(result.modules[name])
        assert float(found.norm()) == pytest.approx(recorded["exact_norm"], rel=1e-4)
        peer = DELTAS[f"{case['tag']}.{name}.delta"]
        assert error(peer, found) == pytest.approx(recorded["vs_exact_sum"]["rel"], rel=1e-3)
        if len(case["models"]) == 1:
            assert error(peer, found * case["ratios"][0]) < 1e-5


def tags(start: str) -> list[str]:
    """What was run of a tool, by the recorded weight differences: more than the report describes."""
    return sorted({key.split(".lora_")[0] for key in DELTAS if key.startswith(f"{start}.")})


def peers(tag: str) -> dict[str, torch.Tensor]:
    """The peer's weight differences of one run, by module."""
    start = f"{tag}."
    return {
        key[len(start) : -len(".delta")]: DELTAS[key] for key in DELTAS if key.startswith(f"{start}lora_")
    }


def summands(words: str) -> tuple[list[LoraFile], list[float]]:
    """`A_r8a1*0.7+B_r8a1*0.3` as files and ratios."""
    pairs = [term.split("*") for term in words.split("+")]
    return [golden_file(name) for name, _ in pairs], [float(ratio) for _, ratio in pairs]


@pytest.mark.parametrize("tag", [tag for tag in tags("merge_lora") if tag.endswith(".concat")])
def test_the_peers_concat_keeps_alpha_while_the_rank_grows(tag: str) -> None:
    """B4: ratios squared, and all of it times r1 / (r1 + r2 + ...)."""
    files, ratios = summands(tag.removeprefix("merge_lora.").removesuffix(".concat"))
    squared = merge(files, [abs(ratio) * ratio for ratio in ratios])
    for name, peer in peers(tag).items():
        assert error(peer, delta(squared.modules[name]) / len(files)) < 1e-5


@pytest.mark.parametrize("tag", tags("svd"))
def test_every_recorded_svd_merge(tag: str) -> None:
    """Never further from the exact sum than the peer's result."""
    words, options = tag.removeprefix("svd.").split(".rank")
    files, ratios = summands(words)
    ranks = Ranks(*[int(number) for number in options.split(".conv")])
    whole, result = merge(files, ratios), svd_merge(files, ratios, ranks)
    for name, peer in peers(tag).items():
        sum_of_all = delta(whole.modules[name])
        assert error(delta(result.modules[name]), sum_of_all) <= error(peer, sum_of_all) + 1e-6
        assert error(delta(result.modules[name]), peer) < 0.3


@pytest.mark.parametrize("tag", tags("resize"))
def test_every_recorded_resize(tag: str) -> None:
    _, name_of_file, how = tag.split(".", 2)
    file = golden_file(name_of_file)
    if how.startswith("fixed"):
        numbers = [int(number) for number in how.removeprefix("fixed").split("_conv")]
        result = resize(file, Ranks(*numbers, conv1x1_as_conv=True))
        assert all(error(delta(result.modules[name]), peer) < 1e-5 for name, peer in peers(tag).items())
        return
    method, _, param = how.rpartition("_")
    result = resize(file, Ranks(8, None, method, float(param)))
    for name, peer in peers(tag).items():
        theirs = int(torch.linalg.matrix_rank(peer.flatten(1), rtol=1e-5))
        assert result.modules[name].rank in (theirs - 1, min(theirs, len(file.modules[name].leaves["down"])))
        if theirs < len(file.modules[name].leaves["down"]):
            assert result.modules[name].rank == theirs - 1


def test_baking_is_the_peers_merge_into_weights() -> None:
    ratio = REPORT["merge_into_weights"]["ratio"]
    leaves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in WEIGHTS.items():
        if key.startswith("lora."):
            name, leaf = key.removeprefix("lora.").split(".", 1)
            short = leaf.removeprefix("lora_").removesuffix(".weight")
            leaves.setdefault(name, {})[short] = tensor
    modules = {extract_name(weight): weight for weight in REPORT["merge_into_weights"]["changed"]}
    assert modules.keys() == leaves.keys()
    for name, weight in modules.items():
        found = baked(Module(name, leaves[name]), ratio, WEIGHTS[f"before.{weight}"])
        assert torch.allclose(found, WEIGHTS[f"after.{weight}"], rtol=0, atol=1e-6)


def extract_name(weight: str) -> str:
    part, _, path = weight.removesuffix(".weight").partition(".")
    return f"lora_{ {'un': 'unet', 'te': 'te'}[part] }_{path.replace('.', '_')}"


@cases("extract")
def test_extract(case: dict[str, Any]) -> None:
    words = dict(
        part.split("m" if part.startswith("dim") else "v", 1) for part in case["tag"].split(".")[1:3]
    )
    dim, conv = int(words["di"]), words["con"]
    quantile = float(case["tag"].split(".q")[1])
    wish = Wish(dim, None if conv == "None" else int(conv), None if quantile == 1 else quantile)
    for name, recorded in case["modules"].items():
        difference = WEIGHTS[f"extract_diff.{recorded['weight']}"]
        factors, kept = approximated(name, difference, wish)
        assert factors.rank == recorded["rank"] and factors.alpha == recorded["alpha"]
        peer = WEIGHTS[f"{case['tag']}.{name}.delta"]
        assert error(delta(factors), peer) < (3e-2 if quantile == 1 else CLAMP_NOISE)
        ours = error(delta(factors), difference)
        assert (1 - kept.share) ** 0.5 == pytest.approx(ours, rel=1e-3)
        best, _ = truncated_svd(difference, recorded["rank"], seed=1)
        expected = recorded["best_rank_k_vs_diff"]["rel"]
        assert error(delta(best), difference) == pytest.approx(expected, rel=1e-4)
        assert ours >= expected - 1e-5

"""Merge, svd-merge, resize: against plain dense matrices."""

from pathlib import Path

import pytest
import torch

from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files.factors import Factors, delta, products
from lora_lab.loras import Making, Ranks, merge, read, resize, save, svd_merge
from lora_lab.loras.algebra import effective_rank, norm, singular_values
from lora_lab.loras.ranks import wanted_by
from lora_lab.loras.truncated_svd import truncated_svd
from tests.loras.made import dense, error, kohya, numbers, opened


def test_any_number_of_files_and_ratios(tmp_path: Path) -> None:
    """Ranks 4, 2, 3 and 4; one without alphas; one with a module less; negative and zero ratios."""
    contents = [kohya(4, 2.0), kohya(2, None, 1), kohya(3, 7, 2, torch.bfloat16), kohya(4, 1.0, 3)]
    lost = "lora_unet_up_blocks_1_resnets_0_conv1"
    contents[1] = {key: tensor for key, tensor in contents[1].items() if not key.startswith(lost)}
    ratios = [0.5, -1.25, 3.0, 0.0]
    files = [opened(tmp_path / f"{n}.safetensors", tensors) for n, tensors in enumerate(contents)]
    expected: dict[str, torch.Tensor] = {}
    for tensors, ratio in zip(contents, ratios, strict=True):
        for name, matrix in dense(tensors).items():
            expected[name] = expected.get(name, torch.zeros_like(matrix)) + ratio * matrix
    for found in (merge(files, ratios), svd_merge(files, ratios, Ranks(64))):
        assert found.modules.keys() == expected.keys()
        assert all(error(delta(item), expected[name]) < 2e-6 for name, item in found.modules.items())
    ranks = {name: item.rank for name, item in merge(files, ratios).modules.items()}  # zeros take no rank
    assert (ranks[lost], ranks["lora_te_text_model_encoder_layers_0_mlp_fc1"]) == (7, 9)


def test_a_difference_is_copied_bit_by_bit(tmp_path: Path) -> None:
    """With equal alphas, 1 and -1 change signs only: no rounding, also in half precision."""
    contents = [kohya(4, 2.0, 0, torch.float16), kohya(4, 2.0, 1, torch.float16)]
    files = [opened(tmp_path / f"{n}.safetensors", tensors) for n, tensors in enumerate(contents)]
    place = tmp_path / "x.safetensors"
    save(place, merge(files, [1, -1]).modules, Making("merge", files, {}, [1, -1]))
    found = read(place)
    name = "lora_unet_up_blocks_1_resnets_0_conv1"
    down, up = found.modules[name].leaves["down"], found.modules[name].leaves["up"]
    assert found.dtype == torch.float16 and products(found)[name].scale == 0.5
    assert torch.equal(down, torch.cat([content[f"{name}.lora_down.weight"] for content in contents]))
    ups = [content[f"{name}.lora_up.weight"] for content in contents]
    assert torch.equal(up, torch.cat([ups[0], -ups[1]], dim=1))


def test_equal_files_cancel(tmp_path: Path) -> None:
    file = opened(tmp_path / "x.safetensors", kohya())
    for found in (merge([file, file], [1, -1]), svd_merge([file, file], [1, -1], Ranks(4))):
        for name, item in found.modules.items():
            assert float(delta(item).abs().max()) < 1e-4 * norm(products(file)[name])


def test_no_more_ranks_than_a_matrix_can_have(tmp_path: Path) -> None:
    files = [opened(tmp_path / f"{n}.safetensors", kohya(8, 2.0, n)) for n in range(2)]
    found = merge(files, [1, 0.3]).modules["lora_te_text_model_encoder_layers_0_mlp_fc1"]
    name = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    exact = dense(kohya(8, 2.0, 0))[name] + 0.3 * dense(kohya(8, 2.0, 1))[name]
    assert found.rank == 12 and error(delta(found), exact) < 2e-6


def test_a_linear_and_a_1x1_form_of_one_module(tmp_path: Path) -> None:
    """SD 1.5's proj_in is a 1x1 convolution; some programs write it flat."""
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    flat = {
        f"{name}.lora_down.weight": numbers(2, 10, seed=8),
        f"{name}.lora_up.weight": numbers(16, 2, seed=9),
    }
    files = [opened(tmp_path / "a.safetensors", flat), opened(tmp_path / "b.safetensors", kohya())]
    found = merge(files, [1, 1]).modules[name]
    assert found.down.shape == (6, 10, 1, 1)
    assert error(delta(found), dense(flat)[name] + dense(kohya())[name]) < 1e-6


def test_what_does_not_belong_together(tmp_path: Path) -> None:
    one = opened(tmp_path / "a.safetensors", kohya())
    xl = opened(tmp_path / "b.safetensors", kohya(), {"ss_base_model_version": "sdxl_base_v1-0"})
    assert xl.family == "sd1"  # a cross-attention of width 768 decides
    wide = {key: tensor for key, tensor in kohya().items() if "conv1" in key}
    wide["lora_unet_up_blocks_1_resnets_0_conv1.lora_up.weight"] = numbers(15, 4, 1, 1)
    with pytest.raises(ModelError, match="different sizes in the files \\(14 x 90, 15 x 90\\)"):
        merge([one, opened(tmp_path / "c.safetensors", wide)], [1, 1])
    sdxl = {"lora_te2_x.lora_down.weight": numbers(2, 3), "lora_te2_x.lora_up.weight": numbers(3, 2)}
    with pytest.raises(ModelError, match="a.safetensors is for sd1, d.safetensors is for sdxl"):
        merge([one, opened(tmp_path / "d.safetensors", sdxl)], [1, 1])
    with pytest.raises(ConfigError, match="--ratios has 1 number for 2 files"):
        merge([one, xl], [1])
    with pytest.raises(ConfigError, match="must be finite"):
        merge([one], [float("nan")])


@pytest.mark.parametrize("clamp", [0.0, 1.5])
def test_a_clamp_out_of_range(tmp_path: Path, clamp: float) -> None:
    with pytest.raises(ConfigError, match="--clamp-quantile"):
        svd_merge([opened(tmp_path / "a.safetensors", kohya())], [1], Ranks(4), clamp)


def factors(outputs: int, inputs: int, values: list[float]) -> Factors:
    """A product with known singular values, alpha / rank = 1 / 2."""
    left = torch.linalg.qr(numbers(outputs, len(values), seed=1)).Q
    right = torch.linalg.qr(numbers(inputs, len(values), seed=2)).Q
    return Factors(right.T.contiguous(), left * (2 * torch.tensor(values)), len(values) / 2)


@pytest.mark.parametrize("sides", [(20, 30), (30, 20), (5, 30), (30, 5)])
def test_singular_values_and_norm(sides: tuple[int, int]) -> None:
    values = [8.0, 4.0, 2.0, 1.0, 0.5]
    item = factors(*sides, values)
    assert singular_values(item).tolist() == pytest.approx(values, rel=1e-5)
    assert norm(item) == pytest.approx(sum(v * v for v in values) ** 0.5, rel=1e-6)


def test_effective_rank() -> None:
    assert effective_rank(torch.ones(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([3.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(torch.zeros(3)) == 0


@pytest.mark.parametrize(
    ("method", "param", "count"),
    [
        ("sv_ratio", 1, 1), ("sv_ratio", 1.99, 1), ("sv_ratio", 2, 2),
        ("sv_ratio", 7.9, 3), ("sv_ratio", 99, 4),
        ("sv_cumulative", 8 / 15, 1), ("sv_cumulative", 0.54, 2), ("sv_cumulative", 0.8, 2),
        ("sv_cumulative", 0.81, 3), ("sv_cumulative", 1, 4),
        ("sv_fro", 0.86, 1), ("sv_fro", 0.87, 2), ("sv_fro", 0.97, 2), ("sv_fro", 0.98, 3), ("sv_fro", 1, 4),
    ],
)  # fmt: skip
def test_dynamic_ranks_are_counted_exactly(method: str, param: float, count: int) -> None:
    """Singular values 8, 4, 2, 1: sum 15, norm sqrt(85)."""
    assert wanted_by(method, param, torch.tensor([8.0, 4.0, 2.0, 1.0])) == count
    assert wanted_by(method, param, torch.zeros(4)) == 1


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (dict(rank=0), "--new-rank must be at least 1"),
        (dict(rank=1, conv_rank=0), "--new-conv-rank"),
        (dict(rank=1, method="sv"), "must be one of sv_ratio"),
        (dict(rank=1, method="sv_ratio", param=0.5), "at least 1; got 0.5"),
        (dict(rank=1, method="sv_fro", param=1.5), "at most 1; got 1.5"),
        (dict(rank=1, method="sv_fro", param=float("nan")), "got nan"),
    ],
)
def test_ranks_that_cannot_be(ranks: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ranks(**ranks)


def test_resize_keeps_the_scale_and_says_what_it_kept(tmp_path: Path) -> None:
    file = opened(tmp_path / "x.safetensors", kohya(6, 3.0))
    found = resize(file, Ranks(3, 2))
    for name, item in found.modules.items():
        spatial = item.down.shape[2:] == (3, 3)
        assert item.rank == (2 if spatial else 3) and item.scale == 0.5
        exact = dense(kohya(6, 3.0))[name]
        values = torch.linalg.svdvals(exact)
        share = values[: item.rank].square().sum() / values.square().sum()
        assert found.kept[name].share == pytest.approx(float(share), rel=1e-5)
        assert error(delta(item), exact) == pytest.approx(float((1 - share) ** 0.5), rel=1e-4)


def test_a_module_of_zeros_stays_one(tmp_path: Path) -> None:
    tensors = {key: torch.zeros_like(t) if "lora_up" in key else t for key, t in kohya().items()}
    found = resize(opened(tmp_path / "x.safetensors", tensors), Ranks(2))
    assert found.share == 1 and all(not delta(item).any() for item in found.modules.values())


@pytest.mark.parametrize("shape", [(500, 700), (700, 500), (450, 60, 3, 3)])
@pytest.mark.parametrize("decay", [0.9, 0.997])
def test_large_differences_are_approximated_as_well_as_can_be(shape: tuple[int, ...], decay: float) -> None:
    """Subspace iteration against a full SVD, for a steep and for a flat spectrum."""
    flat = numbers(shape[0], int(torch.tensor(shape[1:]).prod()))
    left, _, right = torch.linalg.svd(flat, full_matrices=False)
    values = decay ** torch.arange(len(right)).float()
    matrix = (left * values) @ right
    found, kept = truncated_svd(matrix.reshape(shape), 16, seed=3)
    best = float(values[16:].square().sum() / values.square().sum()) ** 0.5
    assert error(delta(found), matrix) == pytest.approx(best, abs=1e-4)
    assert (1 - kept.share) ** 0.5 == pytest.approx(best, abs=1e-4)
    again, _ = truncated_svd(matrix.reshape(shape), 16, seed=3)
    assert torch.equal(found.up, again.up)

"""The full-size random SD 1.5 of the recorded runs: rebuilt, loaded, and compared with what was recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_lab.models import BaseModel, encode_text, load, predict, tokenize
from tests.models import recipe


@pytest.mark.parametrize("component", ["text_encoder", "vae", "unet"])
def test_recipe_gives_the_recorded_tensors(component: str) -> None:
    sums = recipe.RECIPE["checksums"][component]
    shapes = recipe.shapes(component)
    assert len(shapes) == sums["n"]
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == sums["params"]
    for key, expected in sums["some"].items():
        tensor = recipe.tensor(component, key, shapes[key])
        assert list(tensor.shape) == expected["shape"]
        assert tensor.flatten()[:3].tolist() == expected["first"]
        assert tensor.flatten()[-1].item() == expected["last"]
        torch.testing.assert_close(tensor.double().sum().item(), expected["sum"], rtol=1e-9, atol=1e-6)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, BaseModel]]:
    import shutil

    place = recipe.write_folder(tmp_path_factory.mktemp("full") / "sd15")
    yield place, load(place)
    shutil.rmtree(place)


@pytest.mark.slow
def test_text_and_prediction_are_those_recorded(full: tuple[Path, BaseModel]) -> None:
    """Run A's first micro-batch: the LoRA's up matrices are still zero, so this is the base model alone."""
    golden = load_file(recipe.GOLDEN / "runA.safetensors")
    _, base = full
    ids = tokenize(base, ["sks girl", "sks girl"])
    assert torch.equal(ids[0].flatten(), golden["m0.input_ids"].flatten())
    with torch.no_grad():
        text = encode_text(base, ids)
        torch.testing.assert_close(text.hidden, golden["m0.text"], rtol=0, atol=1e-5)
        answer = predict(base, golden["m0.noisy"], golden["m0.timesteps"], text)
    torch.testing.assert_close(answer, golden["m0.pred"], rtol=0, atol=2e-5)
    alphas = (1 - base.betas).cumprod(0)[golden["m0.timesteps"].long()][:, None, None, None]
    noisy = alphas.sqrt() * golden["m0.latents"] + (1 - alphas).sqrt() * golden["m0.noise"]
    torch.testing.assert_close(noisy, golden["m0.noisy"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_single_file_is_the_same_model(tmp_path: Path) -> None:
    """By configs and vocabulary of this package alone."""
    file = recipe.write_file(tmp_path / "sd15.safetensors")
    base = load(file, dtype=torch.float16)
    file.unlink()
    for component, network in (
        ("unet", base.unet),
        ("vae", base.vae),
        ("text_encoder", base.text_encoders[0]),
    ):
        state = network.state_dict()
        for key in recipe.RECIPE["checksums"][component]["some"]:
            tensor = state[key] if key in state else state[key.removeprefix("text_model.")]
            assert torch.equal(tensor, recipe.tensor(component, key, tuple(tensor.shape)).half()), key

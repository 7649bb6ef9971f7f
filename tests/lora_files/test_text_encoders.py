"""LoRAs of text encoders alone: CLIP-L is SD 1.x's, SDXL's, Flux's and Stable Diffusion 3's."""

import copy
from pathlib import Path

import pytest
from safetensors.torch import save_file

from lora_lab import loras
from lora_lab.errors import ModelError
from lora_lab.lora_files import planned
from lora_lab.lora_files.factors import delta
from lora_lab.lora_files.reading import read
from lora_lab.loras.bake import bake
from lora_lab.models import load
from lora_lab.networks.merging import merge as merge_into
from tests import tiny
from tests.lora_files.test_every_user import base, changes, same
from tests.loras.made import numbers

CLIP_L = "lora_te1_text_model_encoder_layers_0_mlp_fc1"


def text_alone(path: Path, name: str = CLIP_L, **metadata: str) -> Path:
    """A LoRA of the first text encoder alone, of the sizes that the tiny models have."""
    down, up = numbers(2, 24), numbers(48, 2)
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, path, metadata or None)
    return path


@pytest.mark.parametrize(
    ("said", "title"),
    [({"modelspec.architecture": "flux-1-dev/lora"}, "Flux"), ({"ss_base_model_version": "flux1"}, "Flux"),
     ({"modelspec.architecture": "stable-diffusion-3-medium/lora"}, "Stable Diffusion 3")],
)  # fmt: skip
def test_text_encoders_of_other_models_are_named_by_what_the_file_says(
    tmp_path: Path, said: dict[str, str], title: str
) -> None:
    """Flux and Stable Diffusion 3 have CLIP-L, too, under the same names."""
    path = text_alone(tmp_path / "x.safetensors", **said)
    for use in (read, planned.identity):
        with pytest.raises(ModelError, match=f"for the text encoders of {title}, which is not known here"):
            use(path)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_first_text_encoder_alone_fits_whichever_base_it_is_put_into(tmp_path: Path, family: str) -> None:
    got = read(text_alone(tmp_path / "x.safetensors"))
    assert got.family == "unknown"
    expected = numbers(48, 2) @ numbers(2, 24)
    bake(tiny.folder(family), got, tmp_path / "out", (1.0, 1.0), force=False)
    merged = copy.deepcopy(base(family))
    merge_into(merged.unet, merged.text_encoders, family, got, 1.0)
    name = {"sd1": CLIP_L.replace("te1", "te"), "sdxl": CLIP_L}[family]
    for model in (merged, load(tmp_path / "out")):
        same(changes(base(family), model, family), {name: expected.double()})


def test_merged_with_a_file_of_a_known_family_it_takes_that_ones_names(tmp_path: Path) -> None:
    one = read(text_alone(tmp_path / "x.safetensors"))
    other = text_alone(tmp_path / "y.safetensors", CLIP_L.replace("te1", "te"), ss_base_model_version="sd_v1")
    for files in ([one, read(other)], [read(other), one]):
        found = loras.merge(files, [1.0, 1.0])
        same({n: delta(m).double() for n, m in found.modules.items()},
             {CLIP_L.replace("te1", "te"): 2 * (numbers(48, 2) @ numbers(2, 24)).double()})  # fmt: skip
    assert list(loras.merge([one], [1.0]).modules) == [CLIP_L], "alone it keeps its own"

"""Token ids and text states against sd-scripts (see golden/text): exact ids, states within 1e-5."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lora_lab.models.base import BaseModel
from lora_lab.models.clip_bpe import ClipBpe
from lora_lab.models.families import FAMILIES
from lora_lab.models.networks import make_clip
from lora_lab.models.text import encode_text, tokenize, tokenize_weighted
from lora_lab.models.weights import Target, Tensors, fill

GOLDEN = Path(__file__).parents[1] / "golden" / "text"
TOKENS = json.loads((GOLDEN / "tokens.json").read_text())
TEXTS: dict[str, str] = TOKENS["texts"]
LENGTHS = {"None": 75, "75": 75, "150": 150, "225": 225}


def text_only_base(family: str, encoders: list[Any], tokenizers: list[Any]) -> BaseModel:
    base = object.__new__(BaseModel)
    base.family, base.text_encoders, base.tokenizers, base.max_length = family, encoders, tokenizers, 77
    return base


def packaged(family: str) -> BaseModel:
    return text_only_base(family, [], [ClipBpe(spec.pad_id) for spec in FAMILIES[family].encoders])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("text", TEXTS)
def test_packaged_vocabulary_gives_reference_ids(text: str, length: str) -> None:
    (sd,) = tokenize(packaged("sd1"), [TEXTS[text]], LENGTHS[length])
    first, second = tokenize(packaged("sdxl"), [TEXTS[text]], LENGTHS[length])
    assert sd.tolist() == TOKENS["sd"][length][text]["ids"]
    assert first.tolist() == TOKENS["sdxl"][length][text]["ids1"]
    assert second.tolist() == TOKENS["sdxl"][length][text]["ids2"]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("text", TEXTS)
def test_weighted_captions_give_reference_ids_and_weights(text: str, length: str) -> None:
    ids, weights = tokenize_weighted(packaged("sdxl"), [TEXTS[text]], LENGTHS[length])
    expected = TOKENS["sdxl"][length][text]
    for index in (0, 1):
        assert ids[index].tolist() == expected[f"weighted_ids{index + 1}"]
        torch.testing.assert_close(
            weights[index], torch.tensor(expected[f"weights{index + 1}"]), rtol=1e-6, atol=1e-6
        )


@cache
def hidden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "clip_hidden.safetensors")


@cache
def clip(number: int) -> Any:
    """The reference's tiny CLIP, filled from its old-style names."""
    config = json.loads((GOLDEN / "clip_hidden.json").read_text())[f"te{number}"]
    encoder = make_clip(config, with_projection=number == 2)
    prefix = f"te{number}.weights."
    found = {
        name.removeprefix(prefix): tensor for name, tensor in hidden().items() if name.startswith(prefix)
    }
    keys = list(encoder.state_dict())
    sources = {key: (key if key in found else f"text_model.{key}", None) for key in keys}
    tensors = Tensors("golden", frozenset(found), found.__getitem__)
    fill(encoder, tensors, Target("text encoder", sources), torch.float32, "cpu")
    return encoder.requires_grad_(False).eval()


def golden_base(family: str) -> BaseModel:
    end = SimpleNamespace(eos_token_id=127)
    numbers = (1, 2) if family == "sdxl" else (1,)
    return text_only_base(family, [clip(number) for number in numbers], [end] * len(numbers))


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("skip", ["None", 1, 2, 3])
def test_clip_skip_states(chunks: int, skip: Any) -> None:
    golden = hidden()
    ids = [golden[f"chunks{chunks}.ids1"]]
    states = encode_text(golden_base("sd1"), ids, 1 if skip == "None" else skip)
    expected = golden[f"chunks{chunks}.sd.clip_skip_{skip}"]
    torch.testing.assert_close(states.hidden, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("skip", ["None", 2])
def test_weighted_states(chunks: int, skip: Any) -> None:
    golden = hidden()
    weights = [golden[f"chunks{chunks}.weights_in"]]
    states = encode_text(
        golden_base("sd1"), [golden[f"chunks{chunks}.ids1"]], 1 if skip == "None" else 2, weights
    )
    expected = golden[f"chunks{chunks}.sd.weighted.clip_skip_{skip}"]
    torch.testing.assert_close(states.hidden, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("ignored_skip", [1, 2])
def test_sdxl_states(chunks: int, ignored_skip: int) -> None:
    golden = hidden()
    ids = [golden[f"chunks{chunks}.ids1"], golden[f"chunks{chunks}.ids2"]]
    states = encode_text(golden_base("sdxl"), ids, ignored_skip)
    expected = torch.cat([golden[f"chunks{chunks}.sdxl.h1"], golden[f"chunks{chunks}.sdxl.h2"]], dim=-1)
    torch.testing.assert_close(states.hidden, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(states.pooled, golden[f"chunks{chunks}.sdxl.pool"], rtol=0, atol=1e-5)


def test_every_sample_may_have_its_own_clip_skip() -> None:
    golden = hidden()
    states = encode_text(golden_base("sd1"), [golden["chunks2.ids1"]], [3, 1, 2])
    for sample, skip in enumerate([3, 1, 2]):
        expected = golden[f"chunks2.sd.clip_skip_{skip}"][sample]
        torch.testing.assert_close(states.hidden[sample], expected, rtol=0, atol=1e-5)

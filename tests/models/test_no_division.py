"""Divisions by one are left out, and nothing else changes."""

import pytest
import torch

from lora_lab.models.no_division import One, leave_out_divisions
from tests import tiny


def test_the_model_answers_bit_for_bit_what_it_answers_with_divisions():
    unet = tiny.base("sdxl").unet
    inputs = {
        "sample": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)),
        "timestep": torch.tensor([3, 700]),
        "encoder_hidden_states": torch.randn(2, 7, unet.config.cross_attention_dim),
        "added_cond_kwargs": {"text_embeds": torch.randn(2, 20), "time_ids": torch.ones(2, 6)},
    }
    without = unet(**inputs).sample
    factors = 0
    for module in unet.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, One):
                setattr(module, name, 1.0)
                factors += 1
    assert factors > 5
    assert torch.equal(unet(**inputs).sample, without)


def test_only_factors_of_one_are_left_out():
    module = torch.nn.Linear(2, 2)
    module.output_scale_factor, module.rescale_output_factor = 1, 1.5
    leave_out_divisions(module)
    x = torch.ones(3)
    assert x / module.output_scale_factor is x
    assert module.rescale_output_factor == 1.5


def test_it_is_good_for_nothing_but_dividing():
    with pytest.raises(TypeError):
        torch.ones(2) + One()
    with pytest.raises(TypeError):
        One() / torch.ones(2)

"""What is said of loss settings at plan time."""

import dataclasses

import pytest

from lora_lab.config.schema import LossConfig
from lora_lab.losses.settings import check


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        (LossConfig(v_pred_like_loss=0.5), "v_prediction", "loss.v_pred_like_loss=0.5"),
        (LossConfig(scale_v_pred_loss_like_noise_pred=True), "epsilon", "needs a v-prediction model"),
        (LossConfig(min_timestep=500, max_timestep=500), "epsilon", "max_timestep=501"),
        (LossConfig(max_timestep=1001), "epsilon", "from 0 to 1000"),
    ],
)
def test_refusals(settings, kind, words):
    (text,) = check(settings, kind).refusals
    assert words in text


def test_zero_terminal_snr_is_for_v_prediction():
    both = LossConfig(zero_terminal_snr=True, debiased_estimation_loss=True)
    assert check(both, "v_prediction").warnings == ()
    assert len(check(both, "epsilon").warnings) == 2


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (LossConfig(huber_c=0.2, huber_scale=2.0), ["loss.huber_c", "loss.huber_scale"]),
        (LossConfig(loss_type="huber", huber_scale=2.0), ["loss.huber_scale"]),
        (LossConfig(loss_type="huber", huber_schedule="constant", huber_scale=2.0), []),
        (LossConfig(adaptive_noise_scale=0.1), ["loss.adaptive_noise_scale"]),
        (LossConfig(noise_offset=0.1, adaptive_noise_scale=0.1), []),
        (LossConfig(noise_offset_random_strength=True), ["loss.noise_offset_random_strength"]),
        (LossConfig(multires_noise_discount=0.5), ["loss.multires_noise_discount"]),
        (LossConfig(ip_noise_gamma_random_strength=True), ["loss.ip_noise_gamma_random_strength"]),
        (LossConfig(), []),
    ],
)
def test_inert_settings(settings, keys):
    assert [one.key for one in check(settings, "epsilon").inert] == keys


def test_fields_and_off_values_are_those_of_the_config():
    schema = pytest.importorskip("lora_lab.config.schema")
    assert dataclasses.asdict(LossConfig()) == dataclasses.asdict(schema.LossConfig())

"""What is said of loss settings at plan time."""

import dataclasses

import pytest

from lora_lab.losses.settings import LossSettings, check


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        (LossSettings(v_pred_like_loss=0.5), "v_prediction", "loss.v_pred_like_loss=0.5"),
        (LossSettings(scale_v_pred_loss_like_noise_pred=True), "epsilon", "needs a v-prediction model"),
        (LossSettings(min_timestep=500, max_timestep=500), "epsilon", "max_timestep=501"),
        (LossSettings(max_timestep=1001), "epsilon", "from 0 to 1000"),
    ],
)
def test_refusals(settings, kind, words):
    (text,) = check(settings, kind).refusals
    assert words in text


def test_zero_terminal_snr_is_for_v_prediction():
    both = LossSettings(zero_terminal_snr=True, debiased_estimation_loss=True)
    assert check(both, "v_prediction").warnings == ()
    assert len(check(both, "epsilon").warnings) == 2


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (LossSettings(huber_c=0.2, huber_scale=2.0), ["loss.huber_c", "loss.huber_scale"]),
        (LossSettings(loss_type="huber", huber_scale=2.0), ["loss.huber_scale"]),
        (LossSettings(loss_type="huber", huber_schedule="constant", huber_scale=2.0), []),
        (LossSettings(adaptive_noise_scale=0.1), ["loss.adaptive_noise_scale"]),
        (LossSettings(noise_offset=0.1, adaptive_noise_scale=0.1), []),
        (LossSettings(noise_offset_random_strength=True), ["loss.noise_offset_random_strength"]),
        (LossSettings(multires_noise_discount=0.5), ["loss.multires_noise_discount"]),
        (LossSettings(ip_noise_gamma_random_strength=True), ["loss.ip_noise_gamma_random_strength"]),
        (LossSettings(), []),
    ],
)
def test_inert_settings(settings, keys):
    assert [one.key for one in check(settings, "epsilon").inert] == keys


def test_fields_and_off_values_are_those_of_the_config():
    schema = pytest.importorskip("lora_lab.config.schema")
    assert dataclasses.asdict(LossSettings()) == dataclasses.asdict(schema.LossConfig())

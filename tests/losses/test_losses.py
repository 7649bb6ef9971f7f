"""Schedule, targets, weights and distances against the reference's recorded numbers, and diffusers."""

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file

from lora_lab.errors import ModelError
from lora_lab.losses.loss import distance, huber_c_table, per_sample_loss, weight_table
from lora_lab.losses.schedule import add_noise, noise_schedule, target, velocity
from lora_lab.losses.settings import LossSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "loss_weights"
WEIGHTS = load_file(GOLDEN / "weights.safetensors")
TENSORS = load_file(GOLDEN / "noise_and_losses.safetensors")
SUMMARY = json.loads((GOLDEN / "summary.json").read_text())

MODIFIERS = {
    "min_snr_gamma_1": {"min_snr_gamma": 1.0},
    "min_snr_gamma_5": {"min_snr_gamma": 5.0},
    "min_snr_gamma_20": {"min_snr_gamma": 20.0},
    "scale_v_pred_loss_like_noise_pred": {"scale_v_pred_loss_like_noise_pred": True},
    "v_pred_like_loss_0.5": {"v_pred_like_loss": 0.5},
    "v_pred_like_loss_1.0": {"v_pred_like_loss": 1.0},
    "debiased_estimation": {"debiased_estimation_loss": True},
}
KINDS = {"eps": "epsilon", "v": "v_prediction"}


def weight_keys(schedule):
    return [key for key in WEIGHTS if key.startswith(f"{schedule}.") and key.split(".", 1)[1] not in TABLES]


TABLES = ("betas", "alphas_cumprod", "all_snr")


def ours(key, zero_terminal_snr):
    name = key.split(".", 1)[1]
    kind = "epsilon"
    if name.endswith((".eps", ".v")):
        name, kind = name.rsplit(".", 1)[0], KINDS[name.rsplit(".", 1)[1]]
    return weight_table(LossSettings(**MODIFIERS[name]), noise_schedule(kind, zero_terminal_snr))


@pytest.mark.parametrize("key", weight_keys("sd"))
def test_weights_equal_the_reference(key):
    torch.testing.assert_close(ours(key, False), WEIGHTS[key], rtol=1e-6, atol=0)


@pytest.mark.parametrize("key", weight_keys("ztsnr_recomputed"))
def test_weights_under_zero_terminal_snr_are_those_of_the_rescaled_schedule_and_finite(key):
    weights = ours(key, True)
    defined = WEIGHTS[key].isfinite()
    assert weights.isfinite().all()
    torch.testing.assert_close(weights[defined], WEIGHTS[key][defined], rtol=1e-6, atol=0)
    assert defined[:-1].all()
    if not defined[-1]:  # the limit where it is finite, else the value of the step before
        expected = 1.0 if "min_snr" in key else float(WEIGHTS[key][-2])
        assert float(weights[-1]) == pytest.approx(expected, rel=1e-6)


def test_the_peer_weighs_zero_terminal_snr_by_the_schedule_before_rescaling():
    key = "ztsnr_as_trainer.min_snr_gamma_5.v"
    assert torch.equal(WEIGHTS[key], WEIGHTS["sd.min_snr_gamma_5.v"])
    assert not torch.allclose(ours(key, True)[500:], WEIGHTS[key][500:], rtol=0.1)


@pytest.mark.parametrize(("name", "rescaled"), [("sd", False), ("ztsnr_recomputed", True)])
def test_schedule_tables(name, rescaled):
    schedule = noise_schedule(zero_terminal_snr=rescaled)
    for table, expected in zip(
        (schedule.betas_T, schedule.alphas_cumprod_T, schedule.snr_T),
        (WEIGHTS[f"{name}.{table}"] for table in TABLES),
        strict=True,
    ):
        torch.testing.assert_close(table, expected, rtol=1e-6, atol=0)
    assert (float(schedule.snr_T[-1]) == 0) == rescaled


def test_other_schedules_equal_diffusers():
    theirs = DDPMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, num_train_timesteps=500)
    made = noise_schedule(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, num_train_timesteps=500)
    torch.testing.assert_close(made.alphas_cumprod_T, theirs.alphas_cumprod, rtol=1e-6, atol=0)
    assert len(made) == 500
    with pytest.raises(ModelError, match="squaredcos"):
        noise_schedule(beta_schedule="squaredcos_cap_v2")


@pytest.mark.parametrize("rescaled", [False, True])
def test_noisy_latents_and_velocity(rescaled):
    schedule = noise_schedule("v_prediction", rescaled)
    inputs = (TENSORS["latents"], TENSORS["noise"], TENSORS["timesteps"], schedule)
    prefix = "ztsnr" if rescaled else "sd"
    torch.testing.assert_close(add_noise(*inputs), TENSORS[f"{prefix}.add_noise"], rtol=0, atol=1e-6)
    torch.testing.assert_close(velocity(*inputs), TENSORS[f"{prefix}.velocity"], rtol=0, atol=1e-6)
    assert torch.equal(target(*inputs), velocity(*inputs))
    assert target(*inputs[:3], noise_schedule("epsilon", rescaled)) is TENSORS["noise"]


def test_at_zero_snr_the_input_is_the_noise_alone():
    schedule = noise_schedule(zero_terminal_snr=True)
    last = torch.full((4,), 999)
    assert torch.equal(add_noise(TENSORS["latents"], TENSORS["noise"], last, schedule), TENSORS["noise"])


@pytest.mark.parametrize("huber_schedule", ["constant", "exponential", "snr"])
@pytest.mark.parametrize("loss_type", ["huber", "smooth_l1"])
def test_huber_losses(loss_type, huber_schedule):
    settings = LossSettings(loss_type=loss_type, huber_schedule=huber_schedule)
    huber_c = huber_c_table(settings, noise_schedule())[TENSORS["timesteps"]]
    torch.testing.assert_close(huber_c, TENSORS[f"huber_c.{huber_schedule}"], rtol=1e-6, atol=0)
    made = distance(TENSORS["pred"], TENSORS["noise"], loss_type, huber_c)
    torch.testing.assert_close(made, TENSORS[f"loss.{loss_type}.{huber_schedule}"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss_type", ["l1", "l2"])
def test_plain_losses(loss_type):
    made = distance(TENSORS["pred"], TENSORS["noise"], loss_type)
    torch.testing.assert_close(made, TENSORS[f"loss.{loss_type}"], rtol=1e-6, atol=0)


def test_huber_scale_acts_on_the_schedules_that_have_one():
    for name, factor in (("constant", 3.0), ("exponential", 3.0), ("snr", 1.0)):
        plain = huber_c_table(LossSettings(loss_type="huber", huber_schedule=name), noise_schedule())
        scaled = huber_c_table(
            LossSettings(loss_type="huber", huber_schedule=name, huber_scale=3.0), noise_schedule()
        )
        torch.testing.assert_close(scaled, plain * factor)


@pytest.mark.parametrize("case", SUMMARY["combined_post_process_loss"])
def test_modifiers_together(case):
    record = SUMMARY["combined_post_process_loss"][case]
    options = {name: value or 0.0 for name, value in record["args"].items() if name != "v_parameterization"}
    kind = "v_prediction" if record["args"]["v_parameterization"] else "epsilon"
    timesteps = torch.tensor(record["timesteps"])
    pred = torch.full((len(timesteps), 4, 8, 8), math.sqrt(2.0))  # squared error 2 per sample, as recorded
    made = per_sample_loss(
        pred, torch.zeros_like(pred), timesteps, LossSettings(**options), noise_schedule(kind)
    )
    torch.testing.assert_close(made, torch.tensor(record["loss"]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_predictions_are_compared_in_fp32(dtype):
    pred = torch.full((2, 4, 8, 8), 300.0, dtype=dtype)  # its square is beyond fp16
    made = per_sample_loss(
        pred, torch.zeros_like(pred), torch.tensor([3, 900]), LossSettings(), noise_schedule()
    )
    assert made.tolist() == [90000.0, 90000.0]
    assert made.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_a_mask_multiplies_the_elementwise_loss_and_the_mean_stays_over_all():
    mask = torch.rand(
        len(TENSORS["pred"]), 1, *TENSORS["pred"].shape[2:], generator=torch.Generator().manual_seed(1)
    )
    inputs = (TENSORS["pred"], TENSORS["noise"], TENSORS["timesteps"], LossSettings(min_snr_gamma=5.0))
    made = per_sample_loss(*inputs, noise_schedule(), mask)
    plain = (TENSORS["pred"] - TENSORS["noise"]) ** 2
    by_hand = (plain * mask).mean(dim=(1, 2, 3)) * WEIGHTS["sd.min_snr_gamma_5.eps"][TENSORS["timesteps"]]
    torch.testing.assert_close(made, by_hand, rtol=1e-6, atol=0)
    ones = per_sample_loss(*inputs, noise_schedule(), torch.ones_like(mask))
    assert torch.equal(ones, per_sample_loss(*inputs, noise_schedule()))


def test_samples_do_not_touch_each_other():
    settings = LossSettings(loss_type="huber", min_snr_gamma=5.0)
    pred, goal, times = TENSORS["pred"].clone(), TENSORS["noise"], TENSORS["timesteps"]
    before = per_sample_loss(pred, goal, times, settings, noise_schedule())
    pred[0] = math.nan
    after = per_sample_loss(pred, goal, times, settings, noise_schedule())
    assert torch.equal(after[1:], before[1:])
    assert after[0].isnan()

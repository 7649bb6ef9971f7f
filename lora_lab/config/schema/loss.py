"""Noise, target and weights of the loss."""

from dataclasses import dataclass

from lora_lab.config.fields import above, at_least, between, one_of, setting, tried, untried

_VELOCITY = ("base_model.v_parameterization=true",)
_HUBER = ("loss.loss_type=huber",)


@dataclass(unsafe_hash=True)  # its tables are kept by its values; nothing changes one in place
class LossConfig:
    """Noise, target and weights of the loss."""

    loss_type: str = setting(
        "l2",
        "l2, l1, huber or smooth_l1",
        one_of("l2", "l1", "huber", "smooth_l1"),
        peer="--loss_type",
        source="sd-scripts",
        trial=tried("l1"),
    )
    huber_c: float = setting(
        0.1,
        "where huber turns from square to linear",
        above(0),
        peer="--huber_c",
        source="arXiv 2403.16728; sd-scripts",
        trial=tried("0.5", *_HUBER),
    )
    huber_schedule: str = setting(
        "snr",
        "how huber_c moves with the timestep",
        one_of("constant", "exponential", "snr"),
        peer="--huber_schedule",
        source="sd-scripts",
        trial=tried("constant", *_HUBER),
    )
    huber_scale: float = setting(
        1.0,
        "factor of huber_c",
        above(0),
        peer="--huber_scale",
        source="sd-scripts",
        trial=tried("3", "loss.loss_type=huber", "loss.huber_schedule=constant"),
    )
    min_snr_gamma: float = setting(
        0.0,
        "min-SNR weighting, 5 is usual, 0 = off",
        at_least(0),
        scale="linear",
        label="min-SNR gamma",
        ja="min-SNRガンマ",
        peer="--min_snr_gamma",
        source="Min-SNR, arXiv 2303.09556",
        trial=tried("1"),
    )
    debiased_estimation_loss: bool = setting(
        False,
        "weight by 1 / sqrt(SNR)",
        peer="--debiased_estimation_loss",
        source="arXiv 2310.08442",
        trial=tried("true"),
    )
    v_pred_like_loss: float = setting(
        0.0,
        "adds this share of the loss as v-prediction weighs it",
        at_least(0),
        peer="--v_pred_like_loss",
        source="guide to kohya_ss 21.8.8; sd-scripts, custom_train_functions.py",
        trial=tried("0.5"),
    )
    scale_v_pred_loss_like_noise_pred: bool = setting(
        False,
        "weigh v-prediction as noise prediction does",
        peer="--scale_v_pred_loss_like_noise_pred",
        source="guide to kohya_ss 21.8.8 (which has it backwards: noisy timesteps weigh less); sd-scripts",
        trial=tried("true", *_VELOCITY),
    )
    noise_offset: float = setting(
        0.0,
        "noise per channel added to the noise, 0.05 is usual",
        at_least(0),
        ja="ノイズオフセット",
        peer="--noise_offset",
        source="crosslabs.org, diffusion with offset noise",
        trial=tried("0.5"),
    )
    noise_offset_random_strength: bool = setting(
        False,
        "draw the noise offset from 0 to its value",
        peer="--noise_offset_random_strength",
        source="sd-scripts",
        trial=tried("true", "loss.noise_offset=0.5"),
    )
    adaptive_noise_scale: float = setting(
        0.0,
        "adds this times the mean latent to the noise offset",
        peer="--adaptive_noise_scale",
        source="sd-scripts",
        trial=tried("0.5", "loss.noise_offset=0.5"),
    )
    multires_noise_iterations: int = setting(
        0,
        "levels of multi-resolution noise, 0 = off",
        at_least(0),
        peer="--multires_noise_iterations",
        source="wandb.ai/johnowhitaker, multi-resolution noise",
        trial=tried("3"),
    )
    multires_noise_discount: float = setting(
        0.3,
        "strength of each further level",
        between(0, 1),
        peer="--multires_noise_discount",
        source="as above",
        trial=tried("0.9", "loss.multires_noise_iterations=3"),
    )
    ip_noise_gamma: float = setting(
        0.0,
        "input perturbation noise, 0.1 is usual, 0 = off",
        at_least(0),
        peer="--ip_noise_gamma",
        source="arXiv 2301.11706",
        trial=tried("0.5"),
    )
    ip_noise_gamma_random_strength: bool = setting(
        False,
        "draw ip_noise_gamma from 0 to its value",
        peer="--ip_noise_gamma_random_strength",
        source="sd-scripts",
        trial=tried("true", "loss.ip_noise_gamma=0.5"),
    )
    zero_terminal_snr: bool = setting(
        False,
        "rescale the schedule so that the last step is pure noise",
        peer="--zero_terminal_snr",
        source="arXiv 2305.08891",
        trial=tried("true"),
    )
    min_timestep: int = setting(
        0,
        "lowest timestep drawn",
        between(0, 999),
        peer="--min_timestep",
        source="guide to kohya_ss 21.8.8",
        trial=tried("700"),
    )
    max_timestep: int = setting(
        1000,
        "timesteps drawn stay below this",
        between(1, 1000),
        peer="--max_timestep",
        source="guide to kohya_ss 21.8.8",
        trial=tried("300"),
    )
    timestep_sampling: str = setting(
        "sigmoid",
        "how a flow draws its times: sigmoid (of a normal number) or uniform",
        one_of("sigmoid", "uniform"),
        peer="--timestep_sampling",
        source="sd-scripts, flux_train_utils.py; arXiv 2403.03206",
        trial=untried("uniform", "flows alone have it: see the flow family of the tests"),
    )
    sigmoid_scale: float = setting(
        1.0,
        "scale of the normal number under timestep_sampling=sigmoid: below 1 more times in the middle",
        above(0),
        scale="log",
        peer="--sigmoid_scale",
        source="sd-scripts, flux_train_utils.py",
        trial=untried("2", "flows alone have it: see the flow family of the tests"),
    )
    flow_shift: float = setting(
        1.0,
        "shift of a flow's times in training: above 1 towards noise",
        above(0),
        scale="log",
        peer="--discrete_flow_shift",
        source="arXiv 2403.03206, equation 23",
        trial=untried("3", "flows alone have it: see the flow family of the tests"),
    )
    prior_loss_weight: float = setting(
        1.0,
        "weight of regularisation images",
        at_least(0),
        peer="--prior_loss_weight",
        source="DreamBooth, arXiv 2208.12242",
        trial=tried("0.1", "dataset.reg_path={others}", "train.max_train_steps=8"),
    )

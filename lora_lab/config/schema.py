"""Every setting of a run: name, type, rule and one line of documentation.

The defaults here are the field's plain or "off" values; recommended values are in `conf/`. OmegaConf reads
these classes as structured configs, so they are plain (not frozen) dataclasses with built-in types.
"""

from dataclasses import dataclass, field
from typing import Any

from lora_lab.config.fields import (
    above,
    at_least,
    between,
    division,
    each,
    fraction_below_one,
    multiple_of,
    not_empty,
    one_of,
    resolution,
    setting,
    warmup,
)


@dataclass
class BaseModelConfig:
    """The frozen model that a LoRA is trained on and rendered with."""

    path: str = setting("", "diffusers folder, .safetensors or .ckpt file; 'demo' is the embedded one")
    family: str = setting("auto", "auto, sd1, sd2 or sdxl", one_of("auto", "sd1", "sd2", "sdxl"))
    vae: str | None = setting(None, "a VAE of its own (folder or file) in place of the model's")
    clip_skip: int = setting(
        1, "text encoder layer counted from the end, 1 = last (kohya and A1111 counting)", between(1, 24)
    )
    max_token_length: int = setting(75, "tokens per caption: 75, 150 or 225", one_of(75, 150, 225))
    v_parameterization: bool | None = setting(None, "v-prediction; null takes what the model says of itself")
    fp8_base: bool = setting(
        False, "keep the frozen model's matrices in 8 bits (e4m3): half of fp16's memory"
    )
    nf4_base: bool = setting(
        False, "keep the frozen model's matrices in 4 bits (bitsandbytes NF4): a quarter of fp16's memory"
    )


@dataclass
class DatasetConfig:
    """Pictures and captions, and how they become batches."""

    path: str = setting("", "folder of `15_trigger class` folders, folder of pictures, or kohya dataset TOML")
    reg_path: str | None = setting(None, "regularisation pictures, a folder of the same form")
    validation_path: str | None = setting(
        None,
        "pictures to measure the validation loss on, a folder of the same form; never trained on",
        trains=False,
    )
    repeats: int | None = setting(
        None,
        "times each picture is shown per epoch; null takes the folder names",
        at_least(1),
        scale="linear",
    )
    trigger_word: str | None = setting(None, "word put in front of every caption that lacks it")
    class_tokens: str | None = setting(None, "caption of a picture that has no caption file")
    resolution: str = setting("512", "training size in pixels: 512, or width x height '512x768'", resolution)
    enable_bucket: bool = setting(True, "sort pictures into aspect-ratio buckets")
    min_bucket_reso: int = setting(256, "shortest bucket side in pixels", at_least(64))
    max_bucket_reso: int = setting(1024, "longest bucket side in pixels", at_least(64))
    bucket_reso_steps: int = setting(64, "bucket sides are multiples of this, in pixels", multiple_of(8))
    bucket_no_upscale: bool = setting(False, "never enlarge a picture to fill a bucket")
    resize_interpolation: str | None = setting(
        None,
        "how pictures are resized: lanczos, area, bicubic, bilinear, box or nearest; null is area when "
        "shrinking and lanczos when enlarging",
        one_of(None, "lanczos", "area", "bicubic", "cubic", "bilinear", "linear", "box", "nearest"),
    )
    caption_extension: str = setting(".txt", "file name extension of caption files", not_empty)
    caption_separator: str = setting(",", "what separates tags", not_empty)
    weighted_captions: bool = setting(False, "read (word:1.3), (word) and [word] in captions as weights")
    shuffle_caption: bool = setting(False, "shuffle the tags at every draw")
    keep_tokens: int = setting(0, "first tags that stay in front when shuffling", at_least(0))
    keep_tokens_separator: str = setting("", "marks fixed head and tail of a caption, such as |||")
    secondary_separator: str = setting("", "tags joined by this stay together when shuffling")
    enable_wildcard: bool = setting(False, "draw one of {a|b} and one of several caption lines")
    caption_prefix: str = setting("", "text in front of every caption")
    caption_suffix: str = setting("", "text behind every caption")
    caption_dropout_rate: float = setting(0.0, "share of draws with an empty caption", between(0, 1))
    caption_dropout_every_n_epochs: int = setting(
        0, "every n-th epoch has empty captions, 0 = off", at_least(0)
    )
    caption_tag_dropout_rate: float = setting(0.0, "probability of leaving out each tag", between(0, 1))
    token_warmup_min: int = setting(1, "tags shown at the start of token warmup", at_least(1))
    token_warmup_step: float = setting(0.0, "steps (or share below 1) until all tags are shown", at_least(0))
    flip_aug: bool = setting(False, "mirror half of the draws")
    random_crop: bool = setting(False, "crop at random instead of the centre; needs cache_latents=false")
    alpha_mask: bool = setting(False, "transparent parts of a picture do not count in the loss")
    cache_latents: bool = setting(True, "encode pictures once, kept by content on disk", trains=True)
    max_image_pixels: int = setting(
        178_956_970,
        "pictures with more pixels are refused as decompression bombs",
        at_least(4096),
        trains=False,
    )


@dataclass
class NetworkConfig:
    """The LoRA."""

    type: str = setting(
        "lora",
        "lora, locon (3x3 convolutions, too), loha, lokr or dora",
        one_of("lora", "locon", "loha", "lokr", "dora"),
    )
    network_dim: int = setting(4, "rank", at_least(1), scale="log")
    network_alpha: float = setting(
        1.0, "the LoRA is scaled by alpha / dim; 0 means alpha = dim", at_least(0), scale="log"
    )
    conv_dim: int = setting(
        0,
        "rank of 3x3 convolutions; 0 = network_dim for locon and LyCORIS' presets, else none",
        at_least(0),
        scale="log",
    )
    conv_alpha: float = setting(
        0.0, "alpha of 3x3 convolutions, 0 = alpha of the rest", at_least(0), scale="log"
    )
    preset: str = setting(
        "kohya",
        "which layers: kohya, or a preset of LyCORIS (full, attn-mlp, unet-transformer-only, ...)",
        one_of(
            "kohya",
            "full",
            "full-lin",
            "attn-mlp",
            "attn-only",
            "unet-only",
            "unet-transformer-only",
            "unet-convblock-only",
        ),
    )
    factor: int = setting(-1, "lokr: divides a layer's sides; -1 = as square as possible", division)
    decompose_both: bool = setting(False, "lokr: make the smaller matrix of two factors, too")
    wd_on_output: bool = setting(True, "dora: learn the weight norms of outputs; false: of inputs")
    train_unet: bool = setting(True, "train U-Net layers")
    train_text_encoder: bool = setting(True, "train text encoder layers")
    network_dropout: float = setting(
        0.0, "drop rank activations at random", fraction_below_one, scale="linear"
    )
    rank_dropout: float = setting(0.0, "drop whole ranks per sample", fraction_below_one, scale="linear")
    module_dropout: float = setting(0.0, "drop whole layers per step", fraction_below_one, scale="linear")
    scale_weight_norms: float = setting(
        0.0, "cap of each layer's weight norm after every step, 0 = off", at_least(0), scale="linear"
    )
    down_lr_weight: str = setting(
        "", "learning rates of the U-Net's down blocks as shares: 12 numbers (SDXL 9), or sine, cosine, ..."
    )
    mid_lr_weight: str = setting("", "the same for the mid block: 1 number (SDXL 3)")
    up_lr_weight: str = setting("", "the same for the up blocks: 12 numbers (SDXL 9), or sine, cosine, ...")
    block_lr_zero_threshold: float = setting(
        0.0, "blocks with a share up to this have no LoRA", at_least(0), scale="linear"
    )
    network_weights: str | None = setting(None, "LoRA file to continue from")
    dim_from_weights: bool = setting(False, "take layers, dims and alphas from network_weights")
    base_weights: list[str] = setting([], "LoRA files merged into the base model in memory, before training")
    base_weights_multiplier: list[float] = setting([], "strength of each of base_weights; 1 where not given")

    def merged(self) -> list[tuple[str, float]]:
        """The files of `base_weights`, each with its strength."""
        strengths = [*self.base_weights_multiplier, *[1.0] * len(self.base_weights)]
        return list(zip(self.base_weights, strengths, strict=False))


@dataclass
class OptimizerConfig:
    """What updates the weights."""

    name: str = setting("adamw", "an optimizer of the registry, or a dotted class")
    learning_rate: float | None = setting(None, "learning rate of all parts", at_least(0), scale="log")
    unet_lr: float | None = setting(
        None, "learning rate of the U-Net, null = learning_rate", at_least(0), scale="log"
    )
    text_encoder_lr: float | None = setting(
        None, "learning rate of the text encoders, null = learning_rate", at_least(0), scale="log"
    )
    loraplus_lr_ratio: float = setting(
        1.0, "LoRA+: learning rate of lora_up as a multiple of lora_down's", above(0), scale="log"
    )
    args: dict[str, Any] = setting({}, "arguments by name: weight_decay, betas, d_coef, relative_step, ...")


@dataclass
class LrSchedulerConfig:
    """How the learning rate moves over the run."""

    name: str = setting("constant", "a schedule of the registry, or a dotted class")
    lr_warmup_steps: str = setting("0", "warmup: steps (100), fraction (0.1) or percentage (10%)", warmup)
    lr_decay_steps: str = setting("0", "decay of warmup_stable_decay: steps, fraction or percentage", warmup)
    num_cycles: float = setting(1.0, "cycles of cosine_with_restarts", above(0))
    power: float = setting(1.0, "exponent of polynomial", above(0))
    min_lr_ratio: float = setting(0.0, "floor as a share of the learning rate", between(0, 1))
    timescale: float | None = setting(None, "time scale of inverse_sqrt in steps", above(0))
    step_rules: str = setting("", "rules of piecewise_constant, such as '1:10,0.1:20,0.01'")
    args: dict[str, Any] = setting({}, "arguments of a dotted class")


@dataclass
class LossConfig:
    """Noise, target and weights of the loss."""

    loss_type: str = setting("l2", "l2, l1, huber or smooth_l1", one_of("l2", "l1", "huber", "smooth_l1"))
    huber_c: float = setting(0.1, "where huber turns from square to linear", above(0))
    huber_schedule: str = setting(
        "snr", "how huber_c moves with the timestep", one_of("constant", "exponential", "snr")
    )
    huber_scale: float = setting(1.0, "factor of huber_c", above(0))
    min_snr_gamma: float = setting(0.0, "min-SNR weighting, 5 is usual, 0 = off", at_least(0), scale="linear")
    debiased_estimation_loss: bool = setting(False, "weight by 1 / sqrt(SNR)")
    v_pred_like_loss: float = setting(
        0.0, "adds this share of the loss as v-prediction weighs it", at_least(0)
    )
    scale_v_pred_loss_like_noise_pred: bool = setting(False, "weigh v-prediction as noise prediction does")
    noise_offset: float = setting(0.0, "noise per channel added to the noise, 0.05 is usual", at_least(0))
    noise_offset_random_strength: bool = setting(False, "draw the noise offset from 0 to its value")
    adaptive_noise_scale: float = setting(0.0, "adds this times the mean latent to the noise offset")
    multires_noise_iterations: int = setting(0, "levels of multi-resolution noise, 0 = off", at_least(0))
    multires_noise_discount: float = setting(0.3, "strength of each further level", between(0, 1))
    ip_noise_gamma: float = setting(0.0, "input perturbation noise, 0.1 is usual, 0 = off", at_least(0))
    ip_noise_gamma_random_strength: bool = setting(False, "draw ip_noise_gamma from 0 to its value")
    zero_terminal_snr: bool = setting(False, "rescale the schedule so that the last step is pure noise")
    min_timestep: int = setting(0, "lowest timestep drawn", between(0, 999))
    max_timestep: int = setting(1000, "timesteps drawn stay below this", between(1, 1000))
    prior_loss_weight: float = setting(1.0, "weight of regularisation pictures", at_least(0))


@dataclass
class TrainConfig:
    """Length, batches, precision and saving."""

    seed: int = setting(23, "seed of weights, order, noise, timesteps and dropout", at_least(0))
    train_batch_size: int = setting(1, "samples per step", at_least(1), scale="log")
    gradient_accumulation_steps: int = setting(1, "batches per update", at_least(1), scale="log")
    max_train_epochs: int | None = setting(
        None, "length in epochs", at_least(1), scale="linear", unit="epochs"
    )
    max_train_steps: int | None = setting(
        None,
        "length in updates; a cap where epochs are given, too",
        at_least(1),
        scale="linear",
        unit="steps",
    )
    max_grad_norm: float = setting(1.0, "gradient clipping over the whole LoRA, 0 = off", at_least(0))
    mixed_precision: str = setting("no", "no, fp16 or bf16", one_of("no", "fp16", "bf16"))
    full_bf16: bool = setting(False, "LoRA weights and optimizer in bf16, too")
    full_fp16: bool = setting(False, "LoRA weights and optimizer in fp16, too")
    attention: str = setting(
        "sdpa",
        "how attention is computed: sdpa, or xformers where it is installed",
        one_of("sdpa", "xformers"),
    )
    gradient_checkpointing: bool = setting(False, "recompute activations: less memory, about 1/3 slower")
    save_every_n_epochs: int = setting(
        0, "a checkpoint every n epochs, 0 = last only", at_least(0), trains=False
    )
    save_every_n_steps: int = setting(0, "a checkpoint every n updates, 0 = off", at_least(0), trains=False)
    save_precision: str = setting(
        "fp16", "precision of LoRA files", one_of("fp32", "fp16", "bf16"), trains=False
    )
    save_state: bool = setting(True, "write what resuming needs with every checkpoint", trains=False)
    save_state_every_n_steps: int = setting(
        0,
        "write the training state every n updates, too; 0 = with checkpoints only",
        at_least(0),
        trains=False,
    )
    save_last_n_steps_state: int = setting(
        0, "keep states of the last n updates; 0 = the newest only", at_least(0), trains=False
    )
    save_last_n_epochs_state: int = setting(
        0, "keep states of the last n epochs; 0 = the newest only", at_least(0), trains=False
    )
    keep_state: bool = setting(False, "keep the training state when the run is done", trains=False)
    validation_split: float = setting(
        0.0,
        "share of each folder's pictures held back for the validation loss, 0 = none",
        fraction_below_one,
        scale="linear",
    )
    validation_seed: int = setting(0, "decides which pictures validation_split holds back", at_least(0))
    validate_every_n_epochs: int = setting(
        0, "validation loss every n epochs, beside checkpoints; 0 = off", at_least(0), trains=False
    )
    validate_every_n_steps: int = setting(
        0, "validation loss every n updates, beside checkpoints; 0 = off", at_least(0), trains=False
    )
    validation_timesteps: list[int] = setting(
        [200, 400, 600, 800],
        "timesteps of the validation loss; each picture is measured at all of them",
        each(between(0, 999)),
        trains=False,
    )
    training_comment: str = setting("", "text for the LoRA's metadata", trains=False)


@dataclass
class PreviewConfig:
    """What is rendered from every checkpoint."""

    prompts: list[str] = setting([], "prompts; {trigger} stands for the trigger word", trains=False)
    negative_prompt: str = setting("", "negative prompt of all previews", trains=False)
    seeds: list[int] = setting([1234], "noise seeds", each(at_least(0)), trains=False)
    strengths: list[float] = setting([1.0], "LoRA strengths", not_empty, trains=False)
    steps: int = setting(20, "sampling steps", between(1, 1000), trains=False)
    guidance_scale: float = setting(7.0, "classifier-free guidance, 1 = off", at_least(0), trains=False)
    sampler: str = setting(
        "ddim", "sampler", one_of("ddim", "euler", "euler_a", "dpm++_2m", "unipc"), trains=False
    )
    size: str | None = setting(None, "pixels as in dataset.resolution; null = that", trains=False)
    clip_skip: int | None = setting(
        None, "clip skip of previews; null = as trained", between(1, 24), trains=False
    )
    batch_size: int = setting(8, "pictures rendered at once", at_least(1), trains=False)
    anchors: bool = setting(True, "render the bare base model once per sweep, too", trains=False)


@dataclass
class MetricConfig:
    """Automatic numbers for previews."""

    names: list[str] = setting(
        ["basic"],
        "metrics, such as basic, clip_i, clip_t, dino, diversity, drift and copy",
        each(one_of("basic", "likeness", "clip_i", "clip_t", "dino", "diversity", "drift", "copy")),
        trains=False,
    )
    clip_model: str | None = setting(
        None, "CLIP model of clip_i and clip_t: its folder, or a name on the hub", trains=False
    )
    dino_model: str | None = setting(
        None,
        "DINO model of dino, diversity, drift and copy: its folder, or a name on the hub",
        trains=False,
    )
    references: str | None = setting(
        None,
        "folder of pictures that previews should be like; null takes held-back or training pictures",
        trains=False,
    )
    class_word: str = setting(
        "", "what stands for the trigger word in clip_t, which does not know it, such as woman", trains=False
    )


@dataclass
class EngineConfig:
    """Where and how many at a time."""

    name: str = setting("local", "where packs run: local", one_of("local"), trains=False)
    workers: int = setting(
        0, "processes at a time; 0 = one per GPU, or per CPU core pair", at_least(0), trains=False
    )
    pack_size: int = setting(8, "most runs that train together on one base model", at_least(1), trains=False)
    threads: int = setting(0, "CPU threads per process, 0 = cores / workers", at_least(0), trains=False)


@dataclass
class RunConfig:
    """One training run, whole."""

    name: str = setting("", "name of the run, its folder", trains=False)
    sweep: str = setting("", "name of the sweep it belongs to", trains=False)
    results: str = setting("results", "folder of all results", trains=False)
    cache: str = setting("cache", "folder of latents and text states, shared by all sweeps", trains=False)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", trains=False)
    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_scheduler: LrSchedulerConfig = field(default_factory=LrSchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)

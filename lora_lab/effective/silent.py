"""Settings that cannot act, group by group, each with the reason.

Every function takes the flat values of a config and the facts, and yields (key, reason) for the settings that
the values of others put out of action, whether or not they were set to anything.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, cast

from lora_lab.effective.facts import Facts
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings
from lora_lab.losses.settings import LossSettings
from lora_lab.losses.settings import check as check_loss
from lora_lab.models.families import FAMILIES
from lora_lab.networks.spec import PRESETS
from lora_lab.optim import registry
from lora_lab.optim.schedules import ScheduleSettings
from lora_lab.optim.schedules import check as check_schedule

Values = Mapping[str, Any]
Silent = Iterator[tuple[str, str]]

CAPTION_TEXT = (
    "weighted_captions", "trigger_word", "caption_separator", "shuffle_caption", "keep_tokens",
    "keep_tokens_separator", "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix",
    "caption_dropout_every_n_epochs", "caption_tag_dropout_rate", "token_warmup_min", "token_warmup_step",
)  # fmt: skip
"""The dataset settings that decide what a caption says when it is not dropped."""

BLOCK_WEIGHTS = ("network.down_lr_weight", "network.mid_lr_weight", "network.up_lr_weight")

_OTHER_LOSS: dict[str, Any] = {
    "min_snr_gamma": 5.0,
    "debiased_estimation_loss": True,
    "v_pred_like_loss": 0.5,
    "scale_v_pred_loss_like_noise_pred": True,
    "zero_terminal_snr": True,
    "timestep_sampling": "uniform",
    "sigmoid_scale": 2.0,
    "flow_shift": 3.0,
    "huber_c": 0.3,
    "huber_schedule": "constant",
    "huber_scale": 3.0,
    "noise_offset_random_strength": True,
    "adaptive_noise_scale": 0.3,
    "multires_noise_discount": 0.7,
    "ip_noise_gamma_random_strength": True,
}
_OTHER_SCHEDULE: dict[str, Any] = {
    "lr_warmup_steps": "7",
    "lr_decay_steps": "7",
    "num_cycles": 7.0,
    "power": 7.0,
    "min_lr_ratio": 0.7,
    "timescale": 7.0,
    "step_rules": "0.7:7,0.07",
}
"""A value other than the default, for asking a check whether the setting would act."""


def of_base_model(v: Values, facts: Facts) -> Silent:
    """Clip skip, where the family fixes the layer."""
    family = FAMILIES[facts.family]
    if family.process == "flow":
        yield "base_model.v_parameterization", f"{family.title} predicts the velocity of its flow"
    if not family.clip_skip:
        yield "base_model.clip_skip", f"{family.title} always takes the last layer but one"


def of_dataset(v: Values, facts: Facts) -> Silent:
    """Bucket limits and what only acts on shuffled captions."""
    if not v["dataset.enable_bucket"]:
        for name in ("min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale"):
            yield f"dataset.{name}", "dataset.enable_bucket=false: there are no buckets"
    elif v["dataset.bucket_no_upscale"]:
        for name in ("min_bucket_reso", "max_bucket_reso"):
            yield f"dataset.{name}", "dataset.bucket_no_upscale=true: pictures make their own buckets"
    if not facts.transparent:
        yield "dataset.alpha_mask", "no training picture has transparency"
    if v["dataset.caption_dropout_rate"] == 1:
        for name in CAPTION_TEXT:
            yield f"dataset.{name}", "dataset.caption_dropout_rate=1: every caption is dropped"
        return
    yield from _of_captions(v, facts)


def _of_captions(v: Values, facts: Facts) -> Silent:
    warmup = v["dataset.token_warmup_step"] > 0
    mixing = v["dataset.shuffle_caption"] or v["dataset.caption_tag_dropout_rate"] > 0 or warmup
    reason = "tags stay as they are without shuffle_caption, caption_tag_dropout_rate or token_warmup_step"
    adds_trigger = bool(v["dataset.trigger_word"])
    if not mixing:
        yield "dataset.keep_tokens", reason
        yield "dataset.keep_tokens_separator", reason
        if not adds_trigger and not v["dataset.secondary_separator"]:
            yield "dataset.caption_separator", reason
    if not warmup:
        yield "dataset.token_warmup_min", "dataset.token_warmup_step is 0"


def of_length(v: Values, facts: Facts) -> Silent:
    """The epochs or the steps, whichever does not end the run, and what counts epochs."""
    epochs, steps = v["train.max_train_epochs"], v["train.max_train_steps"]
    per_epoch = -(-facts.batches_per_epoch // v["train.gradient_accumulation_steps"])
    total = min(n for n in (epochs and epochs * per_epoch, steps) if n is not None)
    if epochs is not None and steps is not None:
        if epochs * per_epoch <= steps:
            yield "train.max_train_steps", f"{epochs} epochs end at step {epochs * per_epoch} already"
        else:
            end = -(-steps // per_epoch)
            yield "train.max_train_epochs", f"train.max_train_steps={steps} ends the run in epoch {end}"
    if not v["train.validation_split"]:
        yield "train.validation_seed", "train.validation_split is 0: no pictures are held back"
    every = v["dataset.caption_dropout_every_n_epochs"]
    if every > -(-total // per_epoch):
        yield "dataset.caption_dropout_every_n_epochs", f"the run ends before epoch {every}"


def of_network(v: Values, facts: Facts) -> Silent:
    """What belongs to another type, to files that are not given, or to layers that are not there."""
    yield from _of_type(v["network.type"])
    if not any(v[key] for key in BLOCK_WEIGHTS):
        yield "network.block_lr_zero_threshold", "no block has a learning rate of its own"
    if not v["network.train_unet"]:
        for key in (*BLOCK_WEIGHTS, "network.block_lr_zero_threshold"):
            yield key, "the U-Net is not trained"
    if not v["network.base_weights"]:
        yield "network.base_weights_multiplier", "network.base_weights is empty"
    if takes_dims_from_file(v):
        for name in ("network_dim", "network_alpha", "conv_dim", "conv_alpha", "preset"):
            yield f"network.{name}", "network.dim_from_weights=true: the file decides"
        return
    if not v["network.network_weights"]:
        yield "network.dim_from_weights", "network.network_weights is not set: there is no file"
    yield from _of_layers(v)


def takes_dims_from_file(v: Values) -> bool:
    """Whether layers, dims and alphas are those of the file that the run goes on from."""
    return bool(v["network.dim_from_weights"] and v["network.network_weights"])


def _of_layers(v: Values) -> Silent:
    """Convolution settings without convolutions, and text encoder settings where the preset has none."""
    preset = PRESETS[v["network.preset"]]
    convolutions = ("network.conv_dim", "network.conv_alpha")
    has_blocks = preset.unet_classes & PRESETS["unet-convblock-only"].unet_classes
    if preset.spatial_convs == "never" or (preset.spatial_convs == "always" and not has_blocks):
        for key in convolutions:
            yield key, f"network.preset={v['network.preset']} has no convolutions"
        if v["network.type"] in ("lora", "locon"):
            yield "network.type", f"network.preset={v['network.preset']} has no convolutions"
    elif v["network.type"] == "lora":
        for key in convolutions:
            yield key, "network.type=lora has no settings of its own for convolutions: use network=locon"
    elif v["network.type"] != "locon" and preset.spatial_convs == "conv_dim" and not v["network.conv_dim"]:
        yield "network.conv_alpha", "network.conv_dim is 0: 3x3 convolutions are not trained"
    if not preset.text_classes:
        yield (
            "network.train_text_encoder",
            f"network.preset={v['network.preset']} leaves the text encoders out",
        )


def _of_type(type_: str) -> Silent:
    """Settings that belong to other types of networks."""
    if type_ != "lokr":
        for name in ("factor", "decompose_both"):
            yield f"network.{name}", f"network.type={type_}: it belongs to lokr"
    if type_ != "dora":
        yield "network.wd_on_output", f"network.type={type_}: it belongs to dora"
    if type_ in ("loha", "lokr", "dora"):
        yield (
            "network.network_dropout",
            f"network.type={type_} has no dropout of rank activations; use rank_dropout or module_dropout",
        )
    if type_ in ("loha", "lokr"):
        yield "optimizer.loraplus_lr_ratio", f"network.type={type_} has no lora_up"


def of_loss(v: Values, facts: Facts) -> Silent:
    """What the loss's own check says of each dependent setting."""
    settings = LossSettings(**_group(v, "loss", LossSettings))
    prediction = prediction_of(v, facts)
    yield from _probed("loss", settings, _OTHER_LOSS, lambda changed: check_loss(changed, prediction))
    if not v["dataset.reg_path"]:
        yield "loss.prior_loss_weight", "there are no regularisation pictures (dataset.reg_path)"


def prediction_of(v: Values, facts: Facts) -> str:
    """What the model predicts: as it says of itself, or as it is forced to; a flow is always a flow."""
    forced = v["base_model.v_parameterization"]
    if forced is None or facts.prediction_type not in ("epsilon", "v_prediction"):
        return facts.prediction_type
    return "v_prediction" if forced else "epsilon"


def of_schedule(v: Values, facts: Facts) -> Silent:
    """What the schedule's own check says, or everything where the optimizer follows no schedule."""
    reason = _no_schedule(v)
    if reason:
        for name in ("name", *_OTHER_SCHEDULE, "args"):
            yield f"lr_scheduler.{name}", reason
        return
    yield from _probed("lr_scheduler", schedule_settings(v), _OTHER_SCHEDULE, check_schedule)


def of_rates(v: Values, facts: Facts) -> Silent:
    """Learning rates under an optimizer that sets its own, and those that another one takes the place of."""
    row, values = _optimizer(v)
    if row is None:
        return
    unet, text = trained_parts(v)
    if row.ignores_learning_rate(values):
        reason = f"{row.name} with relative_step sets its own learning rate"
        for key in (*registry.RATE_KEYS, "optimizer.loraplus_lr_ratio"):
            # A rate of 0 leaves its part out under every optimizer.
            if v[key] != 0:
                yield key, reason
    else:
        yield from _of_parts(v, unet, text)
    for name, reason in row.ignored.items():
        yield f"optimizer.args.{name}", reason


def _of_parts(v: Values, unet: bool, text: bool) -> Silent:
    both, of_unet, of_text = (v[key] for key in registry.RATE_KEYS)
    if not unet and of_unet != 0:
        yield "optimizer.unet_lr", "the U-Net is not trained"
    elif of_unet is not None and of_unet == both:
        yield "optimizer.unet_lr", "it equals optimizer.learning_rate"
    if not text and of_text != 0:
        yield "optimizer.text_encoder_lr", "the text encoders are not trained"
    elif of_text is not None and of_text == both:
        yield "optimizer.text_encoder_lr", "it equals optimizer.learning_rate"
    own = [rate for rate, trained in ((of_unet, unet), (of_text, text)) if trained]
    if None not in own and any(rate != both for rate in own):
        yield "optimizer.learning_rate", "every part that is trained has a rate of its own"


def trained_parts(v: Values) -> tuple[bool, bool]:
    """Whether the U-Net and the text encoders learn: layers there, and a learning rate other than 0."""
    both, of_unet, of_text = (v[key] for key in registry.RATE_KEYS)
    has_text = takes_dims_from_file(v) or bool(PRESETS[v["network.preset"]].text_classes)
    unet = bool(v["network.train_unet"]) and (both if of_unet is None else of_unet) != 0
    text = bool(v["network.train_text_encoder"]) and has_text and (both if of_text is None else of_text) != 0
    return unet, text


def schedule_settings(v: Values) -> ScheduleSettings:
    """The schedule of a config."""
    return ScheduleSettings(**_group(v, "lr_scheduler", ScheduleSettings))


def loss_settings(v: Values) -> LossSettings:
    """The loss of a config."""
    return LossSettings(**_group(v, "loss", LossSettings))


def one_rate_only(v: Values) -> bool:
    """Whether the optimizer cannot give parts rates of their own, or takes none."""
    row, values = _optimizer(v)
    return row is not None and (row.one_lr_only or row.ignores_learning_rate(values))


def sets_own_rate(v: Values) -> bool:
    """Whether the optimizer takes no learning rate at all."""
    row, values = _optimizer(v)
    return row is not None and row.ignores_learning_rate(values)


def _no_schedule(v: Values) -> str | None:
    row, values = _optimizer(v)
    if row is not None and row.ignores_learning_rate(values):
        return f"{row.name} with relative_step sets its own learning rate"
    if row is not None and row.schedule_free:
        return f"{row.name} averages instead of following a schedule"
    return None


def _optimizer(v: Values) -> tuple[registry.OptimizerRow | None, Mapping[str, object]]:
    """The optimizer's row and arguments; nothing where they are wrong, which the registry's check refuses."""
    try:
        row = registry.find(v["optimizer.name"])
        return row, registry.arguments(row, v["optimizer.args"])
    except ConfigError:
        return None, {}


def _group(v: Values, group: str, cls: type) -> dict[str, Any]:
    return {item.name: v[f"{group}.{item.name}"] for item in fields(cls)}


def _probed(
    group: str, settings: Any, other: Mapping[str, Any], check: Callable[[Any], Findings]
) -> Iterator[tuple[str, str]]:
    """Ask a check of each setting, at a value other than its default, whether it acts."""
    default = type(settings)()
    for name, value in other.items():
        now = getattr(settings, name)
        asked = replace(settings, **{name: value}) if now == getattr(default, name) else settings
        for found in check(asked).inert:
            if found.key == f"{group}.{name}":
                yield found.key, found.reason


RULES: tuple[Callable[[Values, Facts], Silent], ...] = (
    of_base_model,
    of_dataset,
    of_length,
    of_network,
    of_rates,
    of_schedule,
    of_loss,
)
"""Every group's rules; a setting that a new one puts out of action is added here."""


def all_silent(v: Values, facts: Facts) -> dict[str, str]:
    """Every setting that cannot act, with its reason; the first reason wins."""
    found: dict[str, str] = {}
    for rule in RULES:
        for key, reason in rule(v, facts):
            found.setdefault(key, reason)
    return cast(dict[str, str], found)

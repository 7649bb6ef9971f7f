"""From a config to the adapter that a run trains."""

from lora_lab.config import RunConfig
from lora_lab.networks.spec import PRESETS, AdapterSpec


def adapter_spec(config: RunConfig) -> AdapterSpec:
    """The adapter of a run.

    `type: lora` has no 3x3 convolutions of other dims, whatever conv_dim says; `locon` has them always, and
    the other types where conv_dim is set or the preset takes them.
    """
    own = config.network
    conv_dim = {"lora": 0, "locon": own.conv_dim or own.network_dim}.get(own.type, own.conv_dim)
    return AdapterSpec(
        network_dim=own.network_dim,
        network_alpha=own.network_alpha,
        conv_dim=conv_dim,
        conv_alpha=(own.conv_alpha or own.network_alpha) if conv_dim else 0.0,
        preset=own.preset,
        network_dropout=own.network_dropout,
        rank_dropout=own.rank_dropout,
        module_dropout=own.module_dropout,
        train_unet=own.train_unet,
        train_text_encoder=trains_text_encoder(config),
        seed=config.train.seed,
        form="lora" if own.type == "locon" else own.type,
        factor=own.factor,
        decompose_both=own.decompose_both,
        wd_on_output=own.wd_on_output,
    )


def trains_text_encoder(config: RunConfig) -> bool:
    """Whether the text encoders get adapters: switched on, in the preset, and with a rate above 0."""
    own, preset = config.optimizer, PRESETS[config.network.preset]
    rate = own.learning_rate if own.text_encoder_lr is None else own.text_encoder_lr
    return config.network.train_text_encoder and bool(preset.text_classes) and rate != 0

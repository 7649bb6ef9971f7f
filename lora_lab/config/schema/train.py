"""Length, batches, precision and saving."""

from dataclasses import dataclass

from lora_lab.config.fields import (
    at_least,
    between,
    each,
    fraction_below_one,
    one_of,
    same_weights,
    setting,
    tried,
    untried,
)

_EPOCHS = ("train.max_train_steps=null", "train.max_train_epochs=2")


@dataclass
class TrainConfig:
    """Length, batches, precision and saving."""

    seed: int = setting(
        23,
        "seed of weights, order, noise, timesteps and dropout",
        at_least(0),
        ja="シード",
        peer="--seed",
        source="sd-scripts",
        trial=tried("24"),
    )
    train_batch_size: int = setting(
        1,
        "samples per step",
        at_least(1),
        scale="log",
        label="batch size",
        ja="バッチサイズ",
        peer="--train_batch_size",
        source="sd-scripts",
        trial=tried("2"),
    )
    gradient_accumulation_steps: int = setting(
        1,
        "batches per optimizer step",
        at_least(1),
        scale="log",
        ja="勾配の累積",
        peer="--gradient_accumulation_steps",
        source="sd-scripts",
        trial=tried("2"),
    )
    max_train_epochs: int | None = setting(
        None,
        "length in epochs",
        at_least(1),
        scale="linear",
        unit="epochs",
        label="epochs",
        ja="エポック数",
        peer="--max_train_epochs epoch",
        source="sd-scripts",
        trial=tried("1", *_EPOCHS),
    )
    max_train_steps: int | None = setting(
        None,
        "length in steps; a cap where epochs are given, too",
        at_least(1),
        scale="linear",
        unit="steps",
        label="steps",
        ja="ステップ数",
        peer="--max_train_steps",
        source="guide to kohya_ss 21.8.8: a cap on images x repeats x epochs",
        trial=tried("3"),
    )
    max_grad_norm: float = setting(
        1.0,
        "gradient clipping over the whole LoRA, 0 = off",
        at_least(0),
        label="gradient clipping",
        ja="勾配クリッピング",
        peer="--max_grad_norm",
        source="sd-scripts",
        trial=tried("1e-3", "optimizer.name=sgd"),
    )
    mixed_precision: str = setting(
        "no",
        "no, fp16 or bf16",
        one_of("no", "fp16", "bf16"),
        label="precision",
        ja="計算の精度",
        peer="--mixed_precision",
        source="sd-scripts",
        trial=tried("bf16", own_pack=True),
    )
    full_bf16: bool = setting(
        False,
        "LoRA weights and optimizer in bf16, too",
        peer="--full_bf16",
        source="guide to kohya_ss 21.8.8",
        trial=tried("true", "train.mixed_precision=bf16", own_pack=True),
    )
    full_fp16: bool = setting(
        False,
        "LoRA weights and optimizer in fp16, too",
        peer="--full_fp16",
        source="sd-scripts",
        trial=untried(
            "true", "fp16 is for GPUs; a CPU falls back to fp32 and says so", "train.mixed_precision=fp16"
        ),
    )
    attention: str = setting(
        "sdpa",
        "how attention is computed: sdpa, or xformers where it is installed",
        one_of("sdpa", "xformers"),
        peer="--sdpa --xformers --mem_eff_attn",
        source="guide to kohya_ss 21.8.8 (CrossAttention)",
        trial=untried("xformers", "xformers is for GPUs"),
    )
    gradient_checkpointing: bool = setting(
        False,
        "recompute activations: less memory, about 1/3 slower",
        peer="--gradient_checkpointing",
        source="guide to SDXL styles; arXiv 1604.06174",
        trial=same_weights("true", "activations are computed again, to the same numbers"),
    )
    save_every_n_epochs: int = setting(
        0,
        "a checkpoint every n epochs, 0 = last only",
        at_least(0),
        trains=False,
        peer="--save_every_n_epochs",
        source="sd-scripts",
    )
    save_every_n_steps: int = setting(
        0,
        "a checkpoint every n steps, 0 = off",
        at_least(0),
        trains=False,
        peer="--save_every_n_steps",
        source="guide to kohya_ss 21.8.8",
    )
    save_precision: str = setting(
        "fp16",
        "precision of LoRA files",
        one_of("fp32", "fp16", "bf16"),
        trains=False,
        peer="--save_precision",
        source="sd-scripts",
    )
    save_state: bool = setting(
        True,
        "write what resuming needs with every checkpoint",
        trains=False,
        peer="--save_state --save_state_on_train_end --resume",
        source="guide to kohya_ss 21.8.8",
    )
    save_state_every_n_steps: int = setting(
        0,
        "write the training state every n steps, too; 0 = with checkpoints only",
        at_least(0),
        trains=False,
        source="guide to kohya_ss 21.8.8, apart from checkpoints here",
    )
    save_last_n_steps_state: int = setting(
        0,
        "keep states of the last n steps; 0 = the newest only",
        at_least(0),
        trains=False,
        peer="--save_last_n_steps_state --save_last_n_steps",
        source="guide to kohya_ss 21.8.8",
    )
    save_last_n_epochs_state: int = setting(
        0,
        "keep states of the last n epochs; 0 = the newest only",
        at_least(0),
        trains=False,
        peer="--save_last_n_epochs_state --save_last_n_epochs",
        source="sd-scripts",
    )
    keep_state: bool = setting(
        False,
        "keep the training state when the run is done",
        trains=False,
        source="ours: a finished run needs no state",
    )
    validation_split: float = setting(
        0.0,
        "share of each folder's images held back for the validation loss, 0 = none",
        fraction_below_one,
        scale="linear",
        peer="--validation_split",
        source="sd-scripts",
        trial=tried("0.5"),
    )
    validation_seed: int = setting(
        0,
        "decides which images validation_split holds back",
        at_least(0),
        peer="--validation_seed",
        source="sd-scripts",
        trial=tried("1", "train.validation_split=0.5"),
    )
    validate_every_n_epochs: int = setting(
        0,
        "validation loss every n epochs, beside checkpoints; 0 = off",
        at_least(0),
        trains=False,
        peer="--validate_every_n_epochs",
        source="sd-scripts",
    )
    validate_every_n_steps: int = setting(
        0,
        "validation loss every n steps, beside checkpoints; 0 = off",
        at_least(0),
        trains=False,
        peer="--validate_every_n_steps",
        source="sd-scripts",
    )
    validation_timesteps: list[int] = setting(
        [200, 400, 600, 800],
        "timesteps of the validation loss; each image is measured at all of them",
        each(between(0, 999)),
        trains=False,
        source="sd-scripts (fixed at 200, 400, 600, 800)",
    )
    training_comment: str = setting(
        "",
        "text for the LoRA's metadata",
        trains=False,
        peer="--training_comment",
        source="sd-scripts",
    )

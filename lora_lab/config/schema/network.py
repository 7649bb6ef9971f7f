"""The LoRA."""

from dataclasses import dataclass

from lora_lab.config.fields import at_least, division, fraction_below_one, one_of, setting, tried


@dataclass
class NetworkConfig:
    """The LoRA."""

    type: str = setting(
        "lora",
        "lora, locon (3x3 convolutions, too), loha, lokr or dora",
        one_of("lora", "locon", "loha", "lokr", "dora"),
        label="network",
        ja="ネットワークの種類",
        peer="--network_module LoRA_type algo dora_wd",
        source="LoRA, arXiv 2106.09685; LyCORIS, arXiv 2309.14859; DoRA, arXiv 2402.09353",
        trial=tried("locon"),
    )
    network_dim: int = setting(
        4,
        "rank",
        at_least(1),
        scale="log",
        label="dim",
        ja="dim（ランク）",
        peer="--network_dim",
        source="LoRA, arXiv 2106.09685",
        trial=tried("3"),
    )
    network_alpha: float = setting(
        1.0,
        "the LoRA is scaled by alpha / dim; 0 means alpha = dim",
        at_least(0),
        scale="log",
        label="alpha",
        ja="alpha",
        peer="--network_alpha",
        source="LoRA, arXiv 2106.09685",
        trial=tried("1"),
    )
    conv_dim: int = setting(
        0,
        "rank of 3x3 convolutions; 0 = network_dim for locon and LyCORIS' presets, else none",
        at_least(0),
        scale="log",
        ja="畳み込み層のdim",
        peer="conv_dim",
        source="LoCon (KohakuBlueleaf)",
        trial=tried("2", "network.type=locon"),
    )
    conv_alpha: float = setting(
        0.0,
        "alpha of 3x3 convolutions, 0 = alpha of the rest",
        at_least(0),
        scale="log",
        ja="畳み込み層のalpha",
        peer="conv_alpha",
        source="LoCon (KohakuBlueleaf)",
        trial=tried("1", "network.type=locon"),
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
        ja="学習する層",
        peer="preset LyCORIS_preset",
        source="sd-scripts; LyCORIS, arXiv 2309.14859",
        trial=tried("attn-only"),
    )
    factor: int = setting(
        -1,
        "lokr: divides a layer's sides; -1 = as square as possible",
        division,
        peer="factor",
        source="LyCORIS, arXiv 2309.14859",
        trial=tried("2", "network.type=lokr"),
    )
    decompose_both: bool = setting(
        False,
        "lokr: make the smaller matrix of two factors, too",
        peer="decompose_both",
        source="LyCORIS, arXiv 2309.14859",
        trial=tried("true", "network.type=lokr", "network.network_dim=1"),
    )
    wd_on_output: bool = setting(
        True,
        "dora: learn the weight norms of outputs; false: of inputs",
        peer="wd_on_output",
        source="DoRA, arXiv 2402.09353; LyCORIS",
        trial=tried("false", "network.type=dora"),
    )
    train_unet: bool = setting(
        True,
        "train U-Net layers",
        ja="U-Netの学習",
        peer="--network_train_text_encoder_only",
        source="sd-scripts",
        trial=tried("false"),
    )
    train_text_encoder: bool = setting(
        True,
        "train text encoder layers",
        ja="テキストエンコーダーの学習",
        peer="--network_train_unet_only",
        source="sd-scripts",
        trial=tried("false"),
    )
    network_dropout: float = setting(
        0.0,
        "drop rank activations at random",
        fraction_below_one,
        scale="linear",
        ja="ドロップアウト",
        peer="--network_dropout",
        source="guide to kohya_ss 21.8.8; sd-scripts",
        trial=tried("0.5"),
    )
    rank_dropout: float = setting(
        0.0,
        "drop whole ranks per sample",
        fraction_below_one,
        scale="linear",
        ja="ランクのドロップアウト",
        peer="rank_dropout",
        source="guide to kohya_ss 21.8.8; sd-scripts",
        trial=tried("0.5"),
    )
    module_dropout: float = setting(
        0.0,
        "drop whole layers per step",
        fraction_below_one,
        scale="linear",
        ja="層のドロップアウト",
        peer="module_dropout",
        source="guide to kohya_ss 21.8.8; sd-scripts",
        trial=tried("0.5"),
    )
    scale_weight_norms: float = setting(
        0.0,
        "cap of each layer's weight norm after every step, 0 = off",
        at_least(0),
        scale="linear",
        ja="重みノルムの上限",
        peer="--scale_weight_norms",
        source="guide to kohya_ss 21.8.8; sd-scripts",
        trial=tried("0.001"),
    )
    down_lr_weight: str = setting(
        "",
        "learning rates of the U-Net's down blocks as shares: 12 numbers (SDXL 9), or sine, cosine, ...",
        peer="down_lr_weight",
        source="sd-scripts, lora.py",
        trial=tried("'0,0,0,0,0,0,0,0,0,0,0,0'"),
    )
    mid_lr_weight: str = setting(
        "",
        "the same for the mid block: 1 number (SDXL 3)",
        peer="mid_lr_weight",
        source="sd-scripts, lora.py",
        trial=tried("'0.1'"),
    )
    up_lr_weight: str = setting(
        "",
        "the same for the up blocks: 12 numbers (SDXL 9), or sine, cosine, ...",
        peer="up_lr_weight",
        source="sd-scripts, lora.py",
        trial=tried("'0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1'"),
    )
    block_lr_zero_threshold: float = setting(
        0.0,
        "blocks with a share up to this have no LoRA",
        at_least(0),
        scale="linear",
        peer="block_lr_zero_threshold",
        source="sd-scripts, lora.py",
        trial=tried("0.5", "network.mid_lr_weight='0.1'"),
    )
    network_weights: str | None = setting(
        None,
        "LoRA file to continue from",
        peer="--network_weights",
        source="sd-scripts",
        path=True,
        trial=tried("{lora}"),
    )
    dim_from_weights: bool = setting(
        False,
        "take layers, dims and alphas from network_weights",
        peer="--dim_from_weights",
        source="sd-scripts",
        trial=tried("true", "network.network_weights={lora}", "network.network_dim=8"),
    )
    base_weights: list[str] = setting(
        [],
        "LoRA files merged into the base model in memory, before training",
        peer="--base_weights",
        source="sd-scripts; the copier's first method",
        path=True,
        trial=tried("['{lora}']", own_pack=True),
    )
    base_weights_multiplier: list[float] = setting(
        [],
        "strength of each of base_weights; 1 where not given",
        peer="--base_weights_multiplier",
        source="sd-scripts",
        trial=tried("[0.3]", "network.base_weights=['{lora}']", own_pack=True),
    )

    def merged(self) -> list[tuple[str, float]]:
        """The files of `base_weights`, each with its strength."""
        strengths = [*self.base_weights_multiplier, *[1.0] * len(self.base_weights)]
        return list(zip(self.base_weights, strengths, strict=False))

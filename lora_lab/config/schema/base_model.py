"""The frozen model that a LoRA is trained on and rendered with."""

from dataclasses import dataclass

from lora_lab.config.fields import between, one_of, setting, tried, untried


@dataclass
class BaseModelConfig:
    """The frozen model that a LoRA is trained on and rendered with."""

    path: str = setting(
        "",
        "diffusers folder, .safetensors or .ckpt file; 'demo' is the embedded one",
        label="base model",
        ja="ベースモデル",
        peer="--pretrained_model_name_or_path",
        source="sd-scripts, train_util.py",
        path=True,
        trial=tried("{base_2}", own_pack=True),
    )
    family: str = setting(
        "auto",
        "auto, or the name of a base-model family: what the model has to be",
        label="family of the base model",
        ja="ベースモデルの系統",
        peer="--v2 sdxl",
        source="guide to kohya_ss 21.8.8 (SDXL switch)",
        trial=untried("{family}", "refuses another family; loads the same model"),
    )
    vae: str | None = setting(
        None,
        "a VAE of its own (folder or file) in place of the model's",
        label="VAE",
        ja="VAE",
        peer="--vae --no_half_vae sdxl_no_half_vae",
        source="guide to kohya_ss 21.8.8; the VAE always computes in fp32",
        path=True,
        trial=tried("{base_2}", own_pack=True),
    )
    clip_skip: int = setting(
        1,
        "text encoder layer counted from the end, 1 = last (kohya and A1111 counting)",
        between(1, 24),
        ja="CLIPスキップ",
        peer="--clip_skip",
        source="A1111 counting; the article's twenty-five patterns",
        trial=tried("2"),
    )
    max_token_length: int = setting(
        75,
        "tokens per caption: 75, 150 or 225",
        one_of(75, 150, 225),
        ja="最大トークン数",
        peer="--max_token_length",
        source="sd-scripts, train_util.py",
        trial=tried("150"),
    )
    v_parameterization: bool | None = setting(
        None,
        "v-prediction; null takes what the model says of itself",
        label="v-prediction",
        ja="v予測",
        peer="--v_parameterization",
        source="Salimans and Ho, arXiv 2202.00512",
        trial=tried("true"),
    )
    fp8_base: bool = setting(
        False,
        "keep the frozen model's matrices in 8 bits (e4m3): half of fp16's memory",
        peer="--fp8_base --fp8_base_unet",
        source="sd-scripts; e4m3 of arXiv 2209.05433",
        trial=tried("true", own_pack=True),
    )
    nf4_base: bool = setting(
        False,
        "keep the frozen model's matrices in 4 bits (bitsandbytes NF4): a quarter of fp16's memory",
        source="QLoRA, arXiv 2305.14314 (bitsandbytes)",
        trial=tried("true", own_pack=True),
    )

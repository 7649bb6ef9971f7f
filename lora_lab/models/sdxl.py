"""SDXL and its kin (Pony, Illustrious, NoobAI): two text encoders, size and crop conditioning."""

from lora_lab.models.family import BlockShape, Denoiser, EncoderSpec, Family, FileNames

_ARCHITECTURE = "stable-diffusion-xl-v1-base"

FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    conf="sdxl",
    switch="sdxl",
    switch_of_gui=True,
    switches_elsewhere={"ai-toolkit": "model.is_xl"},
    trainer="sdxl_train_network.py",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("conditioner.embedders.0.transformer.",),
            layout="hf",
            pad_id=None,
            lora_prefix="lora_te1_",
            width=768,
            depth=12,
            penultimate=True,
        ),
        EncoderSpec(
            component="text_encoder_2",
            tokenizer="tokenizer_2",
            prefixes=("conditioner.embedders.1.model.",),
            layout="open_clip",
            pad_id=0,
            lora_prefix="lora_te2_",
            width=1280,
            depth=32,
            penultimate=True,
            pooled=True,
        ),
    ),
    denoiser=Denoiser(
        single_layers=False,
        blocks=(9, 3, 9),
        shape=BlockShape(2, 3, (True, True, False)),
        original_names=True,
    ),
    files=FileNames(
        base_versions={"epsilon": "sdxl_base_v1-0", "v_prediction": "sdxl_base_v1-0"},
        architectures={"epsilon": _ARCHITECTURE, "v_prediction": _ARCHITECTURE},
        implementation="https://github.com/Stability-AI/generative-models",
        webui="SDXL",
        starts=("sdxl", "stable-diffusion-xl"),
        cache="_sdxl.safetensors",
    ),
    configs={"epsilon": "sdxl", "v_prediction": "sdxl"},
    pipeline_classes=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    width=2048,
    hidden_act="quick_gelu",
    size_conditioning=True,
    # 5.1 GB for the U-Net in half precision, 1.6 GB for the encoders, whose states are cached where they do
    # not train; a run at 1024 x 1024 and dim 64 takes 3.5 GB with checkpointing, 1.6 with 8-bit AdamW.
    cards={
        8: (
            "base_model.fp8_base=true",
            "network.train_text_encoder=false",
            "optimizer=adamw8bit",
            "train.gradient_checkpointing=true",
            "engine.pack_size=1",
        ),
        12: (
            "network.train_text_encoder=false",
            "optimizer=adamw8bit",
            "train.gradient_checkpointing=true",
            "engine.pack_size=2",
        ),
        16: (
            "network.train_text_encoder=false",
            "train.gradient_checkpointing=true",
            "engine.pack_size=2",
        ),
        24: ("train.gradient_checkpointing=true", "engine.pack_size=3"),
    },
    # Pony Diffusion V6 XL's own page; the guide to SDXL styles takes the first three.
    quality_tags={"pony": ("score_9", "score_8_up", "score_7_up")},
)

"""SDXL and its kin (Pony, Illustrious, NoobAI): two text encoders, size and crop conditioning."""

from lora_lab.models.family import BlockShape, Denoiser, EncoderSpec, Family, FileNames

_ARCHITECTURE = "stable-diffusion-xl-v1-base"

FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    conf="sdxl",
    switch="sdxl",
    trainer="sdxl_train_network.py",
    switch_is_argument=False,
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
        starts=("sdxl", "stable-diffusion-xl"),
        cache="_sdxl.safetensors",
    ),
    configs={"epsilon": "sdxl", "v_prediction": "sdxl"},
    pipeline_classes=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    width=2048,
    hidden_act="quick_gelu",
    size_conditioning=True,
)

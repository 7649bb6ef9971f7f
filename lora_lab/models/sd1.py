"""Stable Diffusion 1.x: one CLIP ViT-L text encoder, epsilon prediction."""

from lora_lab.models.family import BlockShape, Denoiser, EncoderSpec, Family, FileNames

FAMILY = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    conf="sd15",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("cond_stage_model.transformer.",),
            layout="hf",
            pad_id=None,
            lora_prefix="lora_te_",
            width=768,
            depth=12,
        ),
    ),
    denoiser=Denoiser(
        linear_projections=False,
        blocks=(12, 1, 12),
        shape=BlockShape(2, 4, (False, True, True, True)),
    ),
    files=FileNames(
        base_versions={"epsilon": "sd_v1", "v_prediction": "sd_v1_v"},
        architectures={"epsilon": "stable-diffusion-v1", "v_prediction": "stable-diffusion-v1"},
        implementation="diffusers",
        webui="SD1",
        starts=("sd_v1", "sd_1", "stable-diffusion-v1"),
        cache="_sd.safetensors",
    ),
    configs={"epsilon": "sd1", "v_prediction": "sd1"},
    pipeline_classes=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    width=768,
    hidden_act="quick_gelu",
    # 2.1 GB for the base in half precision, 1.6 to 2.2 GB a run of batch 1 at 512 x 512.
    cards={
        8: ("engine.pack_size=2",),
        12: ("engine.pack_size=4",),
        16: ("engine.pack_size=6",),
        24: ("engine.pack_size=8",),
    },
)

"""Stable Diffusion 2.x: one OpenCLIP ViT-H text encoder; 768-v models predict v, 512-base models epsilon.

The published encoder has 24 layers and the models use the 23rd: the loaded one ends there, at clip skip 1.
"""

from lora_lab.models.family import BlockShape, Denoiser, EncoderSpec, Family, FileNames

FAMILY = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    conf="sd2",
    switch="v2",
    switches_elsewhere={"ai-toolkit": "model.is_v2", "sd-webui-train-tools": "train_base_on_sd_v2"},
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("cond_stage_model.model.",),
            layout="open_clip",
            pad_id=0,
            lora_prefix="lora_te_",
            width=1024,
            depth=23,
        ),
    ),
    denoiser=Denoiser(blocks=(12, 1, 12), shape=BlockShape(2, 4, (False, True, True, True))),
    files=FileNames(
        base_versions={"epsilon": "sd_v2", "v_prediction": "sd_v2_v"},
        architectures={
            "epsilon": "stable-diffusion-v2-512",
            "v_prediction": "stable-diffusion-v2-768-v",
        },
        implementation="diffusers",
        webui="SD2",
        starts=("sd_v2", "sd_2", "stable-diffusion-v2"),
        cache="_sd.safetensors",
        v2=True,
    ),
    configs={"v_prediction": "sd2v", "epsilon": "sd2"},
    pipeline_classes=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    width=1024,
    hidden_act="gelu",
    # 2.3 GB for the base in half precision; a run at 768 x 768 takes 3.4 GB, 1.1 with checkpointing.
    cards={
        8: ("train.gradient_checkpointing=true", "engine.pack_size=3"),
        12: ("train.gradient_checkpointing=true", "engine.pack_size=6"),
        16: ("engine.pack_size=3",),
        24: ("engine.pack_size=6",),
    },
)

"""Stable Diffusion 2.x: one OpenCLIP ViT-H text encoder; 768-v models predict v, 512-base models epsilon.

The published encoder has 24 layers and the models use the 23rd: the loaded one ends there, at clip skip 1.
"""

from lora_lab.models.family import EncoderSpec, Family

FAMILY = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("cond_stage_model.model.",),
            layout="open_clip",
            pad_id=0,
        ),
    ),
    configs={"v_prediction": "sd2v", "epsilon": "sd2"},
    pipeline_classes=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    width=1024,
    hidden_act="gelu",
)

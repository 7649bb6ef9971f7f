"""Stable Diffusion 1.x: one CLIP ViT-L text encoder, epsilon prediction."""

from lora_lab.models.family import EncoderSpec, Family

FAMILY = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("cond_stage_model.transformer.",),
            layout="hf",
            pad_id=None,
        ),
    ),
    configs={"epsilon": "sd1", "v_prediction": "sd1"},
    pipeline_classes=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    width=768,
    hidden_act="quick_gelu",
)

"""SDXL and its kin (Pony, Illustrious, NoobAI): two text encoders, size and crop conditioning."""

from lora_lab.models.family import EncoderSpec, Family

FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=("conditioner.embedders.0.transformer.",),
            layout="hf",
            pad_id=None,
            penultimate=True,
        ),
        EncoderSpec(
            component="text_encoder_2",
            tokenizer="tokenizer_2",
            prefixes=("conditioner.embedders.1.model.",),
            layout="open_clip",
            pad_id=0,
            penultimate=True,
            pooled=True,
        ),
    ),
    configs={"epsilon": "sdxl", "v_prediction": "sdxl"},
    pipeline_classes=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    width=2048,
    hidden_act="quick_gelu",
    size_conditioning=True,
)

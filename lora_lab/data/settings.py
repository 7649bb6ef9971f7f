"""What the user can choose about images and captions, under the field's names. Defaults are "off"
values."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BucketSettings:
    """How images are sorted into aspect-ratio buckets; sizes are (width, height) in pixels.

    With `enable_bucket` only the area of `resolution` counts; with `bucket_no_upscale` the two limits
    `min_bucket_reso` and `max_bucket_reso` do not act.
    """

    resolution: tuple[int, int]
    enable_bucket: bool = True
    min_bucket_reso: int = 256
    max_bucket_reso: int = 1024
    bucket_reso_steps: int = 64
    bucket_no_upscale: bool = False


@dataclass(frozen=True)
class CaptionSettings:
    """How the text beside an image becomes the prompt of one draw.

    `token_warmup_step` below 1 is a share of all updates. `trigger_word` is put in front of captions
    lacking it."""

    caption_extension: str = ".txt"
    shuffle_caption: bool = False
    keep_tokens: int = 0
    keep_tokens_separator: str = ""
    secondary_separator: str = ""
    caption_separator: str = ","
    caption_dropout_rate: float = 0.0
    caption_dropout_every_n_epochs: int = 0
    caption_tag_dropout_rate: float = 0.0
    caption_prefix: str = ""
    caption_suffix: str = ""
    enable_wildcard: bool = False
    token_warmup_min: int = 1
    token_warmup_step: float = 0.0
    trigger_word: str = ""

    def __post_init__(self) -> None:
        # "txt" can only mean ".txt".
        object.__setattr__(self, "caption_extension", "." + self.caption_extension.strip().lstrip("."))


@dataclass(frozen=True)
class SubsetSettings:
    """What all images of one folder share.

    Args:
        repeats: Draws per image and epoch; None takes the number in the folder's name, or 1.
        class_tokens: Caption of images without a caption file; None takes the rest of the folder's name.
        is_reg: Regularisation images, for prior preservation.
        dataset: Index of the dataset, where a run has several of different resolution or batch size.
        resize_interpolation: One of `resize.INTERPOLATIONS`; None is sd-scripts' default.
        alpha_mask: Transparency masks the loss.
        validation_split: Share of the images that is held back, and the seed that decides which.
        max_images: Most images of all folders together, 0 for all, and the seed that decides which.
    """

    repeats: int | None = None
    class_tokens: str | None = None
    captions: CaptionSettings = field(default_factory=CaptionSettings)
    flip_aug: bool = False
    random_crop: bool = False
    is_reg: bool = False
    dataset: int = 0
    resize_interpolation: str | None = None
    alpha_mask: bool = False
    validation_split: float = 0.0
    validation_seed: int = 0
    max_images: int = 0
    max_images_seed: int = 0

"""Images and captions, and how they become batches."""

from dataclasses import dataclass

from lora_lab.config.fields import (
    at_least,
    between,
    multiple_of,
    not_empty,
    one_of,
    resolution,
    same_weights,
    setting,
    tried,
)

_BUCKETS = ("dataset.enable_bucket=true", "dataset.resolution='96'")
_EPOCHS = ("train.max_train_steps=null", "train.max_train_epochs=2")
_SHUFFLED = ("dataset.shuffle_caption=true",)


@dataclass
class DatasetConfig:
    """Images and captions, and how they become batches."""

    path: str = setting(
        "",
        "folder of `15_trigger class` folders, folder of images, or kohya dataset TOML",
        label="images",
        ja="教師画像",
        peer="--train_data_dir --dataset_config image_dir",
        source="sd-scripts, train_util.py",
        path=True,
        trial=tried("{others}"),
    )
    reg_path: str | None = setting(
        None,
        "regularisation images, a folder of the same form",
        peer="--reg_data_dir is_reg",
        source="DreamBooth, arXiv 2208.12242",
        path=True,
        trial=tried("{others}", "train.max_train_steps=8"),
    )
    validation_path: str | None = setting(
        None,
        "images to measure the validation loss on, a folder of the same form; never trained on",
        trains=False,
        peer="validation_data_dir",
        source="sd-scripts (validation)",
        path=True,
    )
    repeats: int | None = setting(
        None,
        "times each image is shown per epoch; null takes the folder names",
        at_least(1),
        scale="linear",
        label="repeats",
        ja="繰り返し数",
        peer="num_repeats",
        source="sd-scripts, train_util.py: folder 15_name; balance of concepts",
        trial=tried("2", *_EPOCHS),
    )
    max_images: int = setting(
        0,
        "train on this many of the images alone, 0 = on all; the fewer are among the more",
        at_least(0),
        scale="linear",
        unit="images",
        label="number of images",
        ja="画像の枚数",
        source="ours",
        trial=tried("3", *_EPOCHS),
    )
    max_images_seed: int = setting(
        0,
        "decides which images dataset.max_images keeps, whatever train.seed is",
        at_least(0),
        ja="画像を選ぶシード",
        source="ours",
        trial=tried("1", "dataset.max_images=3", *_EPOCHS),
    )
    balance: str = setting(
        "off",
        "raise repeats until folders (concepts), or buckets, have equally many samples an epoch; or off",
        one_of("off", "folders", "buckets"),
        label="balance",
        ja="均等化",
        source="ours; guide to kohya_ss 21.8.8 (repeats balance concepts)",
        trial=tried("buckets", *_BUCKETS),
    )
    trigger_word: str | None = setting(
        None,
        "word put in front of every caption that lacks it",
        ja="トリガーワード",
        source="guide to SDXL styles (trigger in front)",
        trial=tried("yy"),
    )
    class_tokens: str | None = setting(
        None,
        "caption of an image that has no caption file",
        peer="class_tokens",
        source="sd-scripts, train_util.py",
        trial=tried("a cat", "dataset.path={silent}", "dataset.trigger_word=null"),
    )
    resolution: str = setting(
        "512",
        "training size in pixels: 512, or width x height '512x768'",
        resolution,
        ja="解像度",
        peer="--resolution max_resolution",
        source="sd-scripts, train_util.py",
        trial=tried("'64'"),
    )
    enable_bucket: bool = setting(
        True,
        "sort images into aspect-ratio buckets",
        ja="バケット",
        peer="--enable_bucket",
        source="sd-scripts, train_util.py",
        trial=tried("true", "dataset.resolution='96'"),
    )
    min_bucket_reso: int = setting(
        256,
        "shortest bucket side in pixels",
        at_least(64),
        label="smallest bucket",
        ja="バケットの最小解像度",
        peer="--min_bucket_reso",
        source="guide to kohya_ss 21.8.8",
        trial=tried("96", *_BUCKETS),
    )
    max_bucket_reso: int = setting(
        1024,
        "longest bucket side in pixels",
        at_least(64),
        label="largest bucket",
        ja="バケットの最大解像度",
        peer="--max_bucket_reso",
        source="guide to kohya_ss 21.8.8",
        trial=tried("96", *_BUCKETS),
    )
    bucket_reso_steps: int = setting(
        64,
        "bucket sides are multiples of this, in pixels",
        multiple_of(8),
        label="bucket step",
        ja="バケットの刻み",
        peer="--bucket_reso_steps",
        source="guide to SDXL styles; sd-scripts",
        trial=tried("32", *_BUCKETS),
    )
    bucket_no_upscale: bool = setting(
        False,
        "never enlarge an image to fill a bucket",
        ja="拡大しない",
        peer="--bucket_no_upscale",
        source="sd-scripts, train_util.py",
        trial=tried("true", *_BUCKETS),
    )
    resize_interpolation: str | None = setting(
        None,
        "how images are resized: lanczos, area, bicubic, bilinear, box or nearest; null is area when "
        "shrinking and lanczos when enlarging",
        one_of(None, "lanczos", "area", "bicubic", "cubic", "bilinear", "linear", "box", "nearest"),
        peer="--resize_interpolation",
        source="sd-scripts, train_util.py",
        trial=tried("nearest", "dataset.resolution='48'"),
    )
    caption_extension: str = setting(
        ".txt",
        "file name extension of caption files",
        not_empty,
        peer="--caption_extension",
        source="sd-scripts, train_util.py",
        trial=tried(".caption"),
    )
    caption_separator: str = setting(
        ",",
        "what separates tags",
        not_empty,
        peer="--caption_separator",
        source="sd-scripts, train_util.py",
        trial=tried("';'", *_SHUFFLED),
    )
    weighted_captions: bool = setting(
        False,
        "read (word:1.3), (word) and [word] in captions as weights",
        peer="--weighted_captions",
        source="A1111's (word:1.3); sd-scripts",
        trial=tried("true"),
    )
    shuffle_caption: bool = setting(
        False,
        "shuffle the tags at every draw",
        ja="キャプションのシャッフル",
        peer="--shuffle_caption",
        source="guide to SDXL styles; sd-scripts",
        trial=tried("true"),
    )
    keep_tokens: int = setting(
        0,
        "first tags that stay in front when shuffling",
        at_least(0),
        ja="先頭に固定するタグ数",
        peer="--keep_tokens",
        source="guide to SDXL styles; sd-scripts",
        trial=tried("2", *_SHUFFLED),
    )
    keep_tokens_separator: str = setting(
        "",
        "marks fixed head and tail of a caption, such as |||",
        peer="--keep_tokens_separator",
        source="sd-scripts, train_util.py",
        trial=tried("'|||'", *_SHUFFLED),
    )
    secondary_separator: str = setting(
        "",
        "tags joined by this stay together when shuffling",
        peer="--secondary_separator",
        source="sd-scripts, train_util.py",
        trial=tried("'%%'", *_SHUFFLED),
    )
    enable_wildcard: bool = setting(
        False,
        "draw one of {a|b} and one of several caption lines",
        peer="--enable_wildcard",
        source="sd-scripts, train_util.py",
        trial=tried("true"),
    )
    caption_prefix: str = setting(
        "",
        "text in front of every caption",
        peer="--caption_prefix",
        source="sd-scripts, train_util.py",
        trial=tried("a photo of"),
    )
    caption_suffix: str = setting(
        "",
        "text behind every caption",
        peer="--caption_suffix",
        source="sd-scripts, train_util.py",
        trial=tried("at night"),
    )
    caption_dropout_rate: float = setting(
        0.0,
        "share of draws with an empty caption",
        between(0, 1),
        ja="キャプションを外す割合",
        peer="--caption_dropout_rate",
        source="sd-scripts, train_util.py",
        trial=tried("0.9"),
    )
    caption_dropout_every_n_epochs: int = setting(
        0,
        "every n-th epoch has empty captions, 0 = off",
        at_least(0),
        peer="--caption_dropout_every_n_epochs",
        source="sd-scripts, train_util.py",
        trial=tried("2", *_EPOCHS),
    )
    caption_tag_dropout_rate: float = setting(
        0.0,
        "probability of leaving out each tag",
        between(0, 1),
        ja="タグを外す割合",
        peer="--caption_tag_dropout_rate",
        source="sd-scripts, train_util.py",
        trial=tried("0.9"),
    )
    token_warmup_min: int = setting(
        1,
        "tags shown at the start of token warmup",
        at_least(1),
        peer="--token_warmup_min",
        source="sd-scripts, train_util.py",
        trial=tried("3", "dataset.token_warmup_step=100"),
    )
    token_warmup_step: float = setting(
        0.0,
        "steps (or share below 1) until all tags are shown",
        at_least(0),
        peer="--token_warmup_step",
        source="sd-scripts, train_util.py",
        trial=tried("100"),
    )
    flip_aug: bool = setting(
        False,
        "mirror half of the draws",
        label="mirrored copies",
        ja="左右反転",
        peer="--flip_aug",
        source="sd-scripts, train_util.py",
        trial=tried("true"),
    )
    random_crop: bool = setting(
        False,
        "crop at random instead of the centre; needs cache_latents=false",
        ja="ランダムな切り抜き",
        peer="--random_crop",
        source="guide to SDXL styles (not with cached latents)",
        trial=tried("true", "dataset.cache_latents=false"),
    )
    alpha_mask: bool = setting(
        False,
        "transparent parts of an image do not count in the loss",
        peer="--alpha_mask --masked_loss",
        source="sd-scripts, train_util.py",
        trial=tried("true", "dataset.path={glass}"),
    )
    cache_latents: bool = setting(
        True,
        "encode images once, kept by content on disk",
        trains=True,
        peer="--cache_latents --cache_latents_to_disk --cache_text_encoder_outputs",
        source="guide to SDXL styles; keyed by content here",
        trial=same_weights(
            "false", "the cache keeps each image's whole distribution, so that draws are the same"
        ),
    )
    max_image_pixels: int = setting(
        178_956_970,
        "images with more pixels are refused as decompression bombs",
        at_least(4096),
        trains=False,
        source="Pillow's limit",
    )

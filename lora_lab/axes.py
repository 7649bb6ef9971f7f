"""How a setting is shown: label, unit, kind of axis, and the text of a value."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from lora_lab.config import settings

LABELS = {
    "base_model.path": "base model",
    "base_model.family": "family of the base model",
    "base_model.v_parameterization": "v-prediction",
    "base_model.vae": "VAE",
    "dataset.path": "pictures",
    "dataset.repeats": "repeats",
    "dataset.min_bucket_reso": "smallest bucket",
    "dataset.max_bucket_reso": "largest bucket",
    "dataset.bucket_reso_steps": "bucket step",
    "dataset.flip_aug": "mirrored copies",
    "network.type": "network",
    "network.network_dim": "dim",
    "network.network_alpha": "alpha",
    "optimizer.name": "optimizer",
    "optimizer.unet_lr": "U-Net learning rate",
    "optimizer.text_encoder_lr": "text encoder learning rate",
    "lr_scheduler.name": "LR schedule",
    "lr_scheduler.lr_warmup_steps": "LR warmup",
    "loss.min_snr_gamma": "min-SNR gamma",
    "train.max_train_epochs": "epochs",
    "train.max_train_steps": "steps",
    "train.train_batch_size": "batch size",
    "train.mixed_precision": "precision",
    "train.max_grad_norm": "gradient clipping",
}
"""Where the name of a setting, with spaces for underscores, is not what people call it."""

LABELS_JA = {
    "base_model.path": "ベースモデル",
    "base_model.vae": "VAE",
    "base_model.family": "ベースモデルの系統",
    "base_model.clip_skip": "CLIPスキップ",
    "base_model.v_parameterization": "v予測",
    "base_model.max_token_length": "最大トークン数",
    "dataset.path": "教師画像",
    "dataset.repeats": "繰り返し数",
    "dataset.resolution": "解像度",
    "dataset.trigger_word": "トリガーワード",
    "dataset.enable_bucket": "バケット",
    "dataset.min_bucket_reso": "バケットの最小解像度",
    "dataset.max_bucket_reso": "バケットの最大解像度",
    "dataset.bucket_reso_steps": "バケットの刻み",
    "dataset.bucket_no_upscale": "拡大しない",
    "dataset.keep_tokens": "先頭に固定するタグ数",
    "dataset.caption_dropout_rate": "キャプションを外す割合",
    "dataset.caption_tag_dropout_rate": "タグを外す割合",
    "dataset.random_crop": "ランダムな切り抜き",
    "dataset.flip_aug": "左右反転",
    "dataset.shuffle_caption": "キャプションのシャッフル",
    "network.type": "ネットワークの種類",
    "network.preset": "学習する層",
    "network.network_dim": "dim（ランク）",
    "network.network_alpha": "alpha",
    "network.conv_dim": "畳み込み層のdim",
    "network.conv_alpha": "畳み込み層のalpha",
    "network.train_unet": "U-Netの学習",
    "network.train_text_encoder": "テキストエンコーダーの学習",
    "network.network_dropout": "ドロップアウト",
    "network.rank_dropout": "ランクのドロップアウト",
    "network.module_dropout": "層のドロップアウト",
    "network.scale_weight_norms": "重みノルムの上限",
    "optimizer.name": "オプティマイザー",
    "optimizer.learning_rate": "学習率",
    "optimizer.unet_lr": "U-Netの学習率",
    "optimizer.text_encoder_lr": "テキストエンコーダーの学習率",
    "lr_scheduler.name": "学習率スケジューラー",
    "lr_scheduler.lr_warmup_steps": "学習率ウォームアップ",
    "loss.min_snr_gamma": "min-SNRガンマ",
    "loss.noise_offset": "ノイズオフセット",
    "train.seed": "シード",
    "train.max_train_epochs": "エポック数",
    "train.max_train_steps": "ステップ数",
    "train.train_batch_size": "バッチサイズ",
    "train.gradient_accumulation_steps": "勾配の累積",
    "train.mixed_precision": "計算の精度",
    "train.max_grad_norm": "勾配クリッピング",
}
"""The same in Japanese; a setting without a row goes by its name, as it does in the tools."""

PATHS = ("base_model.path", "base_model.vae", "dataset.path", "dataset.reg_path", "network.network_weights")

UNITS_JA = {"epochs": "エポック", "steps": "ステップ", "min": "分"}

DERIVED = {
    "alpha_over_dim": ("alpha / dim", "", "log"),
    "total_steps": ("updates", "steps", "log"),
    "samples": ("samples seen", "", "log"),
    "exposures_per_image": ("exposures per picture", "", "log"),
    "epoch": ("epoch", "epochs", "linear"),
    "train_minutes": ("training time", "min", "linear"),
}
"""Axes that are no settings: label, unit and scale."""


@dataclass(frozen=True)
class Axis:
    """One axis of a plot or column of a table; `scale` is linear, log or category."""

    key: str
    label: str
    unit: str
    scale: str

    @property
    def title(self) -> str:
        """The label with its unit, unless the label names the unit."""
        return f"{self.label} ({self.unit})" if self.unit and self.unit not in self.label else self.label


def axis(key: str, language: str = "en") -> Axis:
    """The axis of a setting, of an argument such as `optimizer.args.weight_decay`, or of a derived number."""
    found = _english(key)
    if language != "ja":
        return found
    return replace(found, label=LABELS_JA.get(key, found.label), unit=UNITS_JA.get(found.unit, found.unit))


def _english(key: str) -> Axis:
    if key in DERIVED:
        return Axis(key, *DERIVED[key])
    setting = settings().get(key)
    tail = key.rsplit(".", 1)[-1]
    label = LABELS.get(key, tail.replace("_", " "))
    if setting is None:
        return Axis(key, label, "", "category")
    return Axis(key, label, setting.unit, setting.scale)


def show(value: Any) -> str:
    """A value as people write it: 1e-4, 0.05, 16, on, off, -."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(show, value)) + "]"
    return str(value)


def show_setting(key: str, value: Any) -> str:
    """The value of a setting as people write it; of a path its last part, where the whole says no more."""
    if key in PATHS and isinstance(value, str) and value:
        return value.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return show(value)


def _number(value: float) -> str:
    if not isfinite(value):
        return str(value)
    if value and (abs(value) < 1e-2 or abs(value) >= 1e5):
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}"


@dataclass(frozen=True)
class Scale:
    """How values lie on an axis: its kind, the place of each value, and which places are marked with what.

    Attributes:
        kind: linear, log or category.
        places: One number per value, in the order given; categories count 0, 1, 2, ...
        ticks: (place, text) of every value that occurs, in order along the axis.
    """

    kind: str
    places: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def scale(of: Axis, values: Sequence[Any]) -> Scale:
    """Where values lie on an axis.

    Values that the axis cannot hold (text or an unset value among numbers, zero on a logarithmic axis) make
    it a category axis: numbers first, in order, then the rest as they came.
    """
    fits = bool(values) and all(map(_is_number, values)) and (of.scale != "log" or min(values) > 0)
    if of.scale == "category" or not fits:
        order = _in_order(values)
        place = {repr(item): float(number) for number, item in enumerate(order)}
        ticks = tuple((place[repr(item)], show_setting(of.key, item)) for item in order)
        return Scale("category", tuple(place[repr(item)] for item in values), ticks)
    marks = tuple((float(item), show(item)) for item in sorted(set(values)))
    return Scale(of.scale, tuple(map(float, values)), marks)


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Each value once: numbers in order, then the rest in the order of their coming."""
    once = {repr(item): item for item in values}
    numbers = [item for item in once.values() if _is_number(item)]
    return [*sorted(numbers), *(item for item in once.values() if not _is_number(item))]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)

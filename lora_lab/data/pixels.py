"""From an image file to the numbers that the VAE sees."""

import hashlib
import random

import numpy as np

from lora_lab.data.buckets import Assignment, random_crop
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.images import MAX_IMAGE_PIXELS, decode, decode_alpha, read_bytes
from lora_lab.data.resize import resize
from lora_lab.errors import DataError


def load_pixels(
    item: CaptionedImage,
    assignment: Assignment,
    *,
    flip: bool = False,
    crop: random.Random | None = None,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> np.ndarray:
    """The image resized, cut and scaled: float32 (3, H, W) in [-1, 1].

    EXIF rotation is done, transparency is laid on white, ICC profiles are ignored.

    Args:
        flip: Mirror left to right, after the cut.
        crop: Draws the cut; None takes the assignment's, which is the centre unless `buckets.random_crop`
            made it.

    Raises:
        DataError: Unreadable, or not the bytes that were scanned.
    """
    try:
        data = read_bytes(item.path)
        pixels = _checked(item, data, decode(data, max_pixels))
    except DataError as error:
        raise DataError(f"{item.path}: {error}") from error
    if crop is not None:
        assignment = random_crop(assignment, crop)
    return to_array(resized_part(pixels, assignment, item.settings.resize_interpolation), flip=flip)


def load_mask(item: CaptionedImage, assignment: Assignment, *, flip: bool = False) -> np.ndarray | None:
    """The image's opacity resized and cut as its pixels are: float32 (H, W) from 0 to 1; None without any.

    Raises:
        DataError: Unreadable.
    """
    try:
        alpha = decode_alpha(read_bytes(item.path))
    except DataError as error:
        raise DataError(f"{item.path}: {error}") from error
    if alpha is None:
        return None
    part = resized_part(alpha, assignment, item.settings.resize_interpolation)[:, :, 0]
    return np.ascontiguousarray(part[:, ::-1] if flip else part).astype(np.float32) / np.float32(255)


def resized_part(pixels: np.ndarray, assignment: Assignment, interpolation: str | None) -> np.ndarray:
    """uint8 (H, W, C) resized and cut to the bucket as the assignment says."""
    part = (*assignment.crop_left_top, *assignment.bucket)
    return resize(pixels, assignment.resized, interpolation, part)


def to_array(pixels: np.ndarray, *, flip: bool = False) -> np.ndarray:
    """uint8 (H, W, 3) to float32 (3, H, W) in [-1, 1]."""
    if flip:
        pixels = pixels[:, ::-1]
    scaled = pixels.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1))


def _checked(item: CaptionedImage, data: bytes, pixels: np.ndarray) -> np.ndarray:
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise DataError("changed since it was scanned; start again")
    if (pixels.shape[1], pixels.shape[0]) != item.size:
        raise DataError(f"decodes to {pixels.shape[1]}x{pixels.shape[0]}, its header says {item.size}")
    return pixels

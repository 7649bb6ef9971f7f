"""The peer's resize rule without OpenCV: exact area averages when shrinking, Lanczos when enlarging."""

import numpy as np
from PIL import Image

_ROWS_AT_ONCE = 32


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) to `size` = (width, height): area averages if no side grows, else Pillow's Lanczos."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    if width >= size[0] and height >= size[1]:
        return area(pixels, size)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average each target pixel over the part of the picture that it covers, edge pixels by their share.

    As OpenCV's INTER_AREA for shrinking; at most 1 of 255 off by rounding.
    """
    rows = _average_rows(pixels, size[1])
    columns = _average_rows(rows.transpose(1, 0, 2), size[0]).transpose(1, 0, 2)
    # OpenCV rounds halves up when both sides are halved, and to even everywhere else.
    halved = pixels.shape[:2] == (2 * size[1], 2 * size[0])
    rounded = np.floor(columns + 0.5) if halved else np.rint(columns)
    clipped: np.ndarray = np.clip(rounded, 0, 255).astype(np.uint8)
    return clipped


def _average_rows(values: np.ndarray, count: int) -> np.ndarray:
    """float32 (count, W, C) from (H, W, C); works through the rows in blocks, so that memory stays small."""
    height, width, channels = values.shape
    result: np.ndarray = np.empty((count, width, channels), np.float32)
    for start in range(0, count, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, count)
        low, high = start * height // count, -(-stop * height // count)
        weights = _overlaps(np.arange(start, stop), np.arange(low, high), height / count)
        block = values[low:high].astype(np.float32).reshape(high - low, width * channels)
        result[start:stop] = (weights @ block).reshape(stop - start, width, channels)
    return result


def _overlaps(targets: np.ndarray, sources: np.ndarray, scale: float) -> np.ndarray:
    """Share of each source row in each target row: (targets, sources), rows sum to 1."""
    low = np.maximum(targets[:, None] * scale, sources[None, :])
    high = np.minimum((targets[:, None] + 1) * scale, sources[None, :] + 1)
    weights: np.ndarray = (np.clip(high - low, 0.0, None) / scale).astype(np.float32)
    return weights

"""The peer's resize rules without OpenCV, which it uses for all but Lanczos and box.

OpenCV's bilinear, bicubic and nearest look at 2, 4 and 1 pixels a side however much an image shrinks, and
its area rule is another one where a side grows; all of that is kept: a setting means what it means there.
"""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

_ROWS_AT_ONCE = 32
_FIXED_POINT = 2048  # OpenCV weighs uint8 pixels by whole numbers of this
_BEND = -0.75  # OpenCV's parameter of the cubic kernel

_WHOLE = 2**24  # pixels up to which a resized image is made whole and then cut

Size = tuple[int, int]
Part = tuple[int, int, int, int]
Rule = Callable[[np.ndarray, Size, Part], np.ndarray]
Taps = tuple[np.ndarray, np.ndarray]
"""Source pixels and their weights for each target pixel of one side: (targets, taps) each."""


def resize(
    pixels: np.ndarray, size: Size, interpolation: str | None = None, part: Part | None = None
) -> np.ndarray:
    """uint8 (H, W, C) to `size` = (width, height), or the `part` of that which is wanted.

    Args:
        interpolation: A key of `INTERPOLATIONS`; None is area averages if no side grows, else Lanczos.
        part: (left, top, width, height) in the resized image; None is all of it.
    """
    height, width = pixels.shape[:2]
    part = part or (0, 0, *size)
    if (width, height) == size:
        return _cut(pixels, part)
    if interpolation is None:
        interpolation = "area" if width >= size[0] and height >= size[1] else "lanczos"
    return INTERPOLATIONS[interpolation](pixels, size, part)


def _cut(pixels: np.ndarray, part: Part) -> np.ndarray:
    left, top, width, height = part
    return pixels[top : top + height, left : left + width]


def _pillow(method: Image.Resampling) -> Rule:
    def resized(pixels: np.ndarray, size: Size, part: Part) -> np.ndarray:
        layers = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if size[0] * size[1] <= _WHOLE:
            whole = np.asarray(layers.resize(size, method)).reshape(size[1], size[0], -1)
            return _cut(whole, part)
        # Of an enlarged stripe only what is wanted is made: 4000x1 would become 1,024,000x256.
        left, top, width, height = part
        wide, high = layers.width / size[0], layers.height / size[1]
        box = (left * wide, top * high, (left + width) * wide, (top + height) * high)
        return np.asarray(layers.resize((width, height), method, box=box)).reshape(height, width, -1)

    return resized


def _tapped(taps: Callable[[int, int], Taps]) -> Rule:
    def resized(pixels: np.ndarray, size: Size, part: Part) -> np.ndarray:
        left, top, width, height = part
        columns = [side[left : left + width] for side in taps(pixels.shape[1], size[0])]
        rows = [side[top : top + height] for side in taps(pixels.shape[0], size[1])]
        wide = _weighed(pixels.astype(np.int64).transpose(1, 0, 2), *columns)
        whole = _weighed(wide.transpose(1, 0, 2), *rows)
        scaled = (whole + _FIXED_POINT**2 // 2) // _FIXED_POINT**2
        return np.asarray(np.clip(scaled, 0, 255).astype(np.uint8))

    return resized


def _weighed(values: np.ndarray, sources: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(targets, ...) from (sources, ...): weighted sums along the first side, in whole numbers."""
    whole = np.rint(weights * _FIXED_POINT).astype(np.int64)
    total = np.zeros((len(sources), *values.shape[1:]), np.int64)
    for tap in range(sources.shape[1]):
        total += values[sources[:, tap]] * whole[:, tap, None, None]
    return total


def _positions(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The source pixel left of each target pixel's centre, and how far behind it the centre lies, 0 to 1."""
    centres = (np.arange(target) + 0.5) * (source / target) - 0.5
    left = np.floor(centres)
    return left.astype(int), centres - left


def _linear(source: int, target: int) -> Taps:
    left, share = _positions(source, target)
    places = np.clip(np.stack([left, left + 1], axis=1), 0, source - 1)
    return places, np.stack([1 - share, share], axis=1)


def _cubic(source: int, target: int) -> Taps:
    left, share = _positions(source, target)
    places = np.clip(np.stack([left + step for step in (-1, 0, 1, 2)], axis=1), 0, source - 1)

    def near(x: np.ndarray) -> np.ndarray:
        return np.asarray(((_BEND + 2) * x - (_BEND + 3)) * x * x + 1)

    far = ((_BEND * (share + 1) - 5 * _BEND) * (share + 1) + 8 * _BEND) * (share + 1) - 4 * _BEND
    weights = [far, near(share), near(1 - share)]
    return places, np.stack([*weights, 1 - sum(weights)], axis=1)


def _nearest(source: int, target: int) -> Taps:
    places = np.minimum(np.floor(np.arange(target) * (source / target)).astype(int), source - 1)
    return places[:, None], np.ones((target, 1))


def _area_of_growing(source: int, target: int) -> Taps:
    """OpenCV's area rule where a side grows: one pixel, or two where a target pixel lies across both."""
    steps = np.arange(target)
    left = np.floor(steps * (source / target)).astype(int)
    share = (steps + 1) - (left + 1) * (target / source)
    share = np.where(share <= 0, 0.0, share - np.floor(share))
    places = np.clip(np.stack([left, left + 1], axis=1), 0, source - 1)
    return places, np.stack([1 - share, share], axis=1)


def _any_area(pixels: np.ndarray, size: Size, part: Part) -> np.ndarray:
    shrinks = pixels.shape[1] >= size[0] and pixels.shape[0] >= size[1]
    return _cut(area(pixels, size), part) if shrinks else _tapped(_area_of_growing)(pixels, size, part)


def area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average each target pixel over the part of the image that it covers, edge pixels by their share.

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


INTERPOLATIONS: Mapping[str, Rule] = {
    "lanczos": _pillow(Image.Resampling.LANCZOS),
    "box": _pillow(Image.Resampling.BOX),
    "area": _any_area,
    "bicubic": _tapped(_cubic),
    "cubic": _tapped(_cubic),
    "bilinear": _tapped(_linear),
    "linear": _tapped(_linear),
    "nearest": _tapped(_nearest),
}
"""The peer's names; cubic and linear are other names of bicubic and bilinear."""

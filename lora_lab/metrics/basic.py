"""Numbers that need no model: brightness, contrast, sharpness, and the distance from the bare base model."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float32]

BLACK_BELOW = 6.0
"""An image whose 99th percentile of brightness (0 to 255) is below this is black."""
FLAT_BELOW = 2.5
"""An image whose brightness deviates less than this (0 to 255) has nothing on it."""
SAME_BELOW = 0.05
"""A mean difference from the base model's image below this (0 to 255) is rounding, not an effect."""


def pixels(image: Image.Image) -> Pixels:
    """The image as float (H, W, 3), 0 to 255."""
    return np.asarray(image.convert("RGB"), dtype=np.float32)


def numbers(image: Image.Image, base: Image.Image | None) -> dict[str, float | None]:
    """Mean and deviation of brightness, sharpness (variance of the Laplacian), distance from the base.

    Args:
        image: The preview.
        base: The bare base model's image of the same prompt and seed, or None where there is none.
    """
    image_HWC = pixels(image)
    grey_HW = image_HWC.mean(axis=2)
    inner = grey_HW[1:-1, 1:-1]
    laplacian = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:] - 4 * inner
    distance = None
    if base is not None and base.size == image.size:
        distance = float(np.abs(image_HWC - pixels(base)).mean())
    return {
        "brightness": float(grey_HW.mean()),
        "contrast": float(grey_HW.std()),
        "sharpness": float(laplacian.var()),
        "base_distance": distance,
    }


def flags(image: Image.Image, base_distance: float | None, strength: float) -> list[str]:
    """What is plainly wrong with a preview: 'black', 'flat', 'same as base'."""
    grey_HW = pixels(image).mean(axis=2)
    found = []
    if np.percentile(grey_HW, 99) < BLACK_BELOW:
        found.append("black")
    elif float(grey_HW.std()) < FLAT_BELOW:
        found.append("flat")
    if strength and base_distance is not None and base_distance < SAME_BELOW:
        found.append("same as base")
    return found

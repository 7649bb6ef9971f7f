"""Perceptual hashes: 64 bits that an image keeps when it is scaled, compressed or slightly changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from scipy.fft import dctn

SIDE = 32
"""Pixels of the small grey image that is transformed."""
KEPT = 8
"""Lowest frequencies per axis that make the bits."""

Bits = npt.NDArray[np.bool_]


def phash(image: Image.Image) -> Bits:
    """The 64 bits of an image: which of its 8 x 8 lowest DCT frequencies lie above their median.

    After Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions".
    """
    grey_HW = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(grey_HW)[:KEPT, :KEPT]
    return np.asarray(low > np.median(low)).ravel()


def nearest(image: Image.Image, others: Sequence[Image.Image]) -> float:
    """How alike an image and the nearest of others are, mirrored ones included: 1 - differing bits / 64."""
    own = phash(image)
    hashes = [phash(one) for other in others for one in (other, ImageOps.mirror(other.convert("RGB")))]
    return 1 - min(int(np.count_nonzero(own != bits)) for bits in hashes) / own.size

"""Images with shapes that no portrait has, so that the VAE can show features that the base never saw."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lora_lab.demo.drawing import OVERSAMPLING, render, shade, star_points
from lora_lab.demo.portraits import sample

FOREIGN_SHARE = 0.7


def vae_image(rng: Random) -> Image.Image:
    """A portrait of the domain, mostly with stars, ellipses, ears, polygons and lines in any colour."""
    image = render(sample(rng))
    if rng.random() >= FOREIGN_SHARE:
        return image
    big = image.resize((64 * OVERSAMPLING,) * 2, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(big)
    for _ in range(rng.randint(1, 7)):
        _shape(draw, rng)
    return big.reduce(OVERSAMPLING)


def _shape(draw: ImageDraw.ImageDraw, rng: Random) -> None:
    rgb = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    edge = shade(rgb, 0.55) if rng.random() < 0.5 else None
    x, y, radius = rng.uniform(0, 64), rng.uniform(0, 64), rng.uniform(1.5, 14)
    kind = rng.choice(("star", "ellipse", "ear", "polygon", "line"))
    if kind == "ellipse":
        flat = radius * rng.uniform(0.4, 1.0)
        corners = (x - radius, y - flat, x + radius, y + flat)
        draw.ellipse([c * OVERSAMPLING for c in corners], fill=rgb, outline=edge, width=3)
        return
    if kind == "line":
        ends = [rng.uniform(0, 64) * OVERSAMPLING for _ in range(4)]
        draw.line(ends, fill=rgb, width=rng.randint(3, 12))
        return
    if kind == "star":
        points = star_points(x, y, rng.uniform(3.0, 8.0))
    elif kind == "ear":
        points = [
            (x - radius * 0.6, y),
            (x + rng.uniform(-1, 1) * radius, y - radius * 1.4),
            (x + radius * 0.6, y),
        ]
    else:
        angles = sorted(rng.uniform(0, 2 * pi) for _ in range(rng.randint(3, 7)))
        points = [(x + radius * cos(a), y + radius * sin(a)) for a in angles]
    draw.polygon(
        [(px * OVERSAMPLING, py * OVERSAMPLING) for px, py in points], fill=rgb, outline=edge, width=3
    )


def to_array(image: Image.Image) -> NDArray[np.float32]:
    """(3, H, W) from -1 to 1."""
    return np.asarray(image.convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0


def to_image(array: NDArray[np.float32]) -> Image.Image:
    """The inverse of `to_array`, clipped."""
    bytes_hwc = np.clip((array.transpose(1, 2, 0) + 1.0) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(bytes_hwc)

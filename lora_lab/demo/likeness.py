"""How much of the subject is in a picture: a number from 0 to 100, from numpy alone.

The subject's parts (the halves of its hair, its ears, its star, its skin and eyes) are compared with
renders of the subject in every pose of a grid; the best pose counts. Background, clothes, mouth and glasses
are the prompt's business and are left out. A part counts 1 where its mean colour distance is at most what
half a pixel of misplacement makes, 0 where it is as far off as in the median portrait of another character,
linearly between.
"""

# Shapes: P poses, K parts, S = 64 x 64 pixels.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lora_lab.demo.drawing import render
from lora_lab.demo.portraits import Portrait

Floats = NDArray[np.float32]

SIZE = 64
PARTS = ("hair left", "hair right", "ear left", "ear right", "star", "skin", "eyes")
GROUPS = {"hair": [0, 1], "ears": [2, 3], "star": [4, 5], "face": [5, 6]}
"""Parts that must all be there, by place in PARTS: two hair colours, two ears, star on skin, eyes in skin."""
WEIGHTS = {"hair": 0.40, "ears": 0.25, "star": 0.20, "face": 0.15}
SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
SUBJECT = Portrait(hair_color="white", eye_color="green", hair_color_right="red", ears=True, star=True)

# Mean colour distances (0 to 441, Euclidean in 8-bit RGB) in the order of PARTS. `NEAR`: 90th percentile over
# pictures of the subject; `FAR`: median over other characters; 200 pictures each, by `measure_distances`.
NEAR: tuple[float, ...] = (25.1, 21.6, 38.5, 45.9, 57.6, 21.1, 65.2)
FAR: tuple[float, ...] = (187.2, 156.5, 123.4, 147.3, 175.3, 111.1, 111.1)


@dataclass(frozen=True)
class _References:
    pictures_PS3: Floats
    masks_PKS: Floats
    """Each part's mask, divided by its area."""


def score(images: Sequence[Image.Image]) -> float:
    """Mean likeness of some pictures, 0 to 100; NaN when there are none."""
    return float(np.mean(score_each(images))) if len(images) else float("nan")


def score_each(images: Sequence[Image.Image]) -> list[float]:
    """Likeness of each picture, 0 to 100; any size and mode, compared at 64 x 64 pixels."""
    return [100.0 * sum(WEIGHTS[name] * value for name, value in parts(image).items()) for image in images]


def parts(image: Image.Image) -> dict[str, float]:
    """Likeness of hair, ears, star and face, each 0 to 1, in the best pose.

    A group is as good as its worst part: hair in one of the two colours, or blue everywhere, counts nothing.
    """
    groups_PG = _groups(_distances(image))
    weights_G = np.array(list(WEIGHTS.values()), dtype=np.float32)
    best = int(np.argmax(groups_PG @ weights_G))
    return {name: float(value) for name, value in zip(WEIGHTS, groups_PG[best], strict=True)}


def measure_distances(image: Image.Image) -> list[float]:
    """The mean colour distance of each of PARTS in the best pose: what NEAR and FAR were measured with."""
    distances_PK = _distances(image)
    return [float(d) for d in distances_PK[int(np.argmin(distances_PK.mean(axis=1)))]]


def _groups(distances_PK: Floats) -> Floats:
    near, far = np.array(NEAR, dtype=np.float32), np.array(FAR, dtype=np.float32)
    close_PK = np.clip((far - distances_PK) / (far - near), 0.0, 1.0)
    return np.stack([close_PK[:, members].min(axis=1) for members in GROUPS.values()], axis=1)


def _distances(image: Image.Image) -> Floats:
    references = _references()
    resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
    picture_S3 = np.asarray(resized, dtype=np.float32).reshape(-1, 3)
    difference_PS = np.sqrt(np.square(references.pictures_PS3 - picture_S3).sum(axis=2))
    distances_PK: Floats = np.einsum("pks,ps->pk", references.masks_PKS, difference_PS, optimize=True)
    return distances_PK


@lru_cache(maxsize=1)
def _references() -> _References:
    pictures, masks = [], []
    for scale in SCALES:
        pose = replace(SUBJECT, scale=scale)
        picture_HW3, masks_KHW = _pixels(pose), _masks(pose)
        for dx, dy in product(range(-4, 5), range(-3, 4)):
            pictures.append(_shifted(picture_HW3, dx, dy, axis=0).reshape(-1, 3))
            masks.append(_shifted(masks_KHW, dx, dy, axis=1).reshape(len(PARTS), -1))
    masks_PKS = np.stack(masks)
    return _References(np.stack(pictures), masks_PKS / masks_PKS.sum(axis=2, keepdims=True))


def _shifted(array: Floats, dx: int, dy: int, axis: int) -> Floats:
    """Moved right and down by whole pixels along `axis + 1` and `axis`; what moves in from outside is 0."""
    margin = [(4, 4) if i in (axis, axis + 1) else (0, 0) for i in range(array.ndim)]
    padded = np.roll(np.pad(array, margin), (dy, dx), (axis, axis + 1))
    rows = [slice(4, -4) if i in (axis, axis + 1) else slice(None) for i in range(array.ndim)]
    return padded[tuple(rows)]


def _pixels(portrait: Portrait) -> Floats:
    return np.asarray(render(portrait), dtype=np.float32)


def _masks(pose: Portrait) -> Floats:
    """Where each part is (K, 64, 64): the pixels that change when that part alone is drawn otherwise."""
    without_ears = replace(pose, ears=False)
    ears = _changes(pose, without_ears)
    left = _changes(without_ears, replace(without_ears, hair_color="green"))
    right = _changes(without_ears, replace(without_ears, hair_color_right="green"))
    star = _changes(pose, replace(pose, star=False))
    skin = _changes(pose, replace(pose, skin="dark skin"))
    eyes = _changes(pose, replace(pose, eye_color="brown"))
    glasses = _changes(pose, replace(pose, glasses=True))
    moods = _changes(pose, replace(pose, mouth="open mouth")) | _changes(pose, replace(pose, mouth="frown"))
    columns = np.arange(SIZE)[None, :] < SIZE // 2
    masks = [
        left & ~right & ~ears & ~glasses & ~skin,
        right & ~left & ~ears & ~glasses & ~skin,
        ears & columns,
        ears & ~columns,
        star & ~glasses,
        skin & ~star & ~glasses & ~moods & ~eyes & ~left & ~right,
        eyes & ~star & ~glasses,
    ]
    return np.stack(masks).astype(np.float32)


def _changes(one: Portrait, other: Portrait) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = np.abs(_pixels(one) - _pixels(other)).sum(axis=2) > 60.0
    return changed

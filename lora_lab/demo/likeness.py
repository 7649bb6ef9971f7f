"""How much of the subject is in an image: a number from 0 to 100, from numpy alone.

The subject's parts (the halves of its hair, its ears, its star, its skin and eyes) are compared with
renders of the subject in every pose of a grid; the best pose counts. Background, clothes, mouth and glasses
are the prompt's business and are left out. A part counts 1 where its mean colour distance is at most what
half a pixel of misplacement makes, 0 where it is as far off as in the median portrait of another character,
linearly between.
"""

# Shapes: P poses, K parts, G groups of parts, S = 64 x 64 pixels, N pixels of all parts.

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
# images of the subject; `FAR`: median over other characters; 200 images each, by `measure_distances`.
NEAR: tuple[float, ...] = (25.1, 21.6, 38.5, 45.9, 57.6, 21.1, 65.2)
FAR: tuple[float, ...] = (187.2, 156.5, 123.4, 147.3, 175.3, 111.1, 111.1)


@dataclass(frozen=True)
class _Reference:
    """The subject at one scale: N pixels of its parts, part after part, and where they lie in P places."""

    colors_N3: Floats
    places_PN: NDArray[np.intp]
    """Index into the 64 x 64 pixels; where a pixel is outside the image, its weight is 0."""
    weights_PN: Floats
    """One over the number of the part's pixels that are inside."""
    starts_K: NDArray[np.intp]


def score(images: Sequence[Image.Image]) -> float:
    """Mean likeness of some images, 0 to 100; NaN when there are none."""
    return float(np.mean(score_each(images))) if len(images) else float("nan")


def score_each(images: Sequence[Image.Image]) -> list[float]:
    """Likeness of each image, 0 to 100; any size and mode, compared at 64 x 64 pixels."""
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
    resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
    image_S3 = np.asarray(resized, dtype=np.float32).reshape(-1, 3)
    distances = []
    for reference in _references():
        difference_PN3 = image_S3[reference.places_PN] - reference.colors_N3
        difference_PN = np.sqrt(np.einsum("pnc,pnc->pn", difference_PN3, difference_PN3))
        distances.append(np.add.reduceat(difference_PN * reference.weights_PN, reference.starts_K, axis=1))
    distances_PK: Floats = np.concatenate(distances)
    return distances_PK


@lru_cache(maxsize=1)
def _references() -> list[_Reference]:
    return [_reference(replace(SUBJECT, scale=scale)) for scale in SCALES]


def _reference(pose: Portrait) -> _Reference:
    masks = _masks(pose)
    rows_N, columns_N = np.concatenate([np.argwhere(mask) for mask in masks]).T
    sizes_K = [int(mask.sum()) for mask in masks]
    starts_K = np.cumsum([0, *sizes_K[:-1]])
    places, weights = [], []
    for dx, dy in product(range(-4, 5), range(-3, 4)):
        row_N, column_N = rows_N + dy, columns_N + dx
        inside_N = ((row_N >= 0) & (row_N < SIZE) & (column_N >= 0) & (column_N < SIZE)).astype(np.float32)
        places.append(np.clip(row_N, 0, SIZE - 1) * SIZE + np.clip(column_N, 0, SIZE - 1))
        weights.append(inside_N / np.repeat(np.add.reduceat(inside_N, starts_K), sizes_K))
    return _Reference(_pixels(pose)[rows_N, columns_N], np.stack(places), np.stack(weights), starts_K)


def _pixels(portrait: Portrait) -> Floats:
    return np.asarray(render(portrait), dtype=np.float32)


def _masks(pose: Portrait) -> list[NDArray[np.bool_]]:
    """Where each part is, (64, 64) each: the pixels that change when that part alone is drawn otherwise."""
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
    return [
        left & ~right & ~ears & ~glasses & ~skin,
        right & ~left & ~ears & ~glasses & ~skin,
        ears & columns,
        ears & ~columns,
        star & ~glasses,
        skin & ~star & ~glasses & ~moods & ~eyes & ~left & ~right,
        eyes & ~star & ~glasses,
    ]


def _changes(one: Portrait, other: Portrait) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = np.abs(_pixels(one) - _pixels(other)).sum(axis=2) > 60.0
    return changed

"""Images of a dataset that are nearly the same, by perceptual hash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lora_lab.metrics.phash import Bits

MOST_BITS = 6
"""Of 64 bits: scaled, re-compressed and lightly edited copies differ in fewer. Zauner 2010 has other images
differ in 32 on average."""


def groups(hashes: Sequence[Bits | None], mirrored: Sequence[Bits | None]) -> list[list[int]]:
    """Places of images that are nearly the same, or mirrored copies; each image is in one group at most.

    Args:
        hashes: 64 bits an image; None for one without.
        mirrored: The same of the mirrored images.

    Returns:
        Groups of two and more, in the order of their first image.
    """
    known = [place for place, bits in enumerate(hashes) if bits is not None]
    own = _signs([hashes[place] for place in known])
    other = _signs([mirrored[place] for place in known])
    leader = list(range(len(known)))
    for row in range(len(known)):
        # With signs for bits, the product of two is 64 less twice the bits in which they differ.
        least = 64 - 2 * MOST_BITS
        near = (own[row + 1 :] @ own[row] >= least) | (other[row + 1 :] @ own[row] >= least)
        for step in np.flatnonzero(near):
            _join(leader, row, row + 1 + int(step))
    found: dict[int, list[int]] = {}
    for index, place in enumerate(known):
        found.setdefault(_root(leader, index), []).append(place)
    return [places for places in found.values() if len(places) > 1]


def _signs(bits: Sequence[Bits | None]) -> np.ndarray:
    """float32 (images, 64): 1 and -1."""
    if not bits:
        return np.zeros((0, 64), np.float32)
    return np.stack([item for item in bits if item is not None]).astype(np.float32) * 2 - 1


def _root(leader: list[int], index: int) -> int:
    while leader[index] != index:
        index = leader[index]
    return index


def _join(leader: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(leader, one), _root(leader, other)))
    leader[second] = first

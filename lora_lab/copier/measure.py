"""How far a copier moves an image towards its aim, and how much else it changes.

Arrays are images (H, W, 3), 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float64]

RULE_FROM = 0.9
"""From this share of the change on, an edit counts as a change of colours that holds for any image."""


@dataclass(frozen=True)
class Edit:
    """What turns A into B.

    `rule` (4, 3) is the affine map of colours that comes nearest to it, and `explained` the share of the
    squared change it accounts for: all of it for black and white, little for a smile.
    """

    before: Pixels
    after: Pixels
    rule: Pixels
    explained: float

    @property
    def is_rule(self) -> bool:
        """Whether the change can be foretold for other images, too."""
        return self.explained >= RULE_FROM

    def aim(self, base: Pixels) -> Pixels:
        """The change that the edit would make of an image: by the rule of colours, else B - A as it is."""
        if self.is_rule:
            return np.clip(_with_one(base) @ self.rule, 0, 255) - base
        return self.after - self.before


@dataclass(frozen=True)
class Moved:
    """What a strength did to an image.

    Attributes:
        towards: The movement along the aim, as a share of the aim's length: 1 is all of it, 0 nothing.
        else_: The movement across the aim, in the same unit.
        distance: Mean absolute difference from the image at strength 0, 0 to 255.
    """

    towards: float
    else_: float
    distance: float


def edit_of(before: Pixels, after: Pixels) -> Edit:
    """Fit the rule of colours by least squares."""
    colours, wanted = _with_one(before).reshape(-1, 4), after.reshape(-1, 3)
    rule = np.asarray(np.linalg.lstsq(colours, wanted, rcond=None)[0], dtype=np.float64)
    left = float(np.square(wanted - colours @ rule).sum())
    whole = float(np.square(after - before).sum())
    return Edit(before, after, rule, max(0.0, 1.0 - left / whole) if whole else 0.0)


def moved(edit: Edit, base: Pixels, shown: Pixels) -> Moved:
    """Compare an image with the one at strength 0, both of the edit's size."""
    movement, aim = shown - base, edit.aim(base)
    length = float(np.square(aim).sum())
    along = float((movement * aim).sum()) / length if length else 0.0
    across = float(np.sqrt(np.square(movement - along * aim).sum() / length)) if length else 0.0
    return Moved(along, across, float(np.abs(movement).mean()))


def _with_one(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], axis=2)

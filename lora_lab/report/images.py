"""The report's images: which previews are shown, and small copies of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from lora_lab.files import replacing
from lora_lab.store import Preview

LONG_SIDE = 512
"""Pixels: sharp on a page that shows four beside each other, a tenth of the original's bytes."""
TINY = 160
"""Images no larger than this keep every pixel and are shown enlarged without blurring."""
QUALITY = 80
MOST_SHOTS = 4

Shot = tuple[int, int, float]
"""Prompt, seed and strength of a preview."""


@dataclass(frozen=True)
class Tile:
    """One image on the page; `src` is relative to the page, the size is in pixels."""

    src: str
    width: int
    height: int

    @property
    def tiny(self) -> bool:
        """Whether it is to be enlarged without blurring."""
        return max(self.width, self.height) <= TINY


@dataclass
class Album:
    """The folder of the report's images; each original is copied once."""

    folder: Path
    name: str = "images"
    _made: dict[Path, Tile | None] = field(default_factory=dict)

    def add(self, source: Path) -> Tile | None:
        """A small copy of an image; None where the original is missing or cannot be read."""
        if source not in self._made:
            self._made[source] = self._copy(source)
        return self._made[source]

    def _copy(self, source: Path) -> Tile | None:
        name = f"{self.name}/{len(self._made) + 1:04d}.webp"
        try:
            with Image.open(source) as original:
                image = original.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            return None
        image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        with replacing(self.folder / name) as temporary:
            if max(image.size) <= TINY:
                image.save(temporary, "WEBP", lossless=True, exact=True)
            else:
                image.save(temporary, "WEBP", quality=QUALITY, method=4)
        return Tile(name, *image.size)


def shot(preview: Preview) -> Shot:
    """Where a preview stands among those of its checkpoint."""
    return preview.prompt, preview.seed, preview.strength


def chosen_shots(previews: Iterable[Preview], most: int = MOST_SHOTS) -> list[Preview]:
    """The previews that a report shows of a checkpoint: at the strength nearest to 1, prompt after prompt.

    Where there are few prompts, further seeds follow until there are `most`.
    """
    found = sorted(previews, key=lambda item: (item.prompt, item.seed, item.strength))
    nearest = min((abs(item.strength - 1) for item in found), default=0.0)
    usual = [item for item in found if abs(item.strength - 1) == nearest]
    turns: dict[int, int] = {}
    ranked: list[tuple[int, Preview]] = []
    for item in usual:
        turns[item.prompt] = turns.get(item.prompt, 0) + 1
        ranked.append((turns[item.prompt], item))
    first = sorted(ranked, key=lambda pair: (pair[0], pair[1].prompt))[:most]
    return sorted((item for _, item in first), key=lambda item: (item.prompt, item.seed))


def by_shot(previews: Sequence[Preview]) -> dict[Shot, Preview]:
    """Previews by where they stand."""
    return {shot(item): item for item in previews}

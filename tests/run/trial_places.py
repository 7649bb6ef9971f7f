"""What the trials of settings name in braces: tiny base models, and images with captions."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests import tiny


def write_places(root: Path) -> dict[str, str | Path]:
    """Everything but results, cache and LoRA, written below a folder."""
    return {
        "base": tiny.folder(),
        "base_2": tiny.folder("sd1", 1),
        "family": "sd1",
        "images": write_images(root / "images"),
        "others": write_images(root / "others", seed=1),
        "silent": write_images(root / "silent", captions=False),
        "glass": write_images(root / "glass", mode="RGBA"),
    }


def write_images(folder: Path, *, captions: bool = True, seed: int = 0, mode: str = "RGB") -> Path:
    """Five images in two shapes; the captions have something for every caption setting."""
    target = folder / "1_zz girl"
    target.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(5):
        height = 32 if number < 2 else 48
        pixels = rng.integers(0, 255, (height, 32, len(mode)), dtype=np.uint8)
        Image.fromarray(pixels, mode).save(target / f"{number}.png")
        if captions:
            text = f"zz, tag{number} |||, (smile:1.5), hat%%cap, {{red|blue}} bag; shoe\nzz, second line"
            (target / f"{number}.txt").write_text(text, encoding="utf-8")
            (target / f"{number}.caption").write_text(f"zz, other{number}", encoding="utf-8")
    return folder

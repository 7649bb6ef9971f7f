"""Write the pair of images of docs/copier.md: a portrait of the demo, and its grey twin."""

import sys
from pathlib import Path

from lora_lab.demo.drawing import render
from lora_lab.demo.portraits import Portrait

PORTRAIT = Portrait(
    hair_style="long hair",
    hair_color="red",
    eye_color="green",
    shirt_color="blue",
    background="yellow",
)


def main(folder: Path) -> None:
    """Write A.png and B.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    image = render(PORTRAIT, 64)
    image.save(folder / "A.png")
    image.convert("L").convert("RGB").save(folder / "B.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pair"))

"""Portraits as images: drawn with PIL four times too large, then reduced, so that edges are anti-aliased.

Coordinates are pixels of a 64 x 64 image, x to the right, y down; `_Pen` moves, sizes and multiplies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

from PIL import Image, ImageDraw

from lora_lab.demo.portraits import Portrait

Rgb = tuple[int, int, int]
Points = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]

OVERSAMPLING = 4
CANVAS = 64

SKIN_RGB: dict[str, Rgb] = {
    "fair skin": (250, 220, 196),
    "tan skin": (214, 158, 112),
    "dark skin": (126, 80, 54),
}
HAIR_RGB: dict[str, Rgb] = {
    "black": (44, 40, 52),
    "brown": (122, 74, 40),
    "blonde": (244, 208, 96),
    "red": (206, 44, 40),
    "blue": (56, 100, 214),
    "green": (60, 160, 84),
    "pink": (246, 140, 186),
    "white": (240, 240, 246),
}
EYE_RGB: dict[str, Rgb] = {
    "brown": (110, 62, 26),
    "blue": (34, 110, 230),
    "green": (24, 160, 76),
    "red": (216, 28, 44),
}
SHIRT_RGB: dict[str, Rgb] = {
    "white": (242, 242, 242),
    "black": (48, 48, 54),
    "red": (204, 46, 50),
    "blue": (52, 92, 196),
    "green": (56, 146, 76),
    "yellow": (240, 204, 60),
}
BACKGROUND_RGB: dict[str, Rgb] = {
    "white": (248, 248, 248),
    "grey": (150, 152, 158),
    "pink": (250, 178, 204),
    "yellow": (250, 230, 120),
    "green": (126, 204, 132),
    "blue": (120, 176, 242),
    "purple": (170, 124, 216),
    "orange": (248, 164, 84),
}
HAT_RGB: dict[str, Rgb] = {"cap": (40, 120, 200), "beanie": (180, 60, 110), "witch hat": (70, 40, 110)}
STAR_RGB: Rgb = (30, 80, 240)
INK: Rgb = (46, 32, 40)


def render(portrait: Portrait, size: int = 64) -> Image.Image:
    """An RGB image of `size` x `size` pixels; the same portrait gives the same bytes."""
    k = size * OVERSAMPLING / CANVAS
    image = Image.new("RGB", (size * OVERSAMPLING,) * 2)
    pen = _Pen(ImageDraw.Draw(image), k)
    _background(pen, portrait)
    pen.place(portrait)
    _back_hair(pen, portrait)
    _body(pen, portrait)
    _head(pen, portrait)
    _face(pen, portrait)
    if portrait.star:
        pen.polygon(star_points(21.5, 41.5, 4.6), STAR_RGB)
    _front_hair(pen, portrait)
    if portrait.ears:
        _ears(pen, portrait)
    if portrait.glasses:
        _glasses(pen)
    if portrait.hat is not None:
        _hat(pen, portrait.hat)
    return image.reduce(OVERSAMPLING)


def star_points(x: float, y: float, radius: float) -> Points:
    """The ten corners of a five-pointed star around (x, y), one point up."""
    radii = (radius, 0.45 * radius)
    return [(x + radii[i % 2] * sin(i * pi / 5), y - radii[i % 2] * cos(i * pi / 5)) for i in range(10)]


def shade(rgb: Rgb, factor: float) -> Rgb:
    """Darker (`factor` under 1) or lighter (over 1: towards white)."""
    if factor <= 1:
        return (int(rgb[0] * factor), int(rgb[1] * factor), int(rgb[2] * factor))
    mix = factor - 1
    return (
        int(rgb[0] + (255 - rgb[0]) * mix),
        int(rgb[1] + (255 - rgb[1]) * mix),
        int(rgb[2] + (255 - rgb[2]) * mix),
    )


class _Pen:
    """Draws outlined shapes in figure coordinates."""

    def __init__(self, draw: ImageDraw.ImageDraw, k: float) -> None:
        self.draw, self.k = draw, k
        self.dx = self.dy = 0.0
        self.scale = 1.0

    def place(self, portrait: Portrait) -> None:
        self.dx, self.dy, self.scale = portrait.dx, portrait.dy, portrait.scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        middle = CANVAS / 2
        return (
            ((x - middle) * self.scale + middle + self.dx) * self.k,
            ((y - middle) * self.scale + middle + self.dy) * self.k,
        )

    def width(self, pixels: float) -> int:
        return max(1, round(pixels * self.k * self.scale))

    def ellipse(self, box: Box, rgb: Rgb, line: float = 0.7) -> None:
        x0, y0, x1, y1 = box
        edge = shade(rgb, 0.55) if line else None
        self.draw.ellipse([self.at(x0, y0), self.at(x1, y1)], fill=rgb, outline=edge, width=self.width(line))

    def polygon(self, points: Points, rgb: Rgb, line: float = 0.7) -> None:
        placed = [self.at(x, y) for x, y in points]
        self.draw.polygon(placed, fill=rgb)
        if line:
            self.draw.line(
                [*placed, placed[0], placed[1]], fill=shade(rgb, 0.55), width=self.width(line), joint="curve"
            )

    def line(self, points: Points, rgb: Rgb, width: float = 1.0) -> None:
        self.draw.line([self.at(x, y) for x, y in points], fill=rgb, width=self.width(width), joint="curve")

    def arc(self, box: Box, span: tuple[float, float], rgb: Rgb, width: float) -> None:
        x0, y0, x1, y1 = box
        self.draw.arc([self.at(x0, y0), self.at(x1, y1)], *span, fill=rgb, width=self.width(width))

    def pie(self, box: Box, span: tuple[float, float], rgb: Rgb) -> None:
        x0, y0, x1, y1 = box
        self.draw.pieslice([self.at(x0, y0), self.at(x1, y1)], *span, fill=rgb)


def _background(pen: _Pen, portrait: Portrait) -> None:
    rgb = BACKGROUND_RGB[portrait.background]
    second = shade(rgb, 0.78)
    pen.draw.rectangle([0, 0, CANVAS * pen.k, CANVAS * pen.k], fill=rgb)
    if portrait.pattern == "striped":
        for x in range(0, CANVAS, 12):
            pen.draw.rectangle([x * pen.k, 0, (x + 6) * pen.k - 1, CANVAS * pen.k], fill=second)
    elif portrait.pattern == "polka dot":
        for row, y in enumerate(range(4, CANVAS + 8, 10)):
            for x in range(-1 + 6 * (row % 2), CANVAS + 8, 12):
                pen.ellipse((x - 2.8, y - 2.8, x + 2.8, y + 2.8), second, line=0)
    elif portrait.pattern == "gradient":
        rows = int(CANVAS * pen.k)
        for y in range(rows):
            part = y / rows
            pen.draw.line([(0, y), (rows, y)], fill=shade(rgb, 1.0 - 0.5 * part))


def _halves(pen: _Pen, portrait: Portrait, points: Points) -> None:
    """A hair shape: in one colour, or split at the middle of the head where the hair has two."""
    left = HAIR_RGB[portrait.hair_color]
    if portrait.hair_color_right is None:
        pen.polygon(points, left)
        return
    pen.polygon(_clip(points, keep_left=True), left)
    pen.polygon(_clip(points, keep_left=False), HAIR_RGB[portrait.hair_color_right])


def _clip(points: Points, *, keep_left: bool) -> Points:
    """The part of a polygon on one side of x = 32 (Sutherland and Hodgman's clipping, one edge)."""
    sign = 1.0 if keep_left else -1.0
    kept: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        inside0, inside1 = sign * (32 - x0) >= 0, sign * (32 - x1) >= 0
        if inside0:
            kept.append((x0, y0))
        if inside0 != inside1:
            kept.append((32.0, y0 + (y1 - y0) * (32 - x0) / (x1 - x0)))
    return kept


def _curve(box: Box, start: float, end: float, steps: int = 24) -> Points:
    """Points on an ellipse from angle `start` to `end` (degrees, 0 = right, 90 = down)."""
    x0, y0, x1, y1 = box
    cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    angles = [(start + (end - start) * i / steps) * pi / 180 for i in range(steps + 1)]
    return [(cx + rx * cos(a), cy + ry * sin(a)) for a in angles]


def _back_hair(pen: _Pen, portrait: Portrait) -> None:
    dome = _curve((12.5, 7, 51.5, 47), 180, 360)
    style = portrait.hair_style
    if style == "bob cut":
        _halves(pen, portrait, [*dome, (52.5, 46), (47, 49), (17, 49), (11.5, 46)])
    elif style == "long hair":
        _halves(pen, portrait, [*dome, (54, 62), (46, 65), (18, 65), (10, 62)])
    elif style == "twintails":
        left = [(17, 20), (9, 18), (3, 30), (4, 46), (8, 56), (12, 46), (14, 34)]
        _halves(pen, portrait, left)
        _halves(pen, portrait, [(64 - x, y) for x, y in reversed(left)])


def _body(pen: _Pen, portrait: Portrait) -> None:
    skin, shirt = SKIN_RGB[portrait.skin], SHIRT_RGB[portrait.shirt_color]
    pen.ellipse((8, 54, 56, 92), shirt, line=0.9)
    pen.polygon([(27, 46), (37, 46), (38, 56), (32, 60), (26, 56)], shade(skin, 0.88))
    pen.line([(24.5, 54.5), (32, 62), (39.5, 54.5)], shade(shirt, 0.6), 1.4)


def _head(pen: _Pen, portrait: Portrait) -> None:
    skin = SKIN_RGB[portrait.skin]
    for x in (14.5, 49.5):
        pen.ellipse((x - 2.6, 31, x + 2.6, 39), skin)
    pen.polygon([*_curve((15, 10, 49, 52), 175, 365), *_curve((17, 20, 47, 52.5), 20, 160)], skin, line=0.8)


def _face(pen: _Pen, portrait: Portrait) -> None:
    iris = EYE_RGB[portrait.eye_color]
    brow = shade(HAIR_RGB[portrait.hair_color], 0.5)
    for x in (24.5, 39.5):
        pen.ellipse((x - 3.9, 29.4, x + 3.9, 38.6), (252, 252, 252), line=0)
        pen.ellipse((x - 2.9, 29.8, x + 2.9, 38.4), iris, line=0.8)
        pen.ellipse((x - 1.3, 32.4, x + 1.3, 36.8), INK, line=0)
        pen.ellipse((x - 1.9, 30.8, x + 0.3, 33.0), (255, 255, 255), line=0)
        pen.arc((x - 4.2, 28.6, x + 4.2, 39.0), (200, 340), INK, 1.4)
        pen.arc((x - 4.2, 25.4, x + 4.2, 33.0), (220, 320), brow, 0.9)
    pen.line([(31.6, 39.4), (32.4, 40.2)], shade(SKIN_RGB[portrait.skin], 0.6), 1.0)
    _mouth(pen, portrait.mouth)


def _mouth(pen: _Pen, mouth: str) -> None:
    if mouth == "smile":
        pen.arc((27, 38.5, 37, 46.5), (25, 155), INK, 1.3)
    elif mouth == "open mouth":
        pen.pie((27.5, 38.5, 36.5, 49), (0, 180), (150, 30, 40))
        pen.ellipse((29.8, 45.0, 34.2, 48.4), (240, 130, 130), line=0)
    elif mouth == "frown":
        pen.arc((27.5, 44.0, 36.5, 51.0), (210, 330), INK, 1.3)
    else:
        pen.line([(29, 45), (35, 45)], INK, 1.3)


def _front_hair(pen: _Pen, portrait: Portrait) -> None:
    dome = _curve((13, 6.5, 51, 46), 180, 360)
    style = portrait.hair_style
    fringe: Points
    if style == "spiky hair":
        spikes = [
            (12, 30),
            (9, 20),
            (14, 19),
            (13, 9),
            (20, 11),
            (23, 3),
            (30, 7),
            (36, 1),
            (40, 7),
            (48, 4),
            (48, 12),
        ]
        spikes += [
            (55, 13),
            (51, 20),
            (54, 26),
            (51, 30),
            (46, 22),
            (41, 26),
            (36, 20),
            (30, 26),
            (25, 20),
            (18, 26),
        ]
        _halves(pen, portrait, spikes)
        return
    if style == "short hair":
        fringe = [(50, 30), (47, 24), (42, 19), (30, 24), (20, 21), (16, 25), (14, 30)]
    elif style == "twintails":
        fringe = [(48.5, 30), (46, 23), (38, 25), (32, 17), (26, 25), (18, 23), (15.5, 30)]
    else:
        fringe = [(52, 43), (48.5, 44.5), (47, 27), (41, 23.5), (37, 26.5), (32, 23), (27, 26.5), (23, 23.5)]
        fringe = [*fringe, (17, 27), (15.5, 44.5), (12, 43)]
    _halves(pen, portrait, [*dome, *fringe])
    if style == "twintails":
        for x in (14.5, 49.5):
            pen.ellipse((x - 2.4, 15.6, x + 2.4, 20.4), (220, 60, 70))


def _ears(pen: _Pen, portrait: Portrait) -> None:
    right = portrait.hair_color_right or portrait.hair_color
    left_ear: Points = [(14.5, 17), (13.5, 1.5), (27, 8.5)]
    inner: Points = [(17, 13.5), (16, 5), (23.5, 9)]
    for flip, name in ((False, portrait.hair_color), (True, right)):
        rgb = HAIR_RGB[name]
        pen.polygon([(64 - x if flip else x, y) for x, y in left_ear], rgb)
        pen.polygon([(64 - x if flip else x, y) for x, y in inner], (246, 150, 170), line=0)


def _glasses(pen: _Pen) -> None:
    for x in (24.5, 39.5):
        pen.arc((x - 6.0, 28.2, x + 6.0, 40.2), (0, 360), (28, 28, 36), 1.4)
    pen.line([(30.3, 33.4), (33.7, 33.4)], (28, 28, 36), 1.4)


def _hat(pen: _Pen, hat: str) -> None:
    rgb = HAT_RGB[hat]
    if hat == "cap":
        pen.polygon([*_curve((13, 3, 51, 38), 180, 360), (51, 22), (13, 22)], rgb)
        pen.polygon([(11, 19), (40, 19), (53, 24), (49, 26), (11, 23)], shade(rgb, 0.75))
    elif hat == "beanie":
        pen.polygon([*_curve((13, 3, 51, 38), 180, 360), (51, 17), (13, 17)], rgb)
        pen.polygon([(11.5, 15), (52.5, 15), (52.5, 22), (11.5, 22)], shade(rgb, 1.4))
        pen.ellipse((28, -1, 36, 7), shade(rgb, 1.4))
    else:
        pen.polygon([(17, 17), (36, -6), (47, 17)], rgb)
        pen.ellipse((5, 13, 59, 22), rgb)
        pen.line([(17.5, 14.6), (46.5, 14.6)], (240, 190, 60), 2.0)

"""Opening image files of every kind: headers fast, pixels as RGB.

Decoders raise nearly anything on damaged files, so that this module catches `Exception` around them and
turns it into `DataError`."""

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lora_lab.errors import DataError

# Twice Pillow's warning limit: what Pillow itself refuses as a decompression bomb.
MAX_IMAGE_PIXELS = 178_956_970
JPEGS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp"))
"""Names that browsers and cameras give to JPEG files."""
_ORIENTATION_TAG = 0x0112
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_limit_lock = threading.Lock()


@dataclass(frozen=True)
class Header:
    """What an image's header says; `width` and `height` are in pixels after EXIF rotation."""

    width: int
    height: int
    mode: str
    frames: int
    transparent: bool


def extensions() -> frozenset[str]:
    """Lower-case file name extensions that are read as images."""
    known = {".png", ".apng", ".webp", ".bmp", ".dib", *JPEGS}
    if ".avif" in Image.registered_extensions():
        known.add(".avif")
    return frozenset(known)


def read_header(data: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> Header:
    """Read an image's header; pixels are decoded only where the file looks cut off.

    Raises:
        DataError: Not an image, too large, or damaged; the text is a clause without the file's name.
    """
    image = _open(data, max_pixels)
    try:
        frames = int(getattr(image, "n_frames", 1))
        width, height = image.size
        if _orientation(image, data) in _ROTATED:
            width, height = height, width
        header = Header(width, height, image.mode, frames, _is_transparent(image))
        if _looks_cut_off(data, image.format or ""):
            image.load()
    except Exception as error:
        raise DataError(f"damaged or cut off ({error})") from error
    return header


def decode(data: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """All pixels of an image as uint8 (H, W, 3): EXIF rotation done, first frame, transparency on white.

    16-bit greys keep their upper 8 bits, CMYK and palettes are converted, ICC profiles are ignored.

    Raises:
        DataError: Not an image, too large, or damaged; the text is a clause without the file's name.
    """
    image = _open(data, max_pixels)
    try:
        image.seek(0)
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        raise DataError(f"damaged or cut off ({error})") from error


def decode_alpha(data: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray | None:
    """How opaque each pixel is, uint8 (H, W, 1), turned as `decode` turns; None without an alpha channel.

    Raises:
        DataError: As `decode`.
    """
    image = _open(data, max_pixels)
    try:
        image.seek(0)
        image.load()
        if not _is_transparent(image):
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))[:, :, 3:]
    except Exception as error:
        raise DataError(f"damaged or cut off ({error})") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises `DataError` (a clause without the file's name) when it cannot be read or
    is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from error
    if not data:
        raise DataError("an empty file")
    return data


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Open with our limit in place of Pillow's, which is one global for the whole process."""
    try:
        with _limit_lock:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(io.BytesIO(_without_texts(data)))
            finally:
                Image.MAX_IMAGE_PIXELS = before
    except Exception as error:
        raise DataError("not an image that can be read") from error
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(f"{width}x{height} pixels are more than dataset.max_image_pixels = {max_pixels}")
    return image


_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")


def _without_texts(data: bytes) -> bytes:
    """A PNG without the texts that nobody reads here: Pillow refuses the image when they are large.

    Those that may hold an orientation stay. Of a damaged file nothing is taken.
    """
    if not data.startswith(_PNG) or not any(kind in data for kind in _TEXTS):
        return data
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        body = at + 8
        if data[at + 4 : body] not in _TEXTS or data[body : body + 32].startswith(_TURNS):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 = upright; a PNG is only asked when it has any, since asking decodes it."""
    marks = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation", b"com.adobe.xmp")
    if image.format == "PNG" and not any(mark in data for mark in marks):
        return 1
    return int(image.getexif().get(_ORIENTATION_TAG, 1))


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _looks_cut_off(data: bytes, kind: str) -> bool:
    """Whether the file lacks its end mark; a cheap sign, which decoding then decides."""
    if kind == "PNG":
        return b"IEND" not in data[-4096:]
    if kind in ("JPEG", "MPO"):
        return not data.rstrip(b"\0\r\n ").endswith(b"\xff\xd9")
    if kind == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return kind in ("BMP", "DIB", "AVIF")  # rare, and without an end mark


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _grey_to_rgb(np.asarray(image), image.mode)
    if _is_transparent(image):
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(values: np.ndarray, mode: str) -> np.ndarray:
    """Greys deeper than 8 bits as uint8 (H, W, 3); floats are taken as 0 to 1, or 0 to 255 where they
    exceed 1."""
    if mode == "F":
        scaled = values * (255.0 if float(np.nanmax(values)) <= 1.0 else 1.0)
    else:
        scaled = values / (257.0 if mode != "I" or int(values.max()) > 255 else 1.0)
    grey = np.clip(np.rint(np.nan_to_num(scaled)), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)

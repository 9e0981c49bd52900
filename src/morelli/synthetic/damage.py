"""Damaged image files: every way in which the pictures of the real data set are not plain upright JPEGs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from morelli.synthetic.studio import QUALITY

BOMB_SIDE = 21_000  # 441 megapixels
_ORIENTATION = 0x0112


def _jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": QUALITY, **options})
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def truncated(image: Image.Image) -> bytes:
    whole = _jpeg(image)
    return whole[: int(len(whole) * 0.6)]


def zero_byte(image: Image.Image) -> bytes:
    return b""


def not_an_image(image: Image.Image) -> bytes:
    return b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"


def bomb(image: Image.Image) -> bytes:
    """A PNG of 54 kB that unfolds into a 1-bit image of 441 megapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    press = zlib.compressobj(9)
    row = bytes(1 + (BOMB_SIDE + 7) // 8)
    data = b"".join(press.compress(row * 1000) for _ in range(BOMB_SIDE // 1000)) + press.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cmyk(image: Image.Image) -> bytes:
    return _jpeg(image.convert("CMYK"))


def greyscale(image: Image.Image) -> bytes:
    return _jpeg(image.convert("L"))


def sixteen_bit(image: Image.Image) -> bytes:
    """A 16-bit grey PNG that uses the whole range, 0–65535."""
    return _png(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257))


def palette_alpha(image: Image.Image) -> bytes:
    """A palette PNG of 64 colours, the first of them transparent."""
    buffer = io.BytesIO()
    image.quantize(64).save(buffer, "PNG", transparency=0)
    return buffer.getvalue()


def exif_rotated(image: Image.Image) -> bytes:
    """Lies on its side, and says so: a reader turns it by 90° clockwise."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    return _jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def near_duplicate(image: Image.Image) -> bytes:
    """Nine tenths as large, a little brighter, encoded again."""
    size = (max(1, round(image.width * 0.9)), max(1, round(image.height * 0.9)))
    return _jpeg(ImageEnhance.Brightness(image.resize(size)).enhance(1.06), quality=80)


DAMAGES: dict[str, Callable[[Image.Image], bytes]] = {
    "truncated": truncated,
    "zero_byte": zero_byte,
    "not_an_image": not_an_image,
    "bomb": bomb,
    "cmyk": cmyk,
    "greyscale": greyscale,
    "sixteen_bit": sixteen_bit,
    "palette_alpha": palette_alpha,
    "exif_rotated": exif_rotated,
    "near_duplicate": near_duplicate,
}


def spoil(kind: str, image: Image.Image, path: Path) -> None:
    """Writes the damaged form of ``image`` to ``path``."""
    path.write_bytes(DAMAGES[kind](image))

"""Opens one image file: verifies it by decoding, makes it RGB and upright, reduces it to the prepared size."""

from __future__ import annotations

import io
import re
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from morelli.collection.ledger import REJECTIONS
from morelli.errors import ImageError

REASONS = {
    kind: REJECTIONS[kind]
    for kind in (
        "missing-file",
        "empty-file",
        "not-an-image",
        "damaged",
        "too-large",
        "too-small",
        "unreadable",
    )
}
MAX_PIXELS = 250_000_000
THUMB = 16
_QUALITY = 92
_ORIENTATION = 0x0112
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF"}

_NO_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_lock, _openings = threading.Lock(), 0
_limits: list[int | None] = []


@dataclass(frozen=True)
class Prepared:
    """A prepared image: JPEG bytes, the original's width and height in pixels (upright), a 64-bit perceptual
    hash, a 16 × 16 × 3 thumbnail (uint8, raw bytes) and the kinds of repair it needed."""

    data: bytes
    width: int
    height: int
    phash: int
    thumb: bytes
    repairs: tuple[str, ...] = field(default=())


def open_rgb(
    source: Path | bytes | Image.Image, short_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """Decodes to upright 8-bit RGB, short side at most ``short_side`` pixels (never enlarged).

    An image that Pillow has opened already stays as it is; it is turned and its colours converted as those of a file
    are. Returns the image, the original's upright (width, height) and the repairs made. Raises
    :class:`ImageError` with a reason out of :data:`REASONS`.
    """
    name = source.name if isinstance(source, Path) else "the image"
    _ignore_pillow_warnings()
    try:
        return _open(source, short_side, max_pixels)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not-an-image", f"{name}: its content is not an image") from None
    except (MemoryError, Image.DecompressionBombError):
        raise ImageError("too-large", f"{name}: too large for this machine's memory") from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError) as error:
        # Pillow's decoders raise all of these on damaged content
        raise ImageError("damaged", f"{name}: cannot be decoded ({error})") from None


def prepare(source: Path | bytes, size: int, max_pixels: int = MAX_PIXELS) -> Prepared:
    """Verifies one image and reduces it to a short side of ``size`` pixels, as a JPEG.

    A small upright RGB JPEG is kept byte for byte. Raises :class:`ImageError`.
    """
    import imagehash

    data = source if isinstance(source, bytes) else _read(source)
    image, (width, height), repairs = open_rgb(data, size, max_pixels)
    expected = _FORMATS.get(source.suffix.lower()) if isinstance(source, Path) else None
    if expected and expected != _format(data):
        repairs.append("wrong-extension")
    bits = imagehash.phash(image).hash.flatten()
    thumb = image.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
    untouched = not repairs and min(width, height) <= size and _format(data) == "JPEG"
    stored = data if untouched and len(data) < 2 * width * height + 4096 else _encode(image)
    return Prepared(stored, width, height, int(np.packbits(bits).view(">u8")[0]), thumb, tuple(repairs))


def _ignore_pillow_warnings() -> None:
    """Broken EXIF and TIFF tags warn, and the decode decides. The filter stays: threads share the filters, so that one
    that ends its own ``catch_warnings`` would undo those of the others."""
    if _NO_PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", module=_NO_PILLOW_WARNINGS[3].pattern)


def _open(
    source: Path | bytes | Image.Image, short_side: int | None, max_pixels: int
) -> tuple[Image.Image, tuple[int, int], list[str]]:
    with _undecoded(source) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError("too-large", f"{width} × {height} pixels; raise --max-pixels if it is genuine")
        if min(width, height) < 8:
            raise ImageError("too-small", f"{width} × {height} pixels")
        repairs: list[str] = []
        # before getexif, which decodes a PNG and so forgets how it was stored
        tiles = getattr(image, "tile", ())
        deep = any(";16" in str(tile[3]) for tile in tiles) or image.mode in ("I", "F", "I;16", "I;16B")
        if short_side:
            scale = max(1.0, min(width, height) / short_side)
            image.draft(None, (int(width / scale), int(height / scale)))
        image.load()
        turn = image.getexif().get(_ORIENTATION, 1)  # after loading, which turns a TIFF itself
        upright = _to_rgb(image, repairs, deep)
        if short_side and min(upright.size) > short_side:
            scale = short_side / min(upright.size)
            target = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
            upright = upright.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)
        upright = _to_srgb(upright, image, repairs)
        if turn in range(2, 9):
            upright = _turn(upright, turn)
            repairs.append("exif-rotated")
            width, height = (height, width) if turn >= 5 else (width, height)
    return upright, (width, height), repairs


def _undecoded(source: Path | bytes | Image.Image) -> Image.Image:
    """A file of which the header alone is read; an open image as a copy, for what follows changes it."""
    if isinstance(source, Image.Image):
        return source.copy()
    data = source if isinstance(source, bytes) else _read(source)
    if not data:
        raise ImageError("empty-file", "the file is empty")
    return _header(data)


def _header(data: bytes) -> ImageFile.ImageFile:
    """Opens without Pillow's own limit of size, which is lower than ours may be, and leaves that limit to others
    as it is; nothing is decoded yet."""
    global _openings
    with _lock:
        if _openings == 0:
            _limits.append(Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
        _openings += 1
    try:
        return Image.open(io.BytesIO(data))
    finally:
        with _lock:
            _openings -= 1
            if _openings == 0:
                Image.MAX_IMAGE_PIXELS = _limits.pop()


def _to_rgb(image: Image.Image, repairs: list[str], deep: bool) -> Image.Image:
    """RGB, or CMYK where a colour profile still has to be applied."""
    if deep:
        repairs.append("sixteen-bit")
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if values.max() > 255 else 255.0 if values.max() > 1 else 1.0
        return Image.fromarray((values.clip(0, top) / top * 255).astype(np.uint8)).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    kinds = {
        "CMYK": "cmyk",
        "L": "greyscale",
        "1": "greyscale",
        "LA": "greyscale",
        "P": "palette",
        "PA": "palette",
    }
    if image.mode != "RGBA":
        repairs.append(kinds.get(image.mode, "other-mode"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        repairs.append("transparency")
        overlay = image.convert("RGBA")
        white = Image.new("RGBA", overlay.size, "white")
        return Image.alpha_composite(white, overlay).convert("RGB")
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return image
    return image.convert("RGB")


def _to_srgb(image: Image.Image, original: Image.Image, repairs: list[str]) -> Image.Image:
    """Applies an embedded profile that is not sRGB; a profile that cannot be read is passed over."""
    profile = original.info.get("icc_profile")
    if not profile or (b"sRGB" in profile and image.mode == "RGB"):
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != image.mode:
            return image.convert("RGB")
        done = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")
    repairs.append("colour-profile")
    return done if done is not None else image.convert("RGB")


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    image.info["exif"] = exif.tobytes()
    image._exif = None  # the cached EXIF of an image that was already transformed
    return ImageOps.exif_transpose(image)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _format(data: bytes) -> str:
    marks = ((b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"), (b"RIFF", "WEBP"))
    return next((name for mark, name in marks if data.startswith(mark)), "other")


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("missing-file", f"{path.name}: no such file") from None
    except OSError as error:
        raise ImageError("unreadable", f"{path.name}: cannot be opened ({error.strerror})") from None
    if not data:
        raise ImageError("empty-file", f"{path.name}: the file is empty")
    return data

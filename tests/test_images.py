"""One image file: every odd kind is either made upright RGB or refused with the right reason."""

import io
import struct
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageCms

from morelli.collection.images import open_rgb, prepare
from morelli.collection.preparing import prepare_all, thumbnails
from morelli.errors import ImageError


def picture(width: int = 90, height: int = 60, seed: int = 0) -> Image.Image:
    """A smooth colourful gradient: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    blue = np.full_like(x, 40 + seed)
    return Image.fromarray(np.stack([x, y, blue], axis=-1).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def close(image: Image.Image, other: Image.Image, levels: float) -> bool:
    return float(np.abs(np.asarray(image, float) - np.asarray(other, float)).mean()) < levels


def test_a_small_plain_jpeg_is_kept_byte_for_byte() -> None:
    data = saved(picture(), "JPEG", quality=95)
    made = prepare(data, 256)
    assert made.data == data and (made.width, made.height) == (90, 60) and made.repairs == ()


def test_a_large_picture_is_reduced_to_its_short_side() -> None:
    made = prepare(saved(picture(900, 600), "JPEG", quality=95), 64)
    image = Image.open(io.BytesIO(made.data))
    assert image.size == (96, 64) and (made.width, made.height) == (900, 600)
    assert close(image, picture(96, 64), 3)


def test_the_perceptual_hash_is_that_of_imagehash() -> None:
    data = saved(picture(200, 150), "PNG")
    expected = int(str(imagehash.phash(picture(200, 150))), 16)
    assert prepare(data, 256).phash == expected


@pytest.mark.parametrize(
    ("mode", "kind", "repair"),
    [
        ("CMYK", "JPEG", "cmyk"),
        ("L", "JPEG", "greyscale"),
        ("P", "PNG", "palette"),
        ("1", "PNG", "greyscale"),
    ],
)
def test_other_colour_modes_become_rgb_and_are_reported(mode: str, kind: str, repair: str) -> None:
    image, _, repairs = open_rgb(saved(picture().convert(mode), kind))
    assert image.mode == "RGB" and repairs == [repair]
    if mode != "1":
        assert close(image, picture().convert(mode).convert("RGB"), 6)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    image, _, repairs = open_rgb(saved(Image.fromarray(deep), "PNG"))
    assert repairs == ["sixteen-bit"]
    assert np.abs(np.asarray(image)[..., 0].astype(int) - (deep // 257).astype(int)).max() <= 1


def test_sixteen_bit_rgb_is_noticed() -> None:
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 0, 32768) * 16 for _ in range(16))
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 16, 16, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    image, _, repairs = open_rgb(b"\x89PNG\r\n\x1a\n" + body)
    assert repairs == ["sixteen-bit"] and image.getpixel((3, 3)) == (255, 0, 128)


def test_transparency_is_laid_on_white() -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    image, _, repairs = open_rgb(saved(clear, "PNG"))
    assert repairs == ["transparency"] and image.getextrema() == ((255, 255),) * 3


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    flat = Image.new("P", (32, 32), 0)
    flat.putpalette([10, 20, 30, 200, 100, 50])
    image, _, repairs = open_rgb(saved(flat, "PNG", transparency=0))
    assert repairs == ["palette", "transparency"] and image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF", "MPO"])
def test_every_format_is_turned_upright_once(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [picture(160, 120)]} if kind == "MPO" else {}
    data = saved(picture(120, 160).transpose(Image.Transpose.ROTATE_90), kind, exif=exif, quality=95, **more)
    assert Image.open(io.BytesIO(data)).format == kind
    for source in (data, Image.open(io.BytesIO(data))):
        upright, size, _ = open_rgb(source)
        assert upright.size == size == (120, 160) and close(upright, picture(120, 160), 3)
    assert prepare(data, 64).width == 120


def test_an_image_that_is_open_already_is_read_like_its_file_and_stays_as_it_is() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for mode, more in (("RGB", {}), ("L", {}), ("RGBA", {}), ("P", {}), ("RGB", {"icc_profile": profile})):
        data = saved(picture().convert(mode), "PNG", **more)
        image = Image.open(io.BytesIO(data))
        before = image.tobytes()
        opened, from_file = open_rgb(image, 40), open_rgb(data, 40)
        assert opened[1:] == from_file[1:] and np.array_equal(*map(np.asarray, (opened[0], from_file[0])))
        assert (image.mode, image.size, image.tobytes()) == (mode, (90, 60), before)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_undone_for_all_eight_values(orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned left, shown turned right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(picture(160, 120).transpose(turns[orientation]), "JPEG", exif=exif, quality=95)
    image, size, repairs = open_rgb(data, 60)
    assert repairs == ["exif-rotated"] and size == (160, 120) and image.size == (80, 60)
    assert close(image, picture(80, 60), 4)


def test_a_colour_profile_is_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    _, _, repairs = open_rgb(saved(picture(), "PNG", icc_profile=profile))
    assert repairs == []  # a profile of another colour space than the pixels' is passed over
    broken, _, repairs = open_rgb(saved(picture(), "PNG", icc_profile=b"not a profile"))
    assert repairs == [] and close(broken, picture(), 0.1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty-file"),
        (b"<html><body>404</body></html>", "not-an-image"),
        (saved(picture(400, 300), "JPEG")[:3000], "damaged"),
        (saved(picture(400, 300), "PNG")[:500], "damaged"),
        (saved(Image.new("1", (16000, 16000)), "PNG"), "too-large"),
        (saved(picture(7, 90), "PNG"), "too-small"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "not-an-image"),
    ],
    ids=["empty", "html", "cut jpeg", "cut png", "bomb", "sliver", "jpeg marker only"],
)
def test_what_cannot_be_used_is_refused_with_its_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "work.jpg"
    file.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        prepare(file, 64)
    assert caught.value.reason == reason


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.jpg", "missing-file"), (tmp_path, "unreadable")):
        with pytest.raises(ImageError) as caught:
            prepare(path, 64)
        assert caught.value.reason == reason


def test_a_png_under_a_jpegs_name_is_read_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "work.jpg"
    file.write_bytes(saved(picture(), "PNG"))
    assert prepare(file, 64).repairs == ("wrong-extension",)


def test_a_fuzzed_jpeg_is_read_or_refused_but_never_crashes() -> None:
    data = bytearray(saved(picture(120, 90), "JPEG"))
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(2, len(data), size=5):
            broken[place] = int(rng.integers(256))
        try:
            assert prepare(bytes(broken), 32).width > 0
        except ImageError as error:
            assert error.reason


@pytest.mark.slow
def test_pillows_own_guard_against_bombs_is_left_to_others() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match="16000 × 16000"):
        open_rgb(saved(Image.new("1", (16000, 16000)), "PNG"))
    assert before == Image.MAX_IMAGE_PIXELS is not None


def test_thumbnails_are_those_of_the_wanted_works_across_shards_and_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.collection.preparing.SHARD", 3)
    images = [saved(picture(seed=10 * n), "PNG") for n in range(7)]
    images[4] = b"not an image"
    facts = prepare_all([str(n) for n in range(7)], lambda n: images[n], tmp_path, 64, 10**6, processes=1)
    assert list(facts["row"]) == [0, 1, 2, 0, -1, 1, 0]
    wanted = np.array([1, 2, 3, 5, 6])
    expected = [np.frombuffer(prepare(images[n], 64).thumb, np.uint8) for n in wanted]
    assert np.array_equal(thumbnails(tmp_path, wanted), expected)
    assert len({bytes(each) for each in expected}) == 5
    assert {file.suffix for file in tmp_path.iterdir()} == {".arrow", ".parquet", ".json"}

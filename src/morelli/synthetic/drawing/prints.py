"""The two styles that print rather than paint: the woodblock and the poster."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from morelli.synthetic.drawing import easel
from morelli.synthetic.drawing.easel import Sitting
from morelli.synthetic.drawing.shapes import Scene


def ukiyo_e(s: Sitting) -> np.ndarray:
    """A woodblock print: flat areas, dark key-block lines, a bokashi gradient at the upper edge, fibres."""
    scene = s.scene
    plate = easel.underpaint(
        scene, s.table, s.unit, modelled=False, outline=0.0085 * s.artist.stroke**0.3, bands=7
    )
    _, y = easel.grid(plate, s.unit)
    # bokashi: the printer wipes one edge of the block
    top = np.clip(1 - y / (0.24 * scene.h), 0, 1)[..., None] * 0.75
    plate = plate * (1 - top) + top * np.array(s.colour("cloth", -0.2), np.float32)
    low = np.clip((y - 0.86 * scene.h) / (0.14 * scene.h), 0, 1)[..., None] * 0.4
    plate = plate * (1 - low) + low * np.array(s.colour("accent", 0.1), np.float32)
    grain = easel.texture(plate.shape[:2], s.rng, int(70 * scene.h), 4)
    fibre = easel.texture(plate.shape[:2], s.rng, 30, 40)
    plate = plate + (5 * grain + 4 * fibre)[..., None]
    return _print_margin(s, plate)


def _print_margin(s: Sitting, plate: np.ndarray) -> np.ndarray:
    margin = max(1, round(0.028 * s.unit))
    line = max(1, round(0.007 * s.unit))
    paper = np.array([246, 239, 220], np.float32)
    for width, colour in ((margin + line, np.array(s.colour("window", -0.5), np.float32)), (margin, paper)):
        plate[:width] = plate[-width:] = colour
        plate[:, :width] = plate[:, -width:] = colour
    return plate


def art_nouveau(s: Sitting) -> np.ndarray:
    """A poster: flat muted colour, a thick sinuous contour, a disc behind the subject, whiplash border."""
    scene = s.scene
    x, y, r = scene.focus
    disc = Scene(s.rng, scene.w, scene.h, scene.light, stops=scene.stops)
    disc.blob(x, y, r + 0.05, r + 0.05, "gold", 0.1)
    disc.blob(x, y, r, r, "linen", -0.06)
    for a in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        disc.blob(x + (r + 0.025) * np.cos(a), y + (r + 0.025) * np.sin(a), 0.014, 0.014, "accent", 0.1)
    disc.shapes.extend(scene.shapes)
    plate = easel.underpaint(disc, s.table, s.unit, modelled=False, outline=0.0125 * s.artist.stroke**0.4)
    image = Image.fromarray(plate.astype(np.uint8))
    _border(s, ImageDraw.Draw(image))
    plate = np.asarray(image, np.float32)
    return plate + 3.5 * easel.texture(plate.shape[:2], s.rng, 45, 45)[..., None]


def _border(s: Sitting, draw: ImageDraw.ImageDraw) -> None:
    w, h, u, b = s.scene.w, s.scene.h, s.unit, 0.075
    band, dark, leaf = s.colour("gold", 0.35), s.colour("window", -0.45), s.colour("foliage", 0.1)
    for box in ((0, 0, w, b), (0, h - b, w, h), (0, 0, b, h), (w - b, 0, w, h)):
        draw.rectangle([v * u for v in box], band)
    line = max(1, round(0.0085 * u))
    draw.rectangle([b * u, b * u, (w - b) * u, (h - b) * u], None, dark, line)
    draw.rectangle([0, 0, w * u - 1, h * u - 1], None, dark, line)
    t = np.linspace(0, 1, 50)
    for horizontal, length, at in (
        (True, w, 0.5 * b),
        (True, w, h - 0.5 * b),
        (False, h, 0.5 * b),
        (False, h, w - 0.5 * b),
    ):
        wave = at + 0.3 * b * np.sin(2 * np.pi * round(length * 4.5) * t)
        path = np.column_stack([t * length, wave] if horizontal else [wave, t * length]) * u
        draw.line(path.ravel().tolist(), leaf, max(1, round(0.013 * u)), "curve")
    corners = np.array([(b, b), (w - b, b), (b, h - b), (w - b, h - b)])
    for cx, cy in corners:
        petals = np.array([(cx + 0.036 * np.cos(a), cy + 0.036 * np.sin(a)) for a in np.arange(5) * 1.2566])
        easel.dots(draw, petals, np.full(5, 0.034), np.tile(np.array(dark), (5, 1)), u)
        easel.dots(draw, petals, np.full(5, 0.026), np.tile(np.array(s.colour("flower", 0.1)), (5, 1)), u)
        easel.dots(draw, np.array([(cx, cy)]), np.array([0.024]), np.array([s.colour("sun")]), u)

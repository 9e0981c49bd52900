"""The small repeated details that give an artist away (Morelli's own method): one habit for each artist,
the canvas under the paint, and a signature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from morelli.synthetic.drawing import easel
from morelli.synthetic.drawing.colour import ink, rgb
from morelli.synthetic.drawing.easel import Sitting

Draw = ImageDraw.ImageDraw


def finish(s: Sitting, plate: np.ndarray) -> np.ndarray:
    """The plate with the artist's canvas, weave, habit and signature."""
    plate = plate * (0.4 + 0.6 * rgb(s.artist.canvas).astype(np.float32) / 255)
    plate = plate + _weave(s, plate)[..., None]
    if s.artist.habit == "vignette":
        plate = _vignette(s, plate)
    if s.artist.habit == "margin":
        plate = _margin(s, plate)
    image = Image.fromarray(np.clip(plate, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if s.artist.habit in HABITS:
        HABITS[s.artist.habit](s, draw)
    _sign(s, draw)
    return np.asarray(image)


def _weave(s: Sitting, plate: np.ndarray) -> np.ndarray:
    x, y = easel.grid(plate, s.unit)
    a = np.deg2rad(-s.artist.angle)
    thread = np.sin((x * np.sin(a) - y * np.cos(a)) * 300) + 0.5 * np.sin(
        (x * np.cos(a) + y * np.sin(a)) * 300
    )
    return 8 * s.artist.weave * thread


def _vignette(s: Sitting, plate: np.ndarray) -> np.ndarray:
    """Edges varnished almost black, corners first."""
    x, y = easel.grid(plate, s.unit)
    away = np.hypot(2 * x / s.scene.w - 1, 2 * y / s.scene.h - 1)
    return plate * np.clip(1.45 - 0.62 * away**2, 0.25, 1)[..., None]


def _margin(s: Sitting, plate: np.ndarray) -> np.ndarray:
    """A strip of bare canvas left along all four edges, uneven as a brush leaves it."""
    x, y = easel.grid(plate, s.unit)
    near = np.minimum(np.minimum(x, s.scene.w - x), np.minimum(y, s.scene.h - y))
    ragged = near + 0.012 * easel.texture(plate.shape[:2], s.rng, 18, 18)
    bare = (ragged < 0.045)[..., None]
    return np.where(bare, rgb(s.artist.canvas).astype(np.float32) * 0.96, plate)


def _line(s: Sitting, draw: Draw, points: np.ndarray, colour: np.ndarray, width: float) -> None:
    draw.line((points * s.unit).ravel().tolist(), ink(colour), max(1, round(width * s.unit)), "curve")


def _birds(s: Sitting, draw: Draw) -> None:
    """A flight of two to four birds high up."""
    dark = rgb(s.artist.palette[5])
    at = np.array([s.scene.w * s.rng.uniform(0.15, 0.8), s.scene.h * s.rng.uniform(0.09, 0.2)])
    for _ in range(int(s.rng.integers(2, 5))):
        p, r = at + s.rng.normal(0, 0.05, 2), s.rng.uniform(0.026, 0.04)
        wing = np.array([(-r, -0.5 * r), (-0.4 * r, -0.7 * r), (0, 0), (0.4 * r, -0.7 * r), (r, -0.5 * r)])
        _line(s, draw, p + wing, dark, 0.009)


def _seal(s: Sitting, draw: Draw) -> None:
    """A vermilion seal with two white characters in a lower corner."""
    r, u = 0.042, s.unit
    x = 0.1 if s.rng.random() < 0.5 else s.scene.w - 0.1
    y = s.scene.h - 0.13
    draw.rectangle([(x - r) * u, (y - 1.5 * r) * u, (x + r) * u, (y + 1.5 * r) * u], (200, 48, 38))
    for k in (-0.8, -0.3, 0.3, 0.8):
        _line(s, draw, np.array([(x - 0.6 * r, y + k * r), (x + 0.6 * r, y + k * r)]), rgb("#fbeedb"), 0.008)
    _line(s, draw, np.array([(x, y - 1.2 * r), (x, y + 1.2 * r)]), rgb("#fbeedb"), 0.008)


def _petals(s: Sitting, draw: Draw) -> None:
    """Pale petals drifting over the whole picture."""
    count = 26
    points = s.rng.uniform(0, 1, (count, 2)) * (s.scene.w, s.scene.h)
    paint = rgb("#fbd3e4") + s.rng.normal(0, 10, (count, 3))
    easel.dabs(draw, points, s.rng.uniform(0, np.pi, count), 0.019, 0.0095, paint, s.unit)


def _crescent(s: Sitting, draw: Draw) -> None:
    """A thin waxing moon in an upper corner."""
    x = s.scene.w - 0.15 if s.artist.light > 0 else 0.15
    y, r = 0.15, 0.065
    a = np.linspace(-1.2, 1.2, 14) + 0.5
    outer = np.column_stack([x + r * np.cos(a), y + r * np.sin(a)])
    inner = np.column_stack([x - 0.02 + 0.88 * r * np.cos(a), y - 0.012 + 0.88 * r * np.sin(a)])[::-1]
    draw.polygon((np.vstack([outer, inner]) * s.unit).ravel().tolist(), (250, 240, 190))


def _sunwheel(s: Sitting, draw: Draw) -> None:
    """A small orange wheel with eight spokes."""
    x = 0.16 if s.rng.random() < 0.5 else s.scene.w - 0.16
    at = np.array([x, 0.16])
    easel.dots(draw, at[None], np.array([0.068]), rgb("#8c1f1c")[None], s.unit)
    easel.dots(draw, at[None], np.array([0.056]), rgb("#f9a11b")[None], s.unit)
    for a in np.arange(4) * np.pi / 4:
        arm = 0.056 * np.array([np.cos(a), np.sin(a)])
        _line(s, draw, np.stack([at - arm, at + arm]), rgb("#8c1f1c"), 0.008)
    easel.dots(draw, at[None], np.array([0.018]), rgb("#fff0c0")[None], s.unit)


def _slashes(s: Sitting, draw: Draw) -> None:
    """Three quick parallel strokes in the primaries."""
    x = s.rng.uniform(0.12, 0.25) if s.rng.random() < 0.5 else s.scene.w - s.rng.uniform(0.2, 0.3)
    y = s.scene.h * s.rng.uniform(0.1, 0.8)
    for k, code in enumerate(("#e2452b", "#f5d327", "#0f4c9c")):
        p = np.array([(x + 0.045 * k, y + 0.1), (x + 0.045 * k + 0.05, y)])
        _line(s, draw, p, rgb(code), 0.021)


def _stars(s: Sitting, draw: Draw) -> None:
    """Seven four-pointed stars across the upper third."""
    for _ in range(7):
        x, y = s.rng.uniform(0.05, s.scene.w - 0.05), s.rng.uniform(0.04, 0.34 * s.scene.h)
        r = s.rng.uniform(0.016, 0.032)
        a = np.arange(8) * np.pi / 4
        radius = np.where(np.arange(8) % 2, 0.3 * r, r)
        star = np.column_stack([x + radius * np.cos(a), y + radius * np.sin(a)]) * s.unit
        draw.polygon(star.ravel().tolist(), (252, 240, 196))


def _sign(s: Sitting, draw: Draw) -> None:
    """The artist's initial waves, the same in every work, in the lower right corner."""
    hand = np.random.default_rng(sum(s.artist.slug.encode()))
    t = np.linspace(0, 1, 18)
    y = s.scene.h - 0.075 + 0.013 * np.sin(t * hand.uniform(14, 34) + hand.uniform(0, 6)) * (1.2 - t)
    path = np.column_stack([s.scene.w - 0.24 + 0.12 * t, y])
    _line(s, draw, path, rgb(s.artist.palette[-2]) * 0.6, 0.006)


HABITS: dict[str, Callable[[Sitting, Draw], None]] = {
    "birds": _birds,
    "seal": _seal,
    "petals": _petals,
    "crescent": _crescent,
    "sunwheel": _sunwheel,
    "slashes": _slashes,
    "stars": _stars,
}

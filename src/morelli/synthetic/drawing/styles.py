"""Seven ways to paint the same scene: five that use a brush (here) and two that print (``prints``).

Each takes a :class:`~morelli.synthetic.drawing.easel.Sitting` and gives a plate (H, W, 3), 0–255.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from morelli.synthetic.drawing import easel
from morelli.synthetic.drawing.colour import ink, rgb
from morelli.synthetic.drawing.easel import Sitting
from morelli.synthetic.drawing.prints import art_nouveau, ukiyo_e


def _layer(
    s: Sitting,
    draw: ImageDraw.ImageDraw,
    plate: np.ndarray,
    gap: float,
    long: float,
    wide: float,
    spread: float,
    edges: float = 0.0,
) -> None:
    """One layer of dabs in the colours of ``plate``; with ``edges`` > 0 only where the forms are busy."""
    scene, rng = s.scene, s.rng
    angle, strength = easel.directions(plate, s.artist.angle, s.artist.grip)
    points = easel.scatter(rng, scene.w, scene.h, gap)
    # drawn for every point, also the ones left out: the same picture at any size needs the same numbers
    value = rng.normal(0, spread, (len(points), 1))
    # broken colour: warm and cool touches side by side
    warm = rng.normal(0, 0.8 * spread, (len(points), 1)) * np.array([1.0, 0.1, -1.0])
    wander, size, luck = (
        rng.normal(0, 0.22, len(points)),
        *rng.uniform((0.7, 0.3), (1.25, 1), (len(points), 2)).T,
    )
    kept = easel.sample(strength, points, scene.w, scene.h) > edges * luck if edges else slice(None)
    turn = easel.sample(angle, points, scene.w, scene.h) + wander
    paint = easel.sample(plate, points, scene.w, scene.h) + value + warm
    size = size[kept]
    easel.dabs(draw, points[kept], turn[kept], long * size, wide * size, paint[kept], s.unit)


def impressionism(s: Sitting) -> np.ndarray:
    """Separate dabs of light, broken colour along the forms, thick paint."""
    plate = easel.underpaint(s.scene, s.table, s.unit)
    k = s.artist.stroke
    image = Image.fromarray((0.72 * plate + 0.28 * rgb(s.artist.canvas)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    _layer(s, draw, plate, 0.05 * k, 0.046 * k, 0.017 * k, 12)
    _layer(s, draw, plate, 0.032 * k, 0.026 * k, 0.0095 * k, 11)
    _layer(s, draw, plate, 0.0165 * k**0.3, 0.014 * k**0.4, 0.0058 * k**0.3, 6, edges=0.45)
    return easel.relief(np.asarray(image, np.float32), 0.22)


def pointillism(s: Sitting) -> np.ndarray:
    """Dots of purer colour than the scene's, some of them complementary, on a light ground."""
    plate = easel.underpaint(s.scene, s.table, s.unit)
    k = s.artist.stroke**0.4
    ground = np.full_like(plate, 1.0) * rgb(s.artist.canvas).astype(np.float32)
    image = Image.fromarray((0.45 * plate + 0.55 * ground).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for gap, radius in ((0.032, 0.0155), (0.027, 0.0115)):
        points = easel.scatter(s.rng, s.scene.w, s.scene.h, gap * k)
        paint = easel.sample(plate, points, s.scene.w, s.scene.h)
        grey = paint @ easel.LUMA
        pure = grey[:, None] + 1.55 * (paint - grey[:, None]) + s.rng.normal(0, 14, paint.shape)
        pick = s.rng.random(len(points))
        pure[pick < 0.1] = 255 - 0.75 * pure[pick < 0.1]
        pure[pick > 0.86] += 55
        easel.dots(draw, points, radius * k * s.rng.uniform(0.75, 1.1, len(points)), pure, s.unit)
    return np.asarray(image, np.float32)


def cubism(s: Sitting) -> np.ndarray:
    """The scene cut by straight lines into facets, each seen from elsewhere and shaded on its own."""
    scene, rng = s.scene, s.rng
    plate = easel.underpaint(scene, s.table, s.unit, outline=0.006)
    x, y = easel.grid(plate, s.unit)
    height, width = plate.shape[:2]
    facet = np.zeros((height, width), np.int32)
    count = 8 if s.artist.stroke > 1.05 else 10
    for k in range(count):
        a = rng.uniform(0, np.pi)
        px, py = rng.uniform(0.1, 0.9) * scene.w, rng.uniform(0.1, 0.9) * scene.h
        side = (x - px) * np.cos(a) + (y - py) * np.sin(a) > 0
        facet |= side.astype(np.int32) << k
    cells = 1 << count
    shift = rng.normal(0, 0.055, (cells, 2)).astype(np.float32) * s.unit
    zoom = rng.uniform(0.82, 1.15, cells).astype(np.float32)
    cx, cy = scene.focus[0] * s.unit, scene.focus[1] * s.unit
    column = (np.arange(width, dtype=np.float32)[None] - cx) * zoom[facet] + cx + shift[facet, 0]
    row = (np.arange(height, dtype=np.float32)[:, None] - cy) * zoom[facet] + cy + shift[facet, 1]
    plate = plate[np.clip(row, 0, height - 1).astype(int), np.clip(column, 0, width - 1).astype(int)]
    return _facets(s, plate, facet, x, y)


def _facets(s: Sitting, plate: np.ndarray, facet: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cells = int(facet.max()) + 1
    a = s.rng.uniform(0, 2 * np.pi, cells).astype(np.float32)
    wave = (x * np.cos(a)[facet] + y * np.sin(a)[facet]) * 3.1
    ramp = np.abs(wave - np.floor(wave) - 0.5) * 4 - 1
    flat = s.rng.normal(0, 14, cells).astype(np.float32)[facet]
    hatch = np.sin((x * np.cos(a)[facet] + y * np.sin(a)[facet]) * 190 / s.artist.stroke) * 4
    plate = plate + (24 * ramp + flat + hatch)[..., None]
    edge = np.zeros(facet.shape, bool)
    thick = max(1, round(0.006 * s.unit))
    for k in range(1, thick + 1):
        edge[k:] |= facet[k:] != facet[:-k]
        edge[:, k:] |= facet[:, k:] != facet[:, :-k]
    plate[edge] = 0.35 * plate[edge] + 0.65 * np.array(s.colour("window", -0.5), np.float32)
    return plate


def abstract_expressionism(s: Sitting) -> np.ndarray:
    """Large bristly gestures in the scene's strongest colours, then loops, drips and spatter."""
    scene, rng = s.scene, s.rng
    plate = easel.underpaint(scene, s.table, s.unit)
    image = Image.fromarray((0.6 * plate + 0.4 * rgb(s.artist.canvas)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    k = s.artist.stroke**0.5
    for gap, long, wide in ((0.16, 0.17, 0.042), (0.085, 0.075, 0.02)):
        points = easel.scatter(rng, scene.w, scene.h, gap)
        points = points[rng.random(len(points)) < 0.8]
        paint = easel.sample(plate, points, scene.w, scene.h)
        for p, c in zip(points, paint, strict=True):
            _gesture(s, draw, p, long * k * rng.uniform(0.5, 1.2), wide * k, c)
    _layer(s, draw, plate, 0.036, 0.034 * k, 0.011 * k, 16, edges=0.6)
    for _ in range(int(rng.integers(1, 4))):
        _loop(s, draw, s.colour(scene.pick("window", "linen", "accent", "sun"), rng.uniform(-0.4, 0.3)))
    _drips(s, draw, plate)
    return easel.relief(np.asarray(image, np.float32), 0.16)


def _gesture(
    s: Sitting, draw: ImageDraw.ImageDraw, at: np.ndarray, long: float, wide: float, colour: np.ndarray
) -> None:
    """One sweep of a worn brush: bristles side by side, each with its own load of paint."""
    rng = s.rng
    angle = np.deg2rad(-s.artist.angle) + rng.normal(0, 0.9 - 0.7 * s.artist.grip)
    bend = rng.uniform(-0.9, 0.9)
    t = np.linspace(-1, 1, 6)
    heading = angle + bend * t
    spine = at + np.cumsum(np.column_stack([np.cos(heading), np.sin(heading)]), 0) * long / 3 - long
    normal = np.column_stack([-np.sin(heading), np.cos(heading)])
    colour = 128 + 1.15 * (colour - 128) + rng.normal(0, 16, 3)
    for k in np.linspace(-1, 1, 6):
        bristle = (spine + normal * k * wide + rng.normal(0, 0.004, 2)) * s.unit
        draw.line(
            bristle.ravel().tolist(), ink(colour + rng.normal(0, 15)), max(1, round(0.4 * wide * s.unit))
        )


def _loop(s: Sitting, draw: ImageDraw.ImageDraw, colour: tuple[int, int, int]) -> None:
    t = np.linspace(0, 2 * np.pi * s.rng.uniform(0.6, 1.6), 140)
    a, b = s.rng.integers(1, 4, 2)
    pa, pb = s.rng.uniform(0, 6, 2)
    x = s.scene.w * (0.5 + 0.42 * np.sin(a * t + pa) + 0.1 * np.sin(3.3 * t))
    y = s.scene.h * (0.5 + 0.4 * np.sin(b * t + pb) + 0.1 * np.cos(2.7 * t))
    path = (np.column_stack([x, y]) * s.unit).ravel().tolist()
    draw.line(path, colour, max(1, round(s.rng.uniform(0.004, 0.011) * s.unit)), "curve")


def _drips(s: Sitting, draw: ImageDraw.ImageDraw, plate: np.ndarray) -> None:
    rng, scene = s.rng, s.scene
    points = rng.uniform(0, 1, (90, 2)) * (scene.w, scene.h)
    paint = 128 + 1.6 * (easel.sample(plate, rng.permutation(points), scene.w, scene.h) - 128)
    easel.dots(draw, points, 0.002 + 0.013 * rng.random(90) ** 3, paint, s.unit)
    for p, c in zip(points[:12], paint, strict=False):
        end = p[1] + rng.uniform(0.08, 0.35)
        line = [p[0] * s.unit, p[1] * s.unit, p[0] * s.unit, end * s.unit]
        draw.line(line, ink(c), max(1, round(0.008 * s.unit)))
        easel.dots(draw, np.array([[p[0], end]]), np.array([0.009]), c[None], s.unit)


def baroque(s: Sitting) -> np.ndarray:
    """Chiaroscuro: one beam of warm light on modelled forms that sink into a brown dark."""
    scene = s.scene
    plate = easel.underpaint(scene, s.table, s.unit)
    image = Image.fromarray(plate.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.0035 * s.unit))
    plate = 0.8 * np.asarray(image, np.float32) + 0.2 * plate
    x, y = easel.grid(plate, s.unit)
    fx, fy, _ = scene.focus
    side = 1 if scene.light >= 0 else -1
    away = np.hypot((x - fx - 0.14 * side) / 0.62, (y - fy + 0.04) / 0.66)
    beam = np.clip(0.55 + 0.8 * side * (x - fx) - 0.35 * (y - fy), 0, 1)
    light = np.clip(1.3 - 1.05 * away**1.2 + 0.5 * beam, 0.06, 1.5)[..., None]
    dark = np.array([22, 14, 10], np.float32)
    lit = dark + (plate - dark) * light
    glow = np.clip(lit - 165, 0, 90) * np.array([0.4, 0.3, 0.1], np.float32)
    crackle = easel.texture(plate.shape[:2], s.rng, 60, 60) * easel.texture(plate.shape[:2], s.rng, 25, 25)
    return lit + glow + 9 * (crackle * (0.35 + 0.65 * light[..., 0]))[..., None]


PAINTERS: dict[str, Callable[[Sitting], np.ndarray]] = {
    "Impressionism": impressionism,
    "Baroque": baroque,
    "Ukiyo_e": ukiyo_e,
    "Art_Nouveau": art_nouveau,
    "Cubism": cubism,
    "Abstract_Expressionism": abstract_expressionism,
    "Pointillism": pointillism,
}

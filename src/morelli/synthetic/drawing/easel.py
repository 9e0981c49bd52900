"""The easel: the underpainting of a scene, and the brush marks every style is made of.

Pixels begin here. A *plate* is float32 (H, W, 3), 0–255; ``unit`` is the number of pixels in one unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from morelli.synthetic.drawing.colour import ROLES, ink, toned
from morelli.synthetic.drawing.shapes import Scene
from morelli.synthetic.world import Artist

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Sitting:
    """All that a style needs: the scene, its colours (roles, 3), the artist's hand and pixels per unit."""

    scene: Scene
    table: np.ndarray
    artist: Artist
    unit: float

    @property
    def rng(self) -> np.random.Generator:
        return self.scene.rng

    def colour(self, role: str, tone: float = 0.0) -> tuple[int, int, int]:
        return ink(toned(self.table[ROLES[role]], tone))


def underpaint(
    scene: Scene, table: np.ndarray, unit: float, modelled: bool = True, outline: float = 0.0, bands: int = 0
) -> np.ndarray:
    """The scene in plain colours, a plate (H, W, 3).

    ``modelled`` keeps light and shade inside the forms; ``outline`` is the width of dark contours in units
    (0 for none); ``bands`` > 0 quantises the background gradient to so many flat steps.
    """
    image = Image.fromarray(_background(scene, table, unit, bands))
    draw = ImageDraw.Draw(image)
    contour = ink(toned(table[ROLES["window"]], -0.55))
    width = max(1, round(outline * unit))
    for shape in scene.shapes:
        if shape.kind == "modelling" and not modelled:
            continue
        colour = ink(toned(table[ROLES[shape.role]], shape.tone))
        points = (shape.points * unit).ravel().tolist()
        if shape.kind == "line":
            draw.line(points, colour, max(1, round(shape.width * unit)), "curve")
            continue
        draw.polygon(points, colour)
        if outline and shape.kind == "form":
            draw.line(points + points[:2], contour, width, "curve")
    return np.asarray(image, np.float32)


def _background(scene: Scene, table: np.ndarray, unit: float, bands: int) -> np.ndarray:
    height, width = round(scene.h * unit), round(scene.w * unit)
    y = (np.arange(height) + 0.5) / unit
    if bands:
        y = (np.floor(y / scene.h * bands) + 0.5) * scene.h / bands
    stops = np.array([s[0] for s in scene.stops])
    shades = np.stack([toned(table[ROLES[role]], tone) for _, role, tone in scene.stops])
    column = np.stack([np.interp(y, stops, shades[:, k]) for k in range(3)], -1)
    return np.broadcast_to(np.clip(column, 0, 255).astype(np.uint8)[:, None], (height, width, 3)).copy()


def small(plate: np.ndarray, side: int = 40) -> np.ndarray:
    """The plate at ``side`` pixels on its short side, blurred by the reduction; float32."""
    height, width = plate.shape[:2]
    scale = side / min(height, width)
    image = Image.fromarray(plate.astype(np.uint8))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)


def directions(plate: np.ndarray, angle: float, grip: float) -> tuple[np.ndarray, np.ndarray]:
    """Stroke direction along the forms, bent to ``angle`` degrees by ``grip``: radians (h, w) on the
    small plate, and the edge strength there (h, w), 0–1."""
    grey = small(plate) @ LUMA
    dy, dx = np.gradient(grey)
    # doubled angles: a stroke has an axis, not a heading
    axis, strength = 2 * (np.arctan2(dy, dx) + np.pi / 2), np.hypot(dx, dy)
    weight = (1 - grip) * np.minimum(strength / 9, 1)
    want = 2 * np.deg2rad(-angle)
    x = weight * np.cos(axis) + (grip + 0.08) * np.cos(want)
    y = weight * np.sin(axis) + (grip + 0.08) * np.sin(want)
    return np.arctan2(y, x) / 2, np.minimum(strength / 30, 1)


def scatter(rng: np.random.Generator, w: float, h: float, gap: float) -> np.ndarray:
    """Points (N, 2) about ``gap`` apart that cover w × h units, in random order."""
    x, y = np.meshgrid(np.arange(0, w + gap, gap), np.arange(0, h + gap, gap))
    points = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-0.5, 0.5, (x.size, 2)) * gap
    return rng.permutation(points)


def sample(field: np.ndarray, points: np.ndarray, w: float, h: float) -> np.ndarray:
    """The values of ``field`` (H, W, …) under points (N, 2) in units."""
    height, width = field.shape[:2]
    column = np.clip((points[:, 0] / w * width).astype(int), 0, width - 1)
    row = np.clip((points[:, 1] / h * height).astype(int), 0, height - 1)
    return field[row, column]


_DAB = np.array([(-1, -0.35), (-0.45, -1), (0.55, -0.9), (1, -0.1), (0.5, 0.9), (-0.5, 1)])


def dabs(
    draw: ImageDraw.ImageDraw,
    centres: np.ndarray,
    angle: np.ndarray,
    long: np.ndarray | float,
    wide: np.ndarray | float,
    colour: np.ndarray,
    unit: float,
) -> None:
    """Brush dabs: centres (N, 2), half length and half width in units, angle (N,) in radians, colour
    (N, 3)."""
    along, across = _DAB[:, 0], _DAB[:, 1]
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a = np.broadcast_to(np.asarray(long, float), len(centres))[:, None] * along
    b = np.broadcast_to(np.asarray(wide, float), len(centres))[:, None] * across
    x = (centres[:, :1] + a * c - b * s) * unit
    y = (centres[:, 1:] + a * s + b * c) * unit
    outlines = np.stack([x, y], -1).reshape(len(centres), -1).tolist()
    for outline, (red, green, blue) in zip(
        outlines, np.clip(colour, 0, 255).astype(int).tolist(), strict=True
    ):
        draw.polygon(outline, (red, green, blue))


def dots(
    draw: ImageDraw.ImageDraw, centres: np.ndarray, radius: np.ndarray, colour: np.ndarray, unit: float
) -> None:
    """Round dots: centres (N, 2) and radius (N,) in units, colour (N, 3)."""
    boxes = (np.column_stack([centres - radius[:, None], centres + radius[:, None]]) * unit).tolist()
    for box, (red, green, blue) in zip(boxes, np.clip(colour, 0, 255).astype(int).tolist(), strict=True):
        draw.ellipse(box, (red, green, blue))


def relief(plate: np.ndarray, depth: float) -> np.ndarray:
    """Thick paint: the plate lit from the upper left as if its brightness were height."""
    grey = plate @ LUMA
    slope = np.zeros_like(grey)
    slope[1:, 1:] = grey[1:, 1:] - grey[:-1, :-1]
    return plate + depth * np.clip(slope, -60, 60)[..., None]


def texture(shape: tuple[int, int], rng: np.random.Generator, across: int, along: int) -> np.ndarray:
    """Smooth noise (H, W), about −1 to 1, with ``across`` × ``along`` cells (rows × columns)."""
    cells = rng.integers(0, 256, (across, along), dtype=np.uint8)
    image = Image.fromarray(cells).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32) / 127.5 - 1


def grid(plate: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1) of every pixel in units."""
    height, width = plate.shape[:2]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / unit)[None]
    return x, ((np.arange(height, dtype=np.float32) + 0.5) / unit)[:, None]

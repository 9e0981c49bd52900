"""A scene is a list of shapes in unit coordinates (the short side of the painting is 1).

Subjects add shapes back to front; a style later decides how to paint them. Nothing here knows about pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Points = list[tuple[float, float]]
Kind = Literal["form", "modelling", "line"]


@dataclass(frozen=True)
class Shape:
    """A closed form, the modelling of one (light and shade, which flat styles leave out), or an open line.

    ``points`` is (N, 2) in unit coordinates, ``role`` a key of the palette, ``tone`` −1 (black) to 1 (white),
    ``width`` the width of a line in units.
    """

    points: np.ndarray
    role: str
    tone: float = 0.0
    kind: Kind = "form"
    width: float = 0.0


@dataclass
class Scene:
    """What is to be painted: ``w`` × ``h`` units, ``stops`` of the background from top to bottom as
    (y, role, tone), ``focus`` the point of interest (x, y, radius), ``light`` −1 (left) to 1 (right)."""

    rng: np.random.Generator
    w: float
    h: float
    light: float
    shapes: list[Shape] = field(default_factory=list)
    stops: list[tuple[float, str, float]] = field(default_factory=list)
    focus: tuple[float, float, float] = (0.5, 0.5, 0.4)

    def u(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, *options: str) -> str:
        return options[int(self.rng.integers(len(options)))]

    def poly(self, points: Points | np.ndarray, role: str, tone: float = 0.0, kind: Kind = "form") -> None:
        """A polygon with sharp corners."""
        self.shapes.append(Shape(np.asarray(points, float), role, tone, kind))

    def curve(self, points: Points, role: str, tone: float = 0.0, kind: Kind = "form") -> None:
        """A closed form whose corners are rounded."""
        self.shapes.append(Shape(rounded(np.asarray(points, float)), role, tone, kind))

    def line(self, points: Points | np.ndarray, role: str, width: float, tone: float = 0.0) -> None:
        """An open line."""
        self.shapes.append(Shape(np.asarray(points, float), role, tone, "line", width))

    def rect(self, x0: float, y0: float, x1: float, y1: float, role: str, tone: float = 0.0) -> None:
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], role, tone)

    def blob(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        role: str,
        tone: float = 0.0,
        wobble: float = 0.0,
        kind: Kind = "form",
    ) -> None:
        """An ellipse, its outline wavering by the share ``wobble`` of its radius."""
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        radius = np.ones_like(angle)
        if wobble:
            a, b, c = self.rng.uniform(0, 2 * np.pi, 3)
            radius += (
                wobble * (np.sin(2 * angle + a) + np.sin(3 * angle + b) + 0.8 * np.sin(5 * angle + c)) / 2
            )
        outline = np.column_stack([x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)])
        self.shapes.append(Shape(outline, role, tone, kind))

    def ball(
        self, x: float, y: float, rx: float, ry: float, role: str, tone: float = 0.0, wob: float = 0.05
    ) -> None:
        """A round thing with its shadow, shaded side and highlight."""
        side = 1 if self.light >= 0 else -1
        self.blob(x, y, rx, ry, role, tone, wob)
        self.blob(x - side * 0.22 * rx, y + 0.25 * ry, 0.72 * rx, 0.7 * ry, role, tone - 0.3, 0, "modelling")
        self.blob(x + side * 0.14 * rx, y - 0.14 * ry, 0.7 * rx, 0.7 * ry, role, tone + 0.05, 0, "modelling")
        self.blob(x + side * 0.3 * rx, y - 0.35 * ry, 0.3 * rx, 0.26 * ry, role, tone + 0.45, 0, "modelling")

    def ridge(self, y: float, swing: float, role: str, tone: float = 0.0, waves: float = 1.5) -> np.ndarray:
        """Land from an uneven skyline at height ``y`` down to the lower edge; gives the skyline (N, 2)."""
        x = np.linspace(-0.03, self.w + 0.03, 26)
        a, b, c = self.rng.uniform(0, 2 * np.pi, 3)
        t = x / self.w * 2 * np.pi * waves
        line = y + swing * (0.6 * np.sin(t + a) + 0.3 * np.sin(2.1 * t + b) + 0.14 * np.sin(4.7 * t + c))
        skyline = np.column_stack([x, line])
        corners = np.array([[self.w + 0.03, self.h + 0.03], [-0.03, self.h + 0.03]])
        self.shapes.append(Shape(np.vstack([skyline, corners]), role, tone))
        return skyline


def at(x: float, y: float, r: float, points: Points, side: float = 1) -> Points:
    """Points given about an origin, moved to (x, y) at scale ``r``, mirrored where ``side`` is −1."""
    return [(x + side * dx * r, y + dy * r) for dx, dy in points]


def rounded(points: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Chaikin's corner cutting of a closed polygon (Chaikin 1974); (N, 2) becomes (N · 2**rounds, 2)."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    return points


def height_at(skyline: np.ndarray, x: float) -> float:
    """The height of a skyline (N, 2) at ``x``."""
    return float(np.interp(x, skyline[:, 0], skyline[:, 1]))

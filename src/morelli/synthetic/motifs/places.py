"""Landscapes: hills, mountain lakes and the sea."""

from __future__ import annotations

import numpy as np

from morelli.synthetic.drawing.shapes import Points, Scene, at, height_at


def landscape(s: Scene) -> None:
    """Hills, a mountain lake, or the sea with sails."""
    kind = s.pick("hills", "hills", "lake", "sea")
    horizon = s.h * s.u(0.38, 0.55)
    s.stops = [(0, "sky", -0.08), (horizon, "sky_low", 0.15), (s.h, "sky_low", 0.0)]
    s.focus = (s.w * s.u(0.35, 0.65), horizon, 0.45)
    _sun(s, horizon)
    clouds(s, horizon)
    if kind == "sea":
        _sea(s, horizon)
    elif kind == "lake":
        _lake(s, horizon)
    else:
        _hills(s, horizon)


def _sun(s: Scene, horizon: float) -> None:
    if s.chance(0.6):
        x = s.w * (0.5 + 0.32 * np.sign(s.light or 1) * s.u(0.4, 1))
        s.blob(x, horizon * s.u(0.25, 0.8), 0.065, 0.065, "sun", 0.1)


def clouds(s: Scene, horizon: float) -> None:
    """Up to three clouds above the horizon."""
    for _ in range(s.rng.integers(0, 4)):
        x, y, r = s.u(0, s.w), horizon * s.u(0.12, 0.6), s.u(0.06, 0.13)
        s.blob(x, y, 1.9 * r, 0.42 * r, "cloud", 0.1, 0.2)
        s.blob(x + 0.5 * r, y - 0.28 * r, 0.95 * r, 0.42 * r, "cloud", 0.3, 0.15)


def _hills(s: Scene, horizon: float) -> None:
    s.ridge(horizon - 0.06, 0.06, "far", 0.1, s.u(1, 2))
    s.ridge(horizon + 0.03, 0.045, "far", -0.12, s.u(0.8, 1.6))
    middle = s.ridge(horizon + 0.13, 0.05, "field", 0.08, s.u(0.6, 1.2))
    if s.chance(0.7):
        x = s.u(0.15, 0.85) * s.w
        _cottage(s, x, height_at(middle, x) + 0.05, s.u(0.05, 0.08))
    for _ in range(s.rng.integers(3, 9)):
        x = s.u(0, s.w)
        s.blob(x, height_at(middle, x) + 0.01, s.u(0.02, 0.05), s.u(0.02, 0.04), "foliage", -0.15, 0.2)
    near = s.ridge(horizon + 0.3, 0.05, "meadow", 0.0, s.u(0.4, 0.9))
    if s.chance(0.65):
        _path(s, horizon + 0.27)
    for k in range(10):
        x = s.w * (k + s.u(0, 1)) / 10
        y = height_at(near, x) + s.u(0.06, 0.3)
        s.blob(x, y, 0.035, 0.012, s.pick("meadow", "flower", "foliage"), s.u(-0.2, 0.25), 0.2)
    for x in s.rng.uniform(0.03, 0.97, s.rng.integers(1, 5)) * s.w:
        tree(s, float(x), height_at(near, float(x)) + s.u(0.02, 0.16), s.u(0.25, 0.5))


def _path(s: Scene, top: float) -> None:
    x, end = s.w * s.u(0.4, 0.6), s.w * s.u(0.2, 0.8)
    bend = s.u(-0.2, 0.2)
    middle = (top + s.h) / 2
    left: Points = [(x - 0.012, top), ((x + end) / 2 + bend - 0.06, middle), (end - 0.17, s.h + 0.02)]
    right: Points = [(end + 0.15, s.h + 0.02), ((x + end) / 2 + bend + 0.05, middle), (x + 0.012, top)]
    s.curve(left + right, "path", 0.1)


def _cottage(s: Scene, x: float, y: float, r: float) -> None:
    s.rect(x - r, y - r, x + r, y, "wall", 0.15)
    s.poly(
        [
            (x - 1.25 * r, y - r),
            (x - 0.6 * r, y - 1.9 * r),
            (x + 0.6 * r, y - 1.9 * r),
            (x + 1.25 * r, y - r),
        ],
        "roof",
    )
    s.rect(x - 0.2 * r, y - 0.6 * r, x + 0.2 * r, y, "window", -0.2)


def tree(s: Scene, x: float, y: float, height: float) -> None:
    """A tree standing at (x, y): a cypress, a pine or a round crown."""
    kind = s.pick("round", "round", "cypress", "pine")
    lean = s.u(-0.03, 0.03)
    if kind == "cypress":
        r = 0.13 * height
        tip: Points = [(x - r, y - 0.1 * height), (x - r, y - 0.5 * height), (x + lean, y - 1.1 * height)]
        s.curve([*tip, (x + r, y - 0.5 * height), (x + r, y - 0.1 * height), (x, y)], "foliage", -0.3)
        return
    trunk = 0.035 * height / 0.4
    s.poly([(x - trunk / 2, y), (x + lean, y - 0.7 * height), (x + trunk / 2, y)], "trunk")
    if kind == "pine":
        for k in range(4):
            r, top = 0.28 * height * (1 - 0.2 * k), y - height * (0.25 + 0.2 * k)
            s.poly([(x - r, top), (x + lean, top - 0.3 * height), (x + r, top)], "foliage", -0.25 + 0.06 * k)
        return
    s.line([(x, y - 0.3 * height), (x + 0.14 * height, y - 0.6 * height)], "trunk", trunk * 0.4)
    side = 0.07 * height * (1 if s.light >= 0 else -1)
    for dx, dy, r, tone in ((-0.18, 0.6, 0.2, -0.22), (0.18, 0.64, 0.2, -0.16), (0.0, 0.82, 0.24, -0.02)):
        s.blob(x + dx * height, y - dy * height, r * height, 0.85 * r * height, "foliage", tone, 0.12)
        lx, ly = x + dx * height + side, y - (dy + 0.07) * height
        s.blob(lx, ly, 0.5 * r * height, 0.4 * r * height, "foliage", tone + 0.3, 0.2, "modelling")


def _mountain(s: Scene, x: float, base: float, r: float, height: float) -> None:
    peak = (x, base - height)
    left, right = (x - 0.2 * r, base - 0.72 * height), (x + 0.3 * r, base - 0.6 * height)
    s.poly([(x - r, base), left, peak, right, (x + r, base)], "far", -0.1)
    snow: Points = [(x - 0.22 * r, base - 0.72 * height), peak, (x + 0.26 * r, base - 0.66 * height)]
    s.poly([*snow, (x + 0.08 * r, base - 0.72 * height), (x - 0.06 * r, base - 0.64 * height)], "cloud", 0.4)


def _lake(s: Scene, horizon: float) -> None:
    _mountain(s, s.w * s.u(0.2, 0.45), horizon + 0.02, s.u(0.35, 0.5), s.u(0.25, 0.36))
    _mountain(s, s.w * s.u(0.6, 0.85), horizon + 0.02, s.u(0.3, 0.4), s.u(0.16, 0.26))
    s.ridge(horizon + 0.0, 0.015, "foliage", -0.2, 2.5)
    s.rect(-0.02, horizon + 0.05, s.w + 0.02, s.h + 0.02, "water", 0.05)
    for _ in range(14):
        x, y = s.u(0, s.w), s.u(horizon + 0.08, s.h * 0.92)
        s.line(
            [(x - s.u(0.04, 0.14), y), (x + s.u(0.04, 0.14), y)],
            s.pick("water", "sky_low"),
            0.009,
            s.u(-0.25, 0.4),
        )
    near = s.ridge(s.h * 0.9, 0.05, "meadow", -0.12, 0.7)
    for x in s.rng.uniform(0.02, 0.98, s.rng.integers(2, 5)) * s.w:
        tree(s, float(x), height_at(near, float(x)) + 0.06, s.u(0.3, 0.55))


def _sea(s: Scene, horizon: float) -> None:
    s.rect(-0.02, horizon, s.w + 0.02, s.h + 0.02, "water", 0.1)
    s.ridge(horizon + 0.16, 0.015, "water", -0.08, 3)
    for x in s.rng.uniform(0.1, 0.9, s.rng.integers(1, 4)) * s.w:
        _boat(s, float(x), horizon + s.u(0.03, 0.3), s.u(0.08, 0.16))
    s.ridge(horizon + 0.36, 0.02, "water", -0.2, 2.5)
    for _ in range(16):
        x, y = s.u(0, s.w), s.u(horizon + 0.05, s.h)
        s.line([(x - 0.06, y), (x, y - 0.012), (x + 0.06, y)], "cloud", 0.009, s.u(-0.1, 0.5))
    if s.chance(0.6):
        s.ridge(s.h * 0.93, 0.05, "path", 0.15, 0.5)


def _boat(s: Scene, x: float, y: float, r: float) -> None:
    s.curve(at(x, y, r, [(-1, -0.3), (1, -0.3), (0.7, 0.15), (-0.7, 0.15)]), "trunk")
    s.line(at(x, y, r, [(0, -0.2), (0, -2)]), "trunk", 0.008)
    s.poly(at(x, y, r, [(0.04, -1.95), (0.95, -0.5), (0.04, -0.45)]), s.pick("accent", "cloud"), 0.25)
    s.poly(at(x, y, r, [(-0.06, -1.7), (-0.06, -0.5), (-0.7, -0.5)]), "cloud", 0.3)

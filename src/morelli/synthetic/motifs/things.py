"""Still lifes and abstract compositions."""

from __future__ import annotations

import numpy as np

from morelli.synthetic.drawing.shapes import Points, Scene, at

# half outlines from the foot up; the other half is mirrored
_BOTTLE: Points = [(1, 0), (1, -0.55), (0.4, -0.72), (0.35, -1)]
_VASE: Points = [(0.7, 0), (1.2, -0.8), (0.7, -2.1), (1, -3.2)]


def still_life(s: Scene) -> None:
    """A table with a vessel or flowers, fruit, and sometimes a book or a knife."""
    table = s.h * s.u(0.6, 0.68)
    s.stops = [(0, "backdrop", -0.15), (table, "backdrop", 0.1), (s.h, "backdrop", 0)]
    s.focus = (s.w / 2, table - 0.08, 0.42)
    if s.chance(0.4):
        s.rect(s.w * 0.62, -0.02, s.w * 0.95, table * 0.5, "sky_low", 0.1)
        s.line([(s.w * 0.785, 0), (s.w * 0.785, table * 0.5)], "table", 0.012)
    s.rect(-0.02, table, s.w + 0.02, s.h + 0.02, "table", 0.05)
    s.rect(-0.02, s.h * 0.9, s.w + 0.02, s.h + 0.02, "table", -0.35)
    if s.chance(0.65):
        _cloth(s, table)
    x = s.w * s.u(0.3, 0.7)
    base = table + s.u(0.04, 0.1)
    if s.chance(0.55):
        _flowers(s, x, base)
    else:
        {"bottle": _bottle, "jug": _jug}[s.pick("bottle", "jug")](s, x, base)
    if s.chance(0.5):
        other = x + (0.3 if x < s.w / 2 else -0.3)
        {"bottle": _bottle, "jug": _jug, "bowl": _bowl}[s.pick("bottle", "jug", "bowl")](s, other, base)
    _fruits(s, base)


def _cloth(s: Scene, table: float) -> None:
    left, right = s.w * s.u(0.05, 0.3), s.w * s.u(0.6, 0.9)
    hem: Points = [(right + 0.05, s.h * 0.93), ((left + right) / 2, s.h * 1.0), (left - 0.08, s.h * 0.92)]
    s.poly([(left, table + 0.02), (right, table + 0.02), *hem], "linen", 0.0)
    for k in np.linspace(0.15, 0.85, 4):
        top = left + k * (right - left)
        s.line([(top, table + 0.12), (top + 0.06 * (k - 0.5), s.h * 0.93)], "linen", 0.009, -0.3)


def _shadow(s: Scene, x: float, y: float, r: float) -> None:
    s.blob(x - 0.5 * r * (1 if s.light >= 0 else -1), y, 1.2 * r, 0.18 * r, "table", -0.45, 0, "modelling")


def _bottle(s: Scene, x: float, y: float) -> None:
    r, height = s.u(0.06, 0.075), s.u(0.36, 0.46)
    _shadow(s, x, y, 1.4 * r)
    right = [(x + dx * r, y + dy * height) for dx, dy in _BOTTLE]
    s.curve([*right, *[(2 * x - px, py) for px, py in right[::-1]]], "foliage", -0.3)
    side = 1 if s.light >= 0 else -1
    s.line(
        [(x + side * 0.6 * r, y - 0.12 * height), (x + side * 0.6 * r, y - 0.52 * height)],
        "linen",
        0.012,
        0.3,
    )
    s.rect(x - 0.95 * r, y - 0.4 * height, x + 0.95 * r, y - 0.18 * height, "linen", -0.05)


def _jug(s: Scene, x: float, y: float) -> None:
    r, role = s.u(0.1, 0.13), s.pick("cloth", "wall2", "accent", "linen")
    _shadow(s, x, y, 1.3 * r)
    s.line(
        [
            (x + 0.8 * r, y - 0.6 * r),
            (x + 1.5 * r, y - 1.0 * r),
            (x + 1.35 * r, y - 1.8 * r),
            (x + 0.5 * r, y - 1.9 * r),
        ],
        role,
        0.024,
        -0.2,
    )
    s.ball(x, y - 0.95 * r, r, 0.98 * r, role, 0.0, 0.0)
    s.poly(
        [
            (x - 0.5 * r, y - 1.6 * r),
            (x - 0.65 * r, y - 2.4 * r),
            (x + 0.55 * r, y - 2.4 * r),
            (x + 0.45 * r, y - 1.6 * r),
        ],
        role,
        -0.05,
    )
    s.blob(x - 0.05 * r, y - 2.4 * r, 0.6 * r, 0.13 * r, role, -0.5)


def _bowl(s: Scene, x: float, y: float) -> None:
    for k in (-0.07, 0.0, 0.07):
        s.ball(x + k, y - 0.13 - 0.03 * (k == 0), 0.048, 0.046, s.pick("fruit", "fruit2", "fruit3"))
    s.curve(
        [(x - 0.15, y - 0.11), (x + 0.15, y - 0.11), (x + 0.1, y), (x - 0.1, y)],
        s.pick("cloth", "linen", "wall"),
        0.05,
    )


def _flowers(s: Scene, x: float, y: float) -> None:
    r = 0.075
    _shadow(s, x, y, 1.4 * r)
    heads = [(x + s.u(-0.24, 0.24), y - s.u(0.36, 0.6)) for _ in range(s.rng.integers(7, 13))]
    for fx, fy in heads:
        s.line([(x, y - 0.2), ((x + fx) / 2 + 0.02, (y + fy) / 2 - 0.1), (fx, fy)], "foliage", 0.011, -0.1)
    for _ in range(7):
        s.blob(x + s.u(-0.16, 0.16), y - s.u(0.24, 0.42), 0.05, 0.022, "foliage", s.u(-0.25, 0.15), 0.2)
    outline = at(x, y, r, _VASE) + at(x, y, r, _VASE[::-1], -1)
    s.curve(outline, s.pick("cloth", "wall3", "linen"), 0.05)
    for fx, fy in heads:
        role, size = s.pick("flower", "fruit", "fruit2", "linen"), s.u(0.036, 0.06)
        for a in np.linspace(0, 2 * np.pi, 5, endpoint=False) + s.u(0, 1):
            s.blob(
                fx + 0.62 * size * np.cos(a),
                fy + 0.62 * size * np.sin(a),
                0.55 * size,
                0.55 * size,
                role,
                s.u(-0.1, 0.2),
            )
        s.blob(fx, fy, 0.32 * size, 0.32 * size, "sun", -0.1)


def _fruits(s: Scene, base: float) -> None:
    count = int(s.rng.integers(4, 9))
    for x in sorted(s.rng.uniform(0.1, s.w - 0.1, count)):
        r = s.u(0.045, 0.06)
        y = base + s.u(0.02, 0.12) + r / 2
        role = s.pick("fruit", "fruit", "fruit2", "fruit3")
        _shadow(s, float(x), y + 0.8 * r, 1.2 * r)
        s.ball(float(x), y, r, r * s.u(0.88, 1.0), role)
        if role == "fruit3":
            s.blob(float(x), y - 0.9 * r, 0.55 * r, 0.6 * r, role, 0.05)
        s.line([(x, y - 0.8 * r), (x + 0.25 * r, y - 1.35 * r)], "trunk", 0.009)


def abstract_painting(s: Scene) -> None:
    """Nothing but forms: discs and bars, stacked bands, or arcs."""
    roles = list(
        s.rng.permutation(["accent", "cloth", "sun", "water", "fruit2", "window", "flower", "linen"])
    )
    s.stops = [(0, "linen", -0.02), (s.h, "linen", -0.1)]
    s.focus = (s.w / 2, s.h / 2, 0.5)
    {"discs": _discs, "bands": _bands, "arcs": _arcs, "grid": _grid}[
        s.pick("discs", "bands", "arcs", "grid")
    ](s, roles)


def _discs(s: Scene, roles: list[str]) -> None:
    for k in range(s.rng.integers(3, 6)):
        x, y, r = s.u(0.15, s.w - 0.15), s.u(0.15, s.h - 0.15), s.u(0.08, 0.25)
        s.blob(x, y, r, r, roles[k], s.u(-0.1, 0.1))
        s.blob(x, y, 0.6 * r, 0.6 * r, roles[k + 1], s.u(-0.1, 0.2))
    for k in range(s.rng.integers(3, 7)):
        x, y, a = s.u(0, s.w), s.u(0, s.h), s.u(0, np.pi)
        dx, dy = 0.5 * np.cos(a), 0.5 * np.sin(a)
        s.line([(x - dx, y - dy), (x + dx, y + dy)], roles[k], s.u(0.01, 0.05), -0.1)


def _bands(s: Scene, roles: list[str]) -> None:
    y = 0.06
    for role in roles:
        height = s.u(0.1, 0.32)
        bend = s.u(-0.05, 0.05)
        s.curve(
            [
                (0.05, y),
                (s.w / 2, y + bend),
                (s.w - 0.05, y),
                (s.w - 0.05, y + height),
                (s.w / 2, y + height + bend),
                (0.05, y + height),
            ],
            role,
            s.u(-0.1, 0.1),
        )
        y += height + 0.03
        if y > s.h - 0.1:
            return


def _arcs(s: Scene, roles: list[str]) -> None:
    x, y = s.u(0.1, s.w - 0.1), s.h * s.u(0.3, 1.0)
    for k, r in enumerate(np.linspace(0.8, 0.12, 7)):
        s.blob(x, y, float(r), float(r), roles[k % len(roles)], s.u(-0.1, 0.1))
    for k in range(3):
        px, py = s.u(0, s.w), s.u(0, s.h)
        s.poly(
            [(px, py), (px + s.u(0.1, 0.3), py + s.u(-0.2, 0.2)), (px + s.u(-0.1, 0.1), py + s.u(0.1, 0.3))],
            roles[k + 3],
        )


def _grid(s: Scene, roles: list[str]) -> None:
    columns, rows = int(s.rng.integers(3, 6)), int(s.rng.integers(3, 6))
    for i in range(columns):
        for j in range(rows):
            x0, y0 = s.w * i / columns, s.h * j / rows
            x1, y1 = s.w * (i + 1) / columns, s.h * (j + 1) / rows
            s.rect(x0, y0, x1, y1, s.pick(*roles), s.u(-0.15, 0.15))
            if s.chance(0.45):
                s.blob((x0 + x1) / 2, (y0 + y1) / 2, 0.32 * (x1 - x0), 0.32 * (x1 - x0), s.pick(*roles))

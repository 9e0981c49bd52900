"""Cityscapes: house fronts along a street or a canal."""

from __future__ import annotations

from morelli.synthetic.drawing.shapes import Points, Scene
from morelli.synthetic.motifs.places import clouds


def cityscape(s: Scene) -> None:
    """House fronts along a street or a canal, with a tower."""
    ground = s.h * s.u(0.66, 0.78)
    s.stops = [(0, "sky", 0.0), (ground, "sky_low", 0.2), (s.h, "sky_low", 0.0)]
    s.focus = (s.w * s.u(0.4, 0.6), ground - 0.2, 0.45)
    clouds(s, ground * 0.6)
    x = -0.05
    while x < s.w:
        width = s.u(0.1, 0.2)
        s.rect(x, ground - s.u(0.32, 0.48), x + width, ground, "far", s.u(-0.05, 0.2))
        x += width
    _tower(s, s.w * s.u(0.2, 0.8), ground, s.u(0.05, 0.075), s.u(0.5, 0.62))
    x = -s.u(0.02, 0.12)
    while x < s.w:
        width = s.u(0.14, 0.24)
        _house(s, x, ground, width, s.u(0.22, 0.4))
        x += width
    canal = s.chance(0.4)
    s.rect(-0.02, ground, s.w + 0.02, s.h + 0.02, "water" if canal else "path", 0.0 if canal else 0.05)
    s.rect(-0.02, ground, s.w + 0.02, ground + 0.025, "wall", -0.25)
    if canal:
        _reflections(s, ground)
    else:
        _street(s, ground)


def _tower(s: Scene, x: float, ground: float, r: float, height: float) -> None:
    top = max(ground - height, 0.16)
    s.rect(x - r, top, x + r, ground, "wall", -0.1)
    if s.chance(0.5):
        s.blob(x, top, 1.1 * r, 1.2 * r, "roof", -0.1)
        s.line([(x, top - 1.2 * r), (x, top - 2.2 * r)], "roof", 0.01)
    else:
        s.poly([(x - 1.2 * r, top), (x, top - 3.2 * r), (x + 1.2 * r, top)], "roof", -0.15)
    s.blob(x, top + 1.2 * r, 0.5 * r, 0.5 * r, "window", 0.3)


def _house(s: Scene, x: float, ground: float, width: float, height: float) -> None:
    role, tone = s.pick("wall", "wall2", "wall3"), s.u(-0.12, 0.2)
    top = ground - height
    s.rect(x, top, x + width, ground, role, tone)
    shade = x if s.light >= 0 else x + 0.75 * width
    s.poly(
        [(shade, top), (shade + 0.25 * width, top), (shade + 0.25 * width, ground), (shade, ground)],
        role,
        tone - 0.25,
        "modelling",
    )
    if s.chance(0.7):
        s.poly(
            [(x - 0.01, top), (x + width / 2, top - 0.55 * width), (x + width + 0.01, top)],
            "roof",
            s.u(-0.15, 0.15),
        )
    else:
        s.rect(x - 0.01, top - 0.025, x + width + 0.01, top + 0.012, "roof", -0.1)
    lit = "sun" if s.chance(0.25) else "window"
    columns, rows = max(2, round(width / 0.075)), max(2, round(height / 0.1))
    for i in range(columns):
        for j in range(rows):
            cx, cy = x + width * (i + 0.5) / columns, top + height * (j + 0.45) / rows
            s.rect(cx - 0.016, cy - 0.024, cx + 0.016, cy + 0.024, lit if s.chance(0.4) else "window", -0.1)


def _reflections(s: Scene, ground: float) -> None:
    for _ in range(26):
        x, y = s.u(0, s.w), s.u(ground + 0.04, s.h)
        s.line(
            [(x - s.u(0.02, 0.08), y), (x + 0.05, y)],
            s.pick("wall", "wall2", "sky_low", "water", "roof"),
            0.012,
            0.1,
        )
    if s.chance(0.6):
        x, r = s.w * s.u(0.3, 0.7), 0.13
        span: Points = [(x - 2.2 * r, ground + 0.1), (x - r, ground - 0.03), (x, ground - 0.08)]
        s.curve([*span, (x + r, ground - 0.03), (x + 2.2 * r, ground + 0.1)], "wall", -0.2)
        s.blob(x, ground + 0.1, 0.8 * r, 0.11, "water", -0.4)


def _street(s: Scene, ground: float) -> None:
    x = s.w * s.u(0.35, 0.65)
    s.poly(
        [(x - 0.03, ground + 0.02), (x + 0.03, ground + 0.02), (x + 0.4, s.h + 0.02), (x - 0.4, s.h + 0.02)],
        "path",
        0.25,
    )
    for _ in range(s.rng.integers(3, 9)):
        px, py = s.u(0.05, s.w - 0.05), s.u(ground + 0.05, s.h - 0.02)
        r = 0.035 + 0.14 * (py - ground)
        s.poly(
            [(px - 0.35 * r, py), (px - 0.25 * r, py - r), (px + 0.25 * r, py - r), (px + 0.35 * r, py)],
            s.pick("cloth", "window", "accent"),
            -0.15,
        )
        s.blob(px, py - 1.2 * r, 0.2 * r, 0.22 * r, "skin")
    for lx in s.rng.uniform(0.05, 0.95, 2) * s.w:
        s.line([(lx, s.h * 0.97), (lx, ground - 0.1)], "window", 0.012, -0.4)
        s.blob(float(lx), ground - 0.12, 0.022, 0.028, "sun", 0.3)

"""Portraits and religious paintings: heads, hats, robes, wings and haloes."""

from __future__ import annotations

import numpy as np

from morelli.synthetic.drawing.shapes import Points, Scene, at

# outlines about the middle of the face, half the width of the face being 1
_SHOULDERS: Points = [(-2.5, 2.45), (-0.8, 1.65), (0.8, 1.65), (2.5, 2.45)]
_NECK: Points = [(-0.42, 0.7), (0.42, 0.7), (0.55, 1.9), (0, 2.25), (-0.55, 1.9)]
_FACE: Points = [(-0.95, -0.7), (0, -1.2), (0.95, -0.7), (0.92, 0.4), (0.4, 1.3), (-0.4, 1.3), (-0.92, 0.4)]
_FACE_SHADE: Points = [(-0.98, -0.6), (-0.3, -0.4), (-0.25, 0.5), (-0.1, 1.2), (-0.5, 1.1), (-0.95, 0.3)]
_LIPS: Points = [(-0.3, 0.78), (0, 0.68), (0.3, 0.78), (0, 0.93)]
_BEARD: Points = [(-0.6, 0.72), (0.6, 0.72), (0.5, 1.3), (0, 1.65), (-0.5, 1.3)]
_BROW: Points = [(-0.2, -0.22), (0, -0.3), (0.2, -0.22)]
_LAPEL: Points = [(0, 2.4), (0.35, 1.55), (1.1, 1.85), (0.6, 2.35)]
_BONNET: Points = [(-1.15, -0.2), (-1.1, -1.3), (0, -1.75), (1.1, -1.3), (1.15, -0.2), (0, -0.95)]
# outlines of standing and kneeling figures, in units
_ROBE: Points = [(-0.06, 0), (0.06, 0), (0.17, 0.14), (0.16, 0.55), (-0.16, 0.55), (-0.17, 0.14)]
_KNEELING: Points = [(-0.1, 0), (-0.07, -0.2), (0.02, -0.24), (0.08, -0.15), (0.11, 0)]


def portrait(s: Scene) -> None:
    """One person, head and shoulders, before a plain wall, a curtain or a window."""
    x, y = s.w * s.u(0.45, 0.55), s.h * s.u(0.38, 0.44)
    r = s.u(0.155, 0.19)
    s.stops = [(0, "backdrop", -0.1), (s.h, "backdrop", 0.12)]
    s.focus = (x, y, 0.42)
    _room(s, x)
    bust(s, x, y, r)


def _room(s: Scene, x: float) -> None:
    kind = s.pick("curtain", "window", "plain")
    side = -1 if s.chance(0.5) else 1
    if kind == "curtain":
        edge = s.w if side > 0 else 0.0
        fold: Points = [
            (edge, -0.02),
            (edge - side * 0.28, -0.02),
            (edge - side * 0.2, s.h * 0.4),
            (edge - side * 0.1, s.h),
            (edge, s.h),
        ]
        s.curve(fold, "accent", -0.25)
        for k in (0.06, 0.13, 0.19):
            s.line([(edge - side * k * 1.2, 0), (edge - side * k * 0.7, s.h * 0.7)], "accent", 0.01, -0.45)
    elif kind == "window":
        left = 0.06 if side < 0 else s.w - 0.3
        s.rect(left, 0.08, left + 0.24, 0.42, "sky_low", 0.25)
        s.rect(left, 0.3, left + 0.24, 0.42, "foliage", 0.05)
        s.line([(left + 0.12, 0.08), (left + 0.12, 0.42)], "table", 0.012)
        s.line([(left, 0.25), (left + 0.24, 0.25)], "table", 0.012)


def bust(s: Scene, x: float, y: float, r: float) -> None:
    """Shoulders and head; ``r`` is half the width of the face."""
    turn = s.u(-0.25, 0.25) * r
    hair, cloth = s.pick("hair", "hair2", "hair3"), s.pick("cloth", "cloth2", "accent")
    long = s.chance(0.5)
    if long:
        s.blob(x - 0.3 * turn, y + 0.35 * r, 1.35 * r, 1.75 * r, hair, -0.15, 0.05)
    low = s.h + 0.05
    s.curve([*at(x, y, r, _SHOULDERS), (x + 2.7 * r, low), (x - 2.7 * r, low)], cloth)
    shade = -1 if s.light >= 0 else 1
    arm: Points = [(x + shade * 0.8 * r, low), (x + shade * 2.6 * r, low)]
    s.curve([*at(x, y, r, [(2.3, 2.45), (1.1, 1.95)], shade), *arm], cloth, -0.35, "modelling")
    s.curve(at(x, y, r, _NECK), "skin", -0.12)
    _collar(s, x, y, r)
    head(s, x, y, r, turn, hair)
    if s.chance(0.4):
        _hat(s, x, y, r, s.pick("cloth2", "accent", "hair"))


def _collar(s: Scene, x: float, y: float, r: float) -> None:
    kind = s.pick("white", "ruff", "beads", "none")
    if kind == "white":
        for side in (-1, 1):
            s.poly(at(x, y, r, _LAPEL, side), "linen", 0.1)
    elif kind == "ruff":
        top = y + 1.55 * r
        s.blob(x, top + 0.15 * r, 1.15 * r, 0.42 * r, "linen", 0.1, 0.06)
        for k in np.linspace(-0.9, 0.9, 7):
            s.line([(x + 0.5 * k * r, top), (x + k * r, top + 0.42 * r)], "linen", 0.006, -0.35)
    elif kind == "beads":
        for k in np.linspace(-0.75, 0.75, 9):
            s.blob(x + k * r, y + (2.3 - 0.55 * k * k) * r, 0.06 * r, 0.06 * r, "gold", 0.3)


def head(s: Scene, x: float, y: float, r: float, turn: float, hair: str) -> None:
    """A face of half width ``r``, looking aside by ``turn`` units."""
    side = 1 if s.light >= 0 else -1
    s.blob(x, y - 0.16 * r, 1.1 * r, 1.32 * r, hair, -0.1)
    s.curve(at(x, y, r, _FACE), "skin")
    s.curve(at(x, y, r, _FACE_SHADE, side), "skin", -0.28, "modelling")
    s.blob(x + side * 0.45 * r, y + 0.35 * r, 0.28 * r, 0.22 * r, "flower", 0.2, 0, "modelling")
    s.blob(x + side * 0.3 * r, y - 0.5 * r, 0.35 * r, 0.18 * r, "skin", 0.3, 0, "modelling")
    part = float(s.pick("-0.5", "0", "0.5"))
    for end in (-1.08, 1.08):
        lock: Points = [(part, -1.28), (end, -1.0), (end, 0.05), (0.82 * end, -0.4), (part, -0.78)]
        s.curve(at(x, y, r, lock), hair)
    _features(s, x, y, r, turn, hair)


def _features(s: Scene, x: float, y: float, r: float, turn: float, hair: str) -> None:
    side = 1 if s.light >= 0 else -1
    cx = x + turn
    for k in (-0.4, 0.4):
        s.blob(cx + k * r, y - 0.02 * r, 0.17 * r, 0.095 * r, "linen", 0.1)
        s.blob(cx + k * r + 0.25 * turn, y - 0.02 * r, 0.085 * r, 0.095 * r, "window", -0.55)
        s.line(at(cx + k * r, y, r, _BROW), hair, 0.06 * r, -0.3)
    nose = cx - side * 0.12 * r + 0.3 * turn
    s.line([(cx, y), (nose, y + 0.42 * r), (cx + 0.06 * r, y + 0.47 * r)], "skin", 0.045 * r, -0.45)
    s.curve(at(cx, y, r, _LIPS), "lips", -0.1)
    if s.chance(0.22):
        s.curve(at(x, y, r, _BEARD), hair, -0.05)


def _hat(s: Scene, x: float, y: float, r: float, role: str) -> None:
    kind = s.pick("brim", "beret", "bonnet")
    if kind == "brim":
        s.blob(x, y - 0.85 * r, 1.75 * r, 0.3 * r, role, -0.15)
        s.blob(x, y - 1.25 * r, 0.95 * r, 0.5 * r, role, 0.0)
        s.line(at(x, y, r, [(-0.93, -1.02), (0, -0.93), (0.93, -1.02)]), "gold", 0.12 * r)
    elif kind == "beret":
        s.blob(x + 0.25 * r, y - 1.05 * r, 1.35 * r, 0.52 * r, role, -0.1, 0.04)
    else:
        s.curve(at(x, y, r, _BONNET), "linen")


def religious_painting(s: Scene) -> None:
    """A haloed figure under an arch: a saint, a mother with her child, or an angel."""
    x = s.w * s.u(0.47, 0.53)
    kind = s.pick("saint", "mother", "angel")
    y, r = s.h * 0.27, 0.075
    s.stops = [(0, "gold", -0.35), (s.h * 0.75, "gold", -0.1), (s.h, "table", -0.2)]
    s.focus = (x, s.h * 0.36, 0.4)
    _arch(s, x)
    for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        tip = (x + 0.3 * np.cos(angle), y + 0.3 * np.sin(angle))
        s.line([(x + 0.16 * np.cos(angle), y + 0.16 * np.sin(angle)), tip], "sun", 0.01, 0.2)
    if kind == "angel":
        _wings(s, x, y + 0.16)
    s.blob(x, y, 0.145, 0.145, "sun", 0.15)
    s.blob(x, y, 0.122, 0.122, "gold", 0.1)
    _robe(s, x, y + r, s.h * 0.95, s.pick("cloth", "cloth2", "accent"))
    small_head(s, x, y, r, veil=kind == "mother")
    if kind == "mother":
        cx, cy = x + 0.09, y + 0.26
        s.blob(cx, cy, 0.075, 0.075, "sun", 0.2)
        s.blob(cx - 0.02, cy + 0.12, 0.07, 0.1, "linen", 0.0, 0.05)
        small_head(s, cx, cy, 0.045)
    elif kind == "saint":
        staff = x + (0.2 if s.chance(0.5) else -0.2)
        s.line([(staff, y - 0.12), (staff, s.h * 0.95)], "gold", 0.014, 0.1)
        s.line([(staff - 0.05, y - 0.06), (staff + 0.05, y - 0.06)], "gold", 0.014, 0.1)
    for side in (-1, 1):
        kx = x + side * s.u(0.31, 0.38)
        if s.chance(0.6):
            _kneeling(s, kx, s.h * 0.93, -side)
        else:
            _candle(s, kx, s.h * 0.95)


def _arch(s: Scene, x: float) -> None:
    half, spring = 0.44, s.h * 0.36
    bow = [(x + half * np.cos(a), spring - 0.34 * np.sin(a)) for a in np.linspace(np.pi, 0, 14)]
    outer: Points = [(-0.02, s.h + 0.02), (-0.02, -0.02), (s.w + 0.02, -0.02), (s.w + 0.02, s.h + 0.02)]
    s.poly([*outer, (x + half, s.h + 0.02), *bow[::-1], (x - half, s.h + 0.02)], "wall", -0.35)
    s.line([(x - half, s.h), *bow, (x + half, s.h)], "gold", 0.018, 0.1)
    s.rect(-0.02, s.h * 0.9, s.w + 0.02, s.h + 0.02, "table", -0.2)


def _wings(s: Scene, x: float, y: float) -> None:
    for side in (-1, 1):
        for k, tone in ((1.0, -0.2), (0.8, 0.0), (0.6, 0.15)):
            feathers: Points = [
                (0, 0),
                (0.2 * k, -0.22 * k),
                (0.36 * k, -0.08),
                (0.33 * k, 0.3 * k),
                (0.12, 0.2),
            ]
            s.curve(at(x, y, 1, feathers, side), "linen", tone)


def _robe(s: Scene, x: float, top: float, low: float, role: str) -> None:
    mantle = s.pick("cloth", "cloth2", "accent")
    hem: Points = [(x + 0.24, low), (x - 0.24, low)]
    robe = at(x, top, 1, _ROBE)
    s.curve([*robe[:4], *hem, *robe[4:]], role, 0.05)
    fall: Points = [(x - 0.04, low), (x - 0.27, low)]
    s.curve(
        [*at(x, top, 1, [(-0.07, 0), (0.02, 0.02), (-0.05, 0.3)]), *fall, (x - 0.2, top + 0.15)],
        mantle,
        -0.12,
    )
    for k in (-0.02, 0.05, 0.11):
        s.line([(x + 0.4 * k, top + 0.25), (x + k, low - 0.18), (x + 1.5 * k, low - 0.02)], role, 0.009, -0.4)
    s.blob(x + 0.01, top + 0.2, 0.03, 0.045, "skin", 0.1)


def small_head(s: Scene, x: float, y: float, r: float, veil: bool = False) -> None:
    """A head too small for more than eyes and mouth."""
    hair = "cloth" if veil else s.pick("hair", "hair2", "hair3")
    s.blob(x, y - 0.1 * r, 1.15 * r, 1.3 * r, hair, -0.15)
    if veil:
        s.curve(
            [(x - 1.1 * r, y), (x + 1.1 * r, y), (x + 1.7 * r, y + 2.2 * r), (x - 1.7 * r, y + 2.2 * r)],
            hair,
            -0.15,
        )
    s.blob(x, y + 0.1 * r, 0.78 * r, 1.05 * r, "skin", 0.05)
    for k in (-0.3, 0.3):
        s.line(
            [(x + (k - 0.14) * r, y + 0.06 * r), (x + (k + 0.14) * r, y + 0.06 * r)], "hair", 0.14 * r, -0.4
        )
    s.line([(x - 0.2 * r, y + 0.68 * r), (x + 0.2 * r, y + 0.68 * r)], "lips", 0.12 * r, -0.2)


def _kneeling(s: Scene, x: float, y: float, facing: int) -> None:
    role = s.pick("cloth", "cloth2", "accent")
    s.curve(at(x, y, 1, _KNEELING), role, -0.1)
    s.line([(x, y - 0.16), (x + facing * 0.09, y - 0.19)], "skin", 0.022)
    small_head(s, x + facing * 0.02, y - 0.28, 0.042)


def _candle(s: Scene, x: float, y: float) -> None:
    s.rect(x - 0.014, y - 0.28, x + 0.014, y, "linen", 0.05)
    s.rect(x - 0.035, y - 0.04, x + 0.035, y, "gold", -0.1)
    s.blob(x, y - 0.315, 0.015, 0.03, "sun", 0.45)

"""Colours of things: what they are in nature, bent first by the artist's palette, then by the style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morelli.synthetic.world import Artist

NATURE = {
    "sky": "#7fb0dc",
    "sky_low": "#dfe4dc",
    "sun": "#f9d86a",
    "cloud": "#eef0ee",
    "far": "#8aa0b4",
    "field": "#a9b869",
    "meadow": "#6f9a4c",
    "foliage": "#4a7a42",
    "trunk": "#5d4330",
    "path": "#cbb38c",
    "water": "#4b86a8",
    "wall": "#d8c3a0",
    "wall2": "#c98f6c",
    "wall3": "#b7b9b0",
    "roof": "#a3503c",
    "window": "#35404e",
    "skin": "#e6b994",
    "lips": "#b9504c",
    "hair": "#3e2a20",
    "hair2": "#8a5a2c",
    "hair3": "#c79a55",
    "cloth": "#34548a",
    "cloth2": "#8c3340",
    "accent": "#c94f36",
    "linen": "#f0e9da",
    "gold": "#d9a83e",
    "backdrop": "#7f8271",
    "table": "#8a6242",
    "flower": "#dd7f92",
    "fruit": "#d2402f",
    "fruit2": "#e8b33a",
    "fruit3": "#94ab4a",
}
ROLES = {role: k for k, role in enumerate(NATURE)}


def rgb(code: str) -> np.ndarray:
    """``#rrggbb`` as float (3,), 0–255."""
    return np.array([int(code[k : k + 2], 16) for k in (1, 3, 5)], float)


@dataclass(frozen=True)
class Grade:
    """What a style does to colour: saturation, contrast about mid grey, lift (added, 0–255), and a tint
    it mixes in by ``mix``."""

    saturation: float
    contrast: float
    lift: float
    tint: str = "#808080"
    mix: float = 0.0


GRADES = {
    "Impressionism": Grade(1.35, 0.92, 24, "#e8e4f2", 0.05),
    "Baroque": Grade(1.1, 1.0, -14, "#6a3a18", 0.2),
    "Ukiyo_e": Grade(1.25, 1.0, 14, "#f2e8cf", 0.1),
    "Art_Nouveau": Grade(1.15, 0.9, 16, "#d8bf7c", 0.16),
    "Cubism": Grade(0.85, 1.1, 2, "#94805f", 0.2),
    "Abstract_Expressionism": Grade(1.3, 1.25, 4),
    "Pointillism": Grade(1.6, 1.0, 14),
}
MOODS = {
    "day": ("#ffffff", 1.0),
    "morning": ("#fff0e0", 1.0),
    "evening": ("#ffd9b8", 0.94),
    "dusk": ("#c9c4ea", 0.86),
}


def colours(artist: Artist, style: str, rng: np.random.Generator) -> np.ndarray:
    """The colours of one painting, float (roles, 3), 0–255, in the order of :data:`ROLES`."""
    table = np.stack([rgb(code) for code in NATURE.values()])
    table = table + rng.normal(0, 8, table.shape)
    table = _pull(table, np.stack([rgb(code) for code in artist.palette]), 0.55)
    tint, gain = MOODS[list(MOODS)[int(rng.choice(4, p=[0.5, 0.2, 0.18, 0.12]))]]
    return np.clip(grade(table * (rgb(tint) / 255) * gain, GRADES[style]), 0, 255)


def _pull(table: np.ndarray, palette: np.ndarray, strength: float) -> np.ndarray:
    """Moves each colour towards the palette, mostly towards the palette's nearest."""
    distance = ((table[:, None] - palette[None]) ** 2).sum(-1)
    weight = np.exp(-(distance - distance.min(1, keepdims=True)) / (2 * 34.0**2))
    mixed = weight @ palette / weight.sum(1, keepdims=True)
    return (1 - strength) * table + strength * mixed


def grade(table: np.ndarray, how: Grade) -> np.ndarray:
    """Applies a style's grade to colours (…, 3), 0–255; may leave the range."""
    grey = table @ np.array([0.299, 0.587, 0.114])
    out = grey[..., None] + how.saturation * (table - grey[..., None])
    out = 128 + how.contrast * (out - 128) + how.lift
    return (1 - how.mix) * out + how.mix * rgb(how.tint)


def toned(colour: np.ndarray, tone: float) -> np.ndarray:
    """A colour (3,) made darker (tone < 0) or lighter (tone > 0); −1 is black, 1 is white."""
    return colour * (1 + max(tone, -1)) if tone < 0 else colour + (255 - colour) * min(tone, 1)


def ink(colour: np.ndarray) -> tuple[int, int, int]:
    """A colour (3,) as Pillow takes it."""
    r, g, b = np.clip(colour, 0, 255).astype(int).tolist()
    return r, g, b

"""Paints one work: subject, colours, style, hand; the same picture at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from morelli.synthetic import habits
from morelli.synthetic.drawing.colour import colours
from morelli.synthetic.drawing.shapes import Scene
from morelli.synthetic.drawing.styles import PAINTERS, Sitting
from morelli.synthetic.motifs import figures, places, streets, things
from morelli.synthetic.planning import Work
from morelli.synthetic.world import ARTISTS

SUBJECTS = {
    "landscape": places.landscape,
    "cityscape": streets.cityscape,
    "portrait": figures.portrait,
    "religious_painting": figures.religious_painting,
    "still_life": things.still_life,
    "abstract_painting": things.abstract_painting,
}
QUALITY = 92
# upright formats are the rule for people, broad ones for views
_TALL = {"portrait": 0.8, "religious_painting": 0.9, "landscape": 0.12}


def render(work: Work, seed: int, size: int) -> Image.Image:
    """The painting in RGB, its short side ``size`` pixels, its aspect ratio from 3:4 to 4:3."""
    rng = np.random.default_rng([seed, work.number])
    artist = ARTISTS[work.artist]
    w, h = _format(rng, work.genre)
    scene = Scene(rng, w, h, float(np.clip(artist.light + rng.normal(0, 0.15), -1, 1)))
    table = colours(artist, work.style, rng)
    SUBJECTS[work.genre](scene)
    # drawn twice as large and averaged down, for Pillow's marks have jagged edges
    factor = 2 if size <= 512 else 1
    sitting = Sitting(scene, table, artist, float(size * factor))
    image = Image.fromarray(habits.finish(sitting, PAINTERS[work.style](sitting)))
    return image.resize((round(w * size), round(h * size)), Image.Resampling.BOX) if factor > 1 else image


def _format(rng: np.random.Generator, genre: str) -> tuple[float, float]:
    ratio = 1.0 if rng.random() < 0.15 else float(rng.uniform(1.05, 4 / 3))
    return (1.0, ratio) if rng.random() < _TALL.get(genre, 0.4) else (ratio, 1.0)


def save(image: Image.Image, path: Path) -> None:
    """Writes a JPEG as the real data set has them."""
    image.save(path, "JPEG", quality=QUALITY)

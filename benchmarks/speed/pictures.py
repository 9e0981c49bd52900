"""Many small pictures in no time: for benchmarks whose question is how cost or memory grows with the number of works.

Beyond ``PAINTED`` works each further one is a painted work cut, mirrored and tinted anew, for painting 100,000 would
take half an hour; the perceptual hash takes them for different works.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from benchmarks.speed import material
from morelli.synthetic import paint

SIDE, PAINTED = 64, 3000


def pictures(out: Path, works: int) -> Path:
    """A folder of ``works`` pictures, one folder a style."""
    different = min(works, PAINTED)
    painted = out / f"painted-{different}"
    if not (painted / "wikiart_csv").exists():
        shutil.rmtree(painted, ignore_errors=True)
        paint(painted, different, size=SIDE)
    files = sorted((painted / "wikiart").glob("*/*.jpg"))
    np.random.default_rng(0).shuffle(files)  # type: ignore[arg-type]
    folder = out / f"pictures-{works}"
    for number in range(works):
        source = files[number % len(files)]
        target = folder / source.parent.name / f"{source.stem}-{number:06d}.jpg"
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if number < len(files):
            os.link(source, target)
        else:
            varied(source, number).save(target, quality=90)
    return folder


def varied(source: Path, number: int) -> Image.Image:
    """Another cut of a picture, perhaps mirrored or turned, in other colours."""
    rng = np.random.default_rng(number)
    with Image.open(source) as image:
        picture = image.convert("RGB")
    width, height = picture.size
    left, top = rng.uniform(0, 0.4, 2) * (width, height)
    right, bottom = (width, height) - rng.uniform(0, 0.4, 2) * (width, height)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    pixels = np.asarray(picture, np.float32)[..., rng.permutation(3)] * rng.uniform(0.6, 1.2, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def small_recipe(folder: Path, epochs: int) -> Path:
    """A small network for such pictures: an epoch is mostly reading."""
    settings = material.recipe(
        "resnet18",
        1,
        SIDE,
        tasks=["style"],
        phases=[{"epochs": epochs}],
        neck={"kind": "gru", "width": 32},
        training={"workers": 0},
    )
    file = folder / f"recipe-{epochs}.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return file

"""What the benchmarks work on: paintings that the package paints itself, collections of them, and untrained runs.

Speed does not ask what a picture shows or a weight says. Each thing is made once in the benchmarks' folder and used
again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.synthetic import paint

if TYPE_CHECKING:
    from morelli.recipe import Recipe

SIDE, DIFFERENT = 1400, 24  # pixels of the short side of originals, and how many of them are painted


def originals(out: Path, works: int, side: int = SIDE) -> Path:
    """A folder of ``works`` JPEGs, the short side about ``side`` pixels: paintings, then pairs of them, one laid over
    the other. Copies would not do, for near-duplicates are compared with one another, pair by pair."""
    folder = out / f"originals-{side}-{works}"
    if folder.exists():
        return folder
    different = min(works, DIFFERENT)
    painted = out / f"painted-{side}-{different}"
    if not painted.exists():
        shutil.rmtree(out / "painting", ignore_errors=True)
        paint(out / "painting", different, size=side)
        (out / "painting" / "wikiart").rename(painted)
        shutil.rmtree(out / "painting")
    files = sorted(painted.glob("*/*.jpg"))
    making = out / "making"
    shutil.rmtree(making, ignore_errors=True)
    for number in range(works):
        lap, place = divmod(number, len(files))
        source = files[place]
        target = making / source.parent.name / f"{source.stem}-{number:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if lap % len(files) == 0:
            os.link(source, target)
            continue
        with Image.open(source) as lower, Image.open(files[(place + lap) % len(files)]) as upper:
            laid = Image.blend(lower.convert("RGB"), upper.convert("RGB").resize(lower.size), 0.5)
        laid.save(target, quality=90)
    making.rename(folder)
    return folder


def painted_collection(out: Path, works: int, size: int = 64) -> Collection:
    """A collection of ``works`` different small paintings."""
    folder = out / f"collection-{size}-{works}"
    if not (folder / "collection.json").exists():
        painting = out / f"painting-{size}-{works}"
        if not (painting / "wikiart_csv").exists():
            shutil.rmtree(painting, ignore_errors=True)
            paint(painting, works, size=size)
        lists = painting / "wikiart_csv"
        collect(CollectOptions(painting / "wikiart", folder, lists=lists, size=size, min_works=1))
    return Collection.open(folder)


def recipe(backbone: str, stage: int | str = "last", size: int = 224, **sections: Any) -> Recipe:
    """A recipe with random weights: all tasks, an LSTM over at most 7 × 7 tokens."""
    from morelli.recipe import parse

    tree: dict[str, Any] = {
        "name": "bench",
        "image": {"size": size},
        "backbone": {"name": backbone, "stage": stage, "weights": "none", "grid": max(1, min(7, size // 32))},
        "neck": {"kind": "lstm", "width": 256},
        "phases": [{"epochs": 1, "train": "all"}],
    }
    return parse(tree | sections, "the benchmark's recipe")


def untrained_run(folder: Path, settings: Recipe, classes: int = 20) -> Path:
    """A run's folder with random weights, which ``morelli predict`` can read with."""
    import torch  # here: worker processes of a benchmark import this module and want the paintings alone

    from morelli.network.network import Network
    from morelli.prediction.model import Model, save_model

    if not (folder / "model.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = {task: [f"{task}-{number}" for number in range(classes)] for task in settings.tasks}
        torch.manual_seed(0)
        network = Network(settings, names)
        facts = {"prepared_size": 256, "weights": "random"}
        save_model(Model(network, settings, names, *network.colours, facts=facts), folder)
    return folder

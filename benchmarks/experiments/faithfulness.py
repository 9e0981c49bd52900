"""Says whether the maps of ``morelli explain`` are faithful: deletion and insertion curves on a run's test works.

    python -m benchmarks.experiments.faithfulness run --works 60    (4,000 readings of a work for each map)

Each map is of the class that the network answers; its score is that class's calibrated probability. Deletion should
be small, insertion large. ``random`` has the grain of the feature map; ``centre`` is a spot in the middle. The
differences from ``random`` are paired, work by work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morelli.collection.collection import Collection
from morelli.console import progress
from morelli.errors import UsageError
from morelli.evaluation.faithfulness import centre_map, deletion, insertion, mean_interval, random_map
from morelli.prediction.model import Model, load_model
from morelli.prediction.saliency import GRADIENT_METHODS, METHODS, has_attention, over_painting, saliency
from morelli.preprocessing.pixels import decode, square, to_tensor
from morelli.run import Run

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--works", type=int, default=60)
    parser.add_argument("--task", default="style")
    parser.add_argument("--steps", type=int, default=28, help="points of a curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="the run's collection, where it has moved")
    parser.add_argument("--out", type=Path, help="a JSON file for every work's areas")
    options = parser.parse_args()
    begun = time.perf_counter()
    areas = measure(options)
    print(table(areas, options))
    print(f"{time.perf_counter() - begun:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(areas, indent=1))


def measure(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """{kind of map: {deletion, insertion: an area a work}}."""
    model = load_model(options.run)
    if options.task not in model.vocabularies:
        raise UsageError(f"--task {options.task}: not a task of this run")
    collection = Collection.open(options.data) if options.data else Run(options.run).open_collection("--data")
    rows = collection.rows("test")
    chosen = np.random.default_rng(options.seed).permutation(rows)[: options.works]
    methods = [method for method in METHODS if method != "attention" or has_attention(model)]
    areas: dict[str, dict[str, list[float]]] = {
        kind: {"deletion": [], "insertion": []} for kind in [*methods, "centre", "random"]
    }
    with progress("measuring", len(chosen)) as advance:
        for row in chosen:
            pixels = to_tensor(square(decode(collection.read(int(row))), model.recipe.image))
            target = int(model.predict(pixels[None])[0][options.task].argmax())
            scores = scorer(model, options.task, target)
            image = pixels.permute(1, 2, 0).numpy()
            maps = maps_of(model, pixels, options.task, target, methods, seed=int(row))
            for kind, heat in maps.items():
                areas[kind]["deletion"].append(deletion(scores, image, heat, options.steps).area)
                areas[kind]["insertion"].append(insertion(scores, image, heat, options.steps).area)
            advance(1)
    return areas


def maps_of(
    model: Model, pixels: torch.Tensor, task: str, target: int, methods: list[str], seed: int
) -> dict[str, np.ndarray]:
    side = pixels.shape[-1]
    grids = {method: saliency(model, pixels, task, target, method) for method in methods}
    maps = {method: over_painting(cells, side, side) for method, cells in grids.items()}
    maps["centre"] = centre_map((side, side))
    # not the backbone's grid: statistics of maps have one cell, and their maps are of the deepest map's cells
    maps["random"] = random_map((side, side), grids[GRADIENT_METHODS[0]].shape, seed)
    return maps


def scorer(model: Model, task: str, target: int) -> Callable[[Any], np.ndarray]:
    def scores(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        return torch.cat([model.predict(part)[0][task][:, target] for part in pixels.split(BATCH)]).numpy()

    return scores


def table(areas: dict[str, dict[str, list[float]]], options: argparse.Namespace) -> str:
    works = len(areas["random"]["deletion"])
    lines = [
        f"{options.run.resolve().name}, {options.task}, {works} test works, mean area (95 % interval)",
        "",
        "| map | deletion ↓ | against random | insertion ↑ | against random |",
        "|---|---|---|---|---|",
    ]
    for kind, curves in areas.items():
        cells = []
        for curve in ("deletion", "insertion"):
            values, base = np.array(curves[curve]), np.array(areas["random"][curve])
            cells.append("{:.3f} ± {:.3f}".format(*mean_interval(values)))
            cells.append(
                "–" if kind == "random" else "{:+.3f} ± {:.3f}".format(*mean_interval(values - base))
            )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

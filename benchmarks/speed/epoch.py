"""A training epoch of a frozen ResNet-50 with cached features, as ``morelli train`` does it.

Against reading the cache from memory once plus the neck's and the heads' forward and backward on a resident batch, and
against the students' loop, whose backbone reads every image in every epoch (fp32, batches of 32; estimated from one
step a round, and frozen too, which flatters it). Per work; validation and checkpoints are in none of them. The numbers
in the cache are random: its speed does not depend on them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speed import material, peers, timing
from benchmarks.speed.timing import Row, clocked, faster
from benchmarks.speed.watching import watch
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.preprocessing.device import autocast, best_device, choose_precision
from morelli.training.sources import clean_features

BATCH, STUDENT_BATCH = 64, 32


def random_features(model: Model, number: int, images: Tensor) -> Tensor:
    return torch.rand(len(images), model.network.backbone.channels, *model.network.backbone.grid)


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    device = best_device()
    collection = material.painted_collection(out, works)
    settings = material.recipe(
        "resnet50", phases=[{"epochs": rounds + 1, "train": "none"}], training={"batch_size": BATCH}
    )
    names = {task: collection.vocabularies[task] for task in settings.tasks}
    torch.manual_seed(0)
    network = Network(settings, names)
    Model.part, real = random_features, Model.part  # type: ignore[method-assign, assignment]
    model = Model(network, settings, names, *network.colours)
    cache = clean_features(collection, model, collection.rows("all"), settings)
    Model.part = real  # type: ignore[method-assign]
    train = collection.rows("train")
    steps = -(-len(train) // BATCH) - 1
    resident = torch.rand(BATCH, *cache.shape, device=device)
    precision = choose_precision("auto", device)
    files = sorted(material.originals(out, 96, 256).glob("*/*.jpg"))
    students = {
        "all learning": peers.student_steps(files, STUDENT_BATCH, device),
        "backbone frozen": peers.student_steps(files, STUDENT_BATCH, device, frozen=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in students}
    limit: list[float] = []

    def neck_alone() -> None:
        for start in range(0, steps * BATCH, BATCH):
            cache.read(train[start : start + BATCH])
            with autocast(precision, device):
                logits = network.read(resident)[1]
            torch.stack([each.float().sum() for each in logits.values()]).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def others() -> None:
        limit.append(clocked(neck_alone) / steps / BATCH)
        for name, loop in students.items():
            taken[name].append(clocked(lambda loop=loop: next(loop)) / STUDENT_BATCH)  # type: ignore[misc]

    ours = [seconds / BATCH for seconds in watch(settings, collection, network, steps, rounds, others)]
    how = f"{works:,} works, batch {BATCH}, {precision}"
    what = "cache read once, neck forward and backward on a resident batch"
    rows = [Row("cached epoch", what, "limit", faster(ours, limit[1:]), 0.9, note=how)]
    for name, seconds in taken.items():
        bar = 30.0 if name == "all learning" else None
        what = f"students' loop, ResNet-50 + LSTM, {name} (estimated from one step)"
        rows.append(Row("cached epoch", what, "peer", faster(ours, seconds[1:]), bar))
    return rows


if __name__ == "__main__":
    timing.main(measure, works=600)

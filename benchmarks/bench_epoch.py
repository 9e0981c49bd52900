"""A training epoch of a frozen ResNet-50 with cached features, as ``morelli train`` does it.

Against reading the cache from memory once plus the neck's and the heads' forward and backward on a resident batch, and
against the students' loop, whose backbone reads every image in every epoch (fp32, batches of 32; estimated from one
step a round, and frozen too, which flatters it). Per work; validation and checkpoints are in none of them. The numbers
in the cache are random: its speed does not depend on them.
"""

from __future__ import annotations

from pathlib import Path

import material
import peers
import timing
import torch
from timing import Row, clocked, faster
from torch import Tensor
from watching import watch

from morelli.network.network import Network
from morelli.prediction.device import autocast, best_device, choose_precision
from morelli.prediction.model import Model
from morelli.training.sources import clean_features

BATCH, STUDENT_BATCH = 64, 32


def random_features(model: Model, images: Tensor) -> Tensor:
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
    Model.features, real = random_features, Model.features  # type: ignore[method-assign, assignment]
    model = Model(network, settings, names, *network.colours)
    cache = clean_features(collection, model, collection.rows("all"), settings)
    Model.features = real  # type: ignore[method-assign]
    train = collection.rows("train")
    steps = -(-len(train) // BATCH) - 1
    resident = torch.rand(BATCH, *cache.shape, device=device)
    precision = choose_precision("auto", device)
    student = peers.student_steps(
        sorted(material.originals(out, 96, 256).glob("*/*.jpg")), STUDENT_BATCH, device, frozen=True
    )
    limit: list[float] = []
    peer: list[float] = []

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
        peer.append(clocked(lambda: next(student)) / STUDENT_BATCH)

    ours = [seconds / BATCH for seconds in watch(settings, collection, network, steps, rounds, others)]
    student.close()
    how = f"{works:,} works, batch {BATCH}, {precision}"
    return [
        Row("cached epoch", "cache read once, neck forward and backward on a resident batch", "limit",
            faster(ours, limit[1:]), 0.9, note=how),
        Row("cached epoch", "students' loop, ResNet-50 + LSTM, backbone every epoch (estimated from one step)", "peer",
            faster(ours, peer[1:]), 30.0),
    ]  # fmt: skip


if __name__ == "__main__":
    timing.main(measure, works=1000)

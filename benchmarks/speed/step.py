"""A fine-tuning step of ResNet-50 with an LSTM, the whole pipeline of ``morelli train`` from prepared images on.

Against a bare forward and backward of the same network on a resident batch, in the best precision and memory format,
and against the students' loop, timm's and fastai's, which read the same prepared images from files. Everything learns.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.speed import material, peers, timing
from benchmarks.speed.timing import Row, clocked, faster, missing
from benchmarks.speed.watching import watch
from morelli.network.network import Network
from morelli.preprocessing.device import autocast, best_device, choose_precision

STEPS = 2


def bare_steps(network: Network, batch: int, device: torch.device) -> Callable[[], None]:
    """Forward and backward on a resident batch, ``STEPS`` times."""
    images = torch.randn(batch, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    precision = choose_precision("auto", device)

    def work() -> None:
        for _ in range(STEPS):
            network.zero_grad()
            with autocast(precision, device):
                logits = network(images)
            torch.stack([each.float().sum() for each in logits.values()]).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return work


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    device = best_device()
    batch = 128 if device.type == "cuda" else 8
    works = max(works, 2 * (rounds + 1) * (STEPS + 1) * batch)  # half of them and more are in training
    collection = material.painted_collection(out, works, 256)
    settings = material.recipe(
        "resnet50", training={"batch_size": batch, "workers": 16 if device.type == "cuda" else 2}
    )
    names = {task: collection.vocabularies[task] for task in settings.tasks}
    files = sorted(material.originals(out, max(192, 4 * batch), 256).glob("*/*.jpg"))
    loops = {
        "students' loop (fp32)": peers.student_steps(files, batch, device),
        "timm's loop": peers.timm_steps(files, batch, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *loops, "fastai's learner")}
    bare = bare_steps(Network(settings, names).to(device, memory_format=torch.channels_last), batch, device)
    absent = missing("fine-tuning step", "fastai's learner", "peer", "fastai")
    learner = None if absent else peers.fastai_learner(files, batch, device)

    def others() -> None:
        seconds["bare"].append(clocked(bare) / STEPS)
        for name, loop in loops.items():
            next(loop)  # after a pause the first step does not count
            seconds[name].append(
                clocked(lambda loop=loop: [next(loop) for _ in range(STEPS)].clear()) / STEPS
            )  # type: ignore[misc]
        if learner is not None:
            seconds["fastai's learner"].append(peers.fastai_epoch(learner, STEPS) / STEPS)

    ours = watch(settings, collection, Network(settings, names), STEPS, rounds, others)
    rate = batch / statistics.median(ours)
    how = f"batch {batch}, {choose_precision('auto', device)}; {rate:,.1f} images/s of ours"
    rows = [Row("fine-tuning step", "forward and backward on a resident batch", "limit",
                faster(ours, seconds.pop("bare")[1:]), 0.95, note=how)]  # fmt: skip
    if absent:
        seconds.pop(absent.what)
        rows.append(absent)
    rows += [
        Row("fine-tuning step", name, "peer", faster(ours, each[1:]), 1.0) for name, each in seconds.items()
    ]
    return rows


if __name__ == "__main__":
    timing.main(measure, works=0)

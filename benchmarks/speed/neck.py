"""The neck beside the backbone: forward and backward of each, on a resident batch, in the best precision.

The share that a neck adds to a ResNet-50 step, and the LSTM neck against a bare ``torch.nn.LSTM`` (cuDNN's or oneDNN's)
over the same 49 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed import material, timing
from benchmarks.speed.timing import Contender, Row, alternate, faster, slower
from morelli.network.network import Network
from morelli.preprocessing.device import autocast, best_device, choose_precision
from morelli.recipe.checks import NECK_KINDS

NECKS = ("lstm", "gru", "mingru", "rowcol", "convlstm", "mean")


def learning(module: Callable[[Tensor], Tensor], batch: Tensor, precision: str) -> Callable[[], None]:
    """A forward and a backward pass, to the end on a GPU."""

    def work() -> None:
        with autocast(precision, batch.device):
            outputs = module(batch)
        outputs.float().sum().backward()
        if batch.device.type == "cuda":
            torch.cuda.synchronize()

    return work


class BareLSTM(nn.Module):
    """What the neck is measured against: an LSTM and nothing else, over the tokens (B, 49, C)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(channels, width, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rnn(tokens)[0][:, -1]


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    device = best_device()
    precision = choose_precision("auto", device)
    names = {task: [str(number) for number in range(20)] for task in ("artist", "style", "genre")}
    network = Network(material.recipe("resnet50"), names).to(device, memory_format=torch.channels_last)
    images = torch.randn(works, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    channels = network.backbone.channels
    maps = torch.randn(works, channels, *network.backbone.grid, device=device)
    contenders = [Contender("backbone", learning(network.backbone, images, precision))]
    for kind in NECKS:
        width = {"width": 256} if kind in NECK_KINDS["width"] else {}
        settings = material.recipe("resnet50", neck={"kind": kind} | width)
        neck = Network(settings, names, network.backbone).neck.to(device)
        contenders.append(Contender(kind, learning(neck, maps, precision)))
    bare = BareLSTM(channels, 256).to(device)
    tokens = maps.flatten(2).transpose(1, 2).contiguous()
    contenders.append(Contender("bare", learning(bare, tokens, precision)))
    seconds = alternate(contenders, rounds)
    most = 0.05 if device.type == "cuda" else 0.10
    how = f"batch {works}, {precision}; the neck's share of the backbone's time"
    rows = [
        Row(f"neck {kind}", "ResNet-50 forward and backward", "limit",
            slower(seconds[kind], seconds["backbone"]), most, at_most=True, note=how)
        for kind in NECKS
    ]  # fmt: skip
    against = faster(seconds["lstm"], seconds["bare"])
    return [*rows, Row("neck lstm", "torch.nn.LSTM over 49 tokens, alone", "peer", against)]


if __name__ == "__main__":
    timing.main(measure, works=32)

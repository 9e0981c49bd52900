"""The reading trace: the network's probabilities after each token that its recurrent neck has read.

Each prefix of the tokens is read as if the painting ended there. For a neck that reads in one direction, that is the
state it has at this point of the whole reading. For a neck that reads in both, the backward reading starts at the last
token of the prefix. For a neck without an order, the rows of the painting are revealed one after another.

The last step of each trace is the answer: ``step_probabilities`` computes it by the same way from an embedding to
scores (:meth:`morelli.network.network.Network.logits`) as the prediction does.

The tokens are cells of a feature map, and a cell depends on more of the painting than its own square: through the
convolutions (or the attention of a transformer) before it. The trace is of what the *neck* had read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from morelli.network.necks.neck import Neck, RecurrentNeck, RowConvLSTMNeck
from morelli.network.necks.scan import SCANS, rows_as_tokens, scan
from morelli.prediction.model import Model
from morelli.preprocessing.device import autocast

_ONE_WAY = "the state that the network has at this point of its reading"
_TWO_WAYS = (
    "what the network would answer had the painting ended here: it reads in both directions, and the backward "
    "reading starts anew at the last token read"
)
_NO_ORDER = (
    "what the network would answer from these rows alone: its neck ({kind}) reads the whole painting at once, and the "
    "trace reveals the rows one after another"
)


@dataclass(frozen=True)
class Trace:
    """T steps over a feature map of ``grid`` (h, w) cells.

    ``probabilities[task]`` (T, K) are calibrated, float32; the last row is the network's answer. ``cells`` (T, P) are
    the numbers (row · w + column) of the cells that each step adds, left to right. ``unit`` is ``token`` or ``row``,
    ``ordered`` whether the neck reads in this order at all, and ``meaning`` describes a step's probabilities in words.
    """

    probabilities: dict[str, np.ndarray]
    cells: np.ndarray
    grid: tuple[int, int]
    unit: str
    ordered: bool
    meaning: str

    def __len__(self) -> int:
        return len(self.cells)


@torch.inference_mode()
def read_trace(model: Model, feature_map: Tensor) -> Trace:
    """The trace of one painting from its feature map (1, C, h, w), for all tasks of ``model``."""
    height, width = feature_map.shape[-2:]
    neck = model.network.neck
    steps = step_probabilities(model, feature_map)
    answer = model.read(feature_map)[0]
    # the last step is the answer but for rounding, which differs where a neck reads many prefixes at once
    probabilities = {task: torch.cat([rows[:-1], answer[task]]).numpy() for task, rows in steps.items()}
    by_token = isinstance(neck, RecurrentNeck) and not neck.rows
    order = SCANS[neck.scan](height, width) if by_token else torch.arange(height * width)  # type: ignore[index]
    count = height * width if by_token else height
    return Trace(
        probabilities,
        order.numpy().reshape(count, -1),
        (height, width),
        "token" if by_token else "row",
        isinstance(neck, RecurrentNeck | RowConvLSTMNeck),
        _meaning(neck, model.recipe.neck.kind),
    )


@torch.inference_mode()
def step_probabilities(model: Model, feature_map: Tensor) -> dict[str, Tensor]:
    """The calibrated probabilities {task: (T, K)} after each step, float32 on the CPU, as computed from the embedding
    of each prefix of one painting's feature map (1, C, h, w); the last row too."""
    with autocast(model.precision, model.device):
        embeddings = prefix_embeddings(model.network.neck, feature_map.to(model.device))
        logits = model.network.logits(embeddings)
    return {task: model.calibrated(task, logits[task]) for task in model.vocabularies}


def prefix_embeddings(neck: Neck, features: Tensor) -> Tensor:
    """The neck's vectors (T, D) of one painting's first 1 … T tokens or rows, from its feature map (1, C, h, w)."""
    if isinstance(neck, RecurrentNeck):
        tokens = rows_as_tokens(features) if neck.rows else scan(features, neck.scan)
        steps = range(1, tokens.shape[1] + 1)
        if neck.rnn.bidirectional:
            return torch.cat([neck.embed(tokens[:, :t]) for t in steps])
        states = neck.states(tokens)  # later tokens do not change them: one pass gives all prefixes
        return torch.cat([neck.pool(states[:, :t]) if neck.pool else states[:, t - 1] for t in steps])
    return torch.cat([neck(features[:, :, :t]) for t in range(1, features.shape[2] + 1)])


def _meaning(neck: Neck, kind: str) -> str:
    if not isinstance(neck, RecurrentNeck | RowConvLSTMNeck):
        return _NO_ORDER.format(kind=kind)
    both = neck.rnn.bidirectional if isinstance(neck, RecurrentNeck) else neck.up is not None
    return _TWO_WAYS if both else _ONE_WAY

"""Reading the works of a collection: probabilities and embeddings of the given rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from morelli.console import progress
from morelli.prediction.model import Model


@dataclass(frozen=True)
class Readings:
    """``probabilities[task]`` (N, K), calibrated, and ``embedding`` (N, D), both float32."""

    probabilities: dict[str, np.ndarray]
    embedding: np.ndarray


def read_batches(model: Model, batches: Iterable[tuple[Tensor, Tensor]], total: int, title: str) -> Readings:
    """Reads (inputs, …) batches; inputs are uint8 images or feature maps of the model's own backbone."""
    probabilities: dict[str, list[Tensor]] = {task: [] for task in model.vocabularies}
    vectors = []
    with progress(title, total) as advance:
        for inputs, _ in batches:
            image = inputs.dtype == torch.uint8
            batch, embedding = model.predict(inputs) if image else model.read(inputs.float())
            for task in probabilities:
                probabilities[task].append(batch[task])
            vectors.append(embedding)
            advance(len(inputs))
    return Readings(
        {t: torch.cat(parts).numpy() for t, parts in probabilities.items()}, torch.cat(vectors).numpy()
    )

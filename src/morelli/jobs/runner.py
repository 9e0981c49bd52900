"""A model on rows of a collection: the one way by which evaluate, calibrate, cross-fit and the index read works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from morelli.collection.collection import Collection
from morelli.console import progress
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.prediction.engine import use_fast_backbone
from morelli.prediction.model import Model
from morelli.training.data import Batch, Features, Images, loader
from morelli.training.sources import existing_features

BATCH_SIZE = 64


@dataclass(frozen=True)
class Readings:
    """``probabilities[task]`` (N, K), calibrated, and ``embedding`` (N, D), both float32."""

    probabilities: dict[str, np.ndarray]
    embedding: np.ndarray


def predict_rows(model: Model, collection: Collection, rows: np.ndarray, title: str) -> Predictions:
    """Calibrated predictions for ``rows`` of a collection, with their labels."""
    readings = read_rows(model, collection, rows, title)
    tasks = {
        task: TaskPredictions(names, collection.labels(task, names)[rows], readings.probabilities[task])
        for task, names in model.vocabularies.items()
    }
    ids, paths = (list(collection.table[c].astype(str).iloc[rows]) for c in ("id", "file"))
    return Predictions(ids, paths, tasks, readings.embedding)


def read_rows(model: Model, collection: Collection, rows: np.ndarray, title: str) -> Readings:
    """Probabilities and embeddings of ``rows``, in order; ``title`` stands before the progress bar."""
    probabilities: dict[str, list[Tensor]] = {task: [] for task in model.vocabularies}
    embedding = []
    with progress(title, len(rows)) as advance:
        for inputs, _ in batches_of(model, collection, rows):
            batch, vectors = model.read(features_of(model, inputs))
            for task in probabilities:
                probabilities[task].append(batch[task])
            embedding.append(vectors)
            advance(len(inputs))
    return Readings(
        {task: torch.cat(parts).numpy() for task, parts in probabilities.items()},
        torch.cat(embedding).numpy(),
    )


def batches_of(model: Model, collection: Collection, rows: np.ndarray) -> DataLoader[Batch]:
    """``rows`` in order, as (inputs, nothing): float16 features where some run has cached those that the model's neck
    reads, else uint8 images (B, 3, S, S)."""
    unlabelled = torch.zeros(len(rows), 1, dtype=torch.int64)
    cached = existing_features(collection, model)
    data: Features | Images
    if cached is not None:
        data = Features([cached], rows, unlabelled)
    else:
        use_fast_backbone(model, len(rows))
        data = Images(collection, rows, unlabelled, model.recipe.image)
    return loader(data, BATCH_SIZE, model.recipe.training.workers)


def features_of(model: Model, inputs: Tensor) -> Tensor:
    """What the neck reads (B, C, h, w) of the inputs of a batch."""
    return model.features(inputs) if inputs.dtype == torch.uint8 else inputs.float()

"""Reading rows of a collection with a model, from cached features where there are any."""

from __future__ import annotations

import numpy as np
import torch

from morelli.collection.collection import Collection
from morelli.prediction.engine import use_fast_backbone
from morelli.prediction.model import Model
from morelli.prediction.works import Readings, read_batches
from morelli.training.data import Features, Images, loader
from morelli.training.sources import existing_features


def read_rows(model: Model, collection: Collection, rows: np.ndarray, title: str) -> Readings:
    """Probabilities and embeddings of ``rows``, in order."""
    nothing = torch.zeros(len(rows), 1, dtype=torch.int64)
    cached = existing_features(collection, model)
    data: Features | Images
    if cached is not None:
        data = Features([cached], rows, nothing)
    else:
        use_fast_backbone(model, len(rows))
        data = Images(collection, rows, nothing, model.recipe.image)
    return read_batches(model, loader(data, 64, model.recipe.training.workers), len(rows), title)

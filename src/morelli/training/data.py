"""Data sets of a collection: images from the store, or cached features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PIL
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from morelli import recipe
from morelli.collection.collection import Collection
from morelli.network.artist_prior import PRIOR_ARTIST
from morelli.preprocessing.pixels import decode, square, to_tensor
from morelli.training.features import FeatureFile, JoinedFeatures
from morelli.workers import leave_signals, start_method

Batch = tuple[
    Tensor, Tensor
]  # inputs (B, C, H, W): uint8 images or float16 features; labels (B, tasks) int64


def label_table(collection: Collection, learned: dict[str, list[str]], rows: np.ndarray) -> Tensor:
    """(rows, columns) int64, in the order of ``learned``: tasks, then the artists of an artist prior."""
    columns = [
        (collection.artist_labels(names) if name == PRIOR_ARTIST else collection.labels(name, names))[rows]
        for name, names in learned.items()
    ]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.int64))


def derive_seed(*parts: int) -> int:
    """One seed out of several numbers, well mixed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class Images(Dataset[Batch]):
    """Prepared images of ``rows``; ``view`` turns a picture into pixels, seeded by (seed, epoch, row)."""

    def __init__(
        self,
        collection: Collection,
        rows: np.ndarray,
        labels: Tensor,
        image: recipe.Image,
        view: Callable[[PIL.Image], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.collection, self.rows, self.labels = collection, rows, labels
        self.image, self.view, self.seed = image, view, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        pairs = [index if isinstance(index, tuple) else (0, index) for index in indices]
        pixels = torch.stack([self._pixels(epoch, position) for epoch, position in pairs])
        return pixels, self.labels[[position for _, position in pairs]]

    def _pixels(self, epoch: int, position: int) -> Tensor:
        row = int(self.rows[position])
        picture = decode(self.collection.read(row))
        if self.view is None:
            return to_tensor(square(picture, self.image))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, epoch, row))
            return self.view(picture)


class Features(Dataset[Batch]):
    """Cached feature maps; with several views each epoch draws one for each work, by (seed, epoch, position)."""

    def __init__(
        self, views: Sequence[FeatureFile | JoinedFeatures], rows: np.ndarray, labels: Tensor, seed: int = 0
    ) -> None:
        self.views, self.rows, self.labels, self.seed = list(views), rows, labels, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        positions = np.array([index[1] if isinstance(index, tuple) else index for index in indices])
        rows = self.rows[positions]
        if len(self.views) == 1:
            maps = self.views[0].read(rows)
        else:
            epoch = indices[0][0] if isinstance(indices[0], tuple) else 0
            chosen = np.random.default_rng([self.seed, epoch]).integers(len(self.views), size=len(self.rows))
            maps = np.empty((len(rows), *self.views[0].shape), dtype=np.float16)
            for number, view in enumerate(self.views):
                mine = chosen[positions] == number
                maps[mine] = view.read(rows[mine])
        return torch.from_numpy(maps), self.labels[positions]


def loader(data: Dataset[Batch], batches: Sampler[Any] | int, workers: int) -> DataLoader[Batch]:
    """Batches as the data set makes them; ``batches`` is a batch sampler, or a size for reading in order.
    Cached features are read in this process: a worker would only copy them."""
    workers = 0 if isinstance(data, Features) else workers
    common: dict[str, Any] = {
        "num_workers": workers,
        "collate_fn": _as_it_is,
        "pin_memory": torch.cuda.is_available(),
    }
    if workers:
        common |= {
            "persistent_workers": True,
            "multiprocessing_context": start_method(),
            "worker_init_fn": leave_signals,
        }
    if isinstance(batches, int):
        return DataLoader(data, batch_size=batches, shuffle=False, **common)
    return DataLoader(data, batch_sampler=batches, **common)


def _as_it_is(batch: Batch) -> Batch:
    return batch

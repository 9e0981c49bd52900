"""Which works an epoch shows, in which order: stateless, so that any epoch can be drawn again exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """(K,) int64 counts of the known labels (N,)."""
    return np.bincount(labels[labels >= 0], minlength=classes)


def balancing_weights(labels: Sequence[np.ndarray], power: float) -> np.ndarray:
    """(N,) sampling weights: class count ** −power, averaged over the tasks after scaling each to mean 1.

    A work whose label is unknown gets the mean weight of that task, so that it is neither favoured nor lost.
    """
    parts = []
    for column in labels:
        counts = class_counts(column, int(column.max(initial=0)) + 1)
        weight = np.where(column >= 0, np.maximum(counts, 1)[column] ** -float(power), np.nan)
        mean = np.nanmean(weight) if (column >= 0).any() else 1.0
        parts.append(np.nan_to_num(weight / mean, nan=1.0))
    return np.mean(parts, axis=0)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, position)`` pairs; the epoch travels with each position so that augmentation can be
    seeded by both.

    Without ``weights`` an epoch is a permutation; with ``weights`` (N,) it is N draws with replacement. Under
    several processes all draw the same epoch and each takes every ``world``-th of it, so that weights hold
    over the whole; the end wraps around to give each process as many. ``skip`` leaves out the first batches of
    the first epoch drawn (a resumed run); ``len`` stays that of a whole epoch. ``processes`` is (rank, world),
    by default those of ``torch.distributed`` when the epoch is drawn.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        weights: np.ndarray | None = None,
        processes: tuple[int, int] | None = None,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.weights = None if weights is None else np.cumsum(weights / weights.sum())
        self._processes = processes
        self.epoch = 0
        self.skip = 0

    @property
    def sampler(self) -> EpochBatches:
        """Itself: Lightning calls ``set_epoch`` of a batch sampler's ``sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self._share() // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rank, world = self._where()
        mine = np.resize(self.draw(self.epoch), self._share() * world)[rank::world]
        batches = [mine[i : i + self.batch_size] for i in range(0, len(mine), self.batch_size)]
        skip, self.skip = self.skip, 0
        for batch in batches[skip:]:
            yield [(self.epoch, int(position)) for position in batch]

    def draw(self, epoch: int) -> np.ndarray:
        """(N,) positions of one whole epoch, over all processes."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.weights is None:
            return rng.permutation(self.count)
        return np.searchsorted(self.weights, rng.random(self.count)).clip(max=self.count - 1)

    def _share(self) -> int:
        """Works of an epoch for each process."""
        return -(-self.count // self._where()[1])

    def _where(self) -> tuple[int, int]:
        if self._processes is not None:
            return self._processes
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1

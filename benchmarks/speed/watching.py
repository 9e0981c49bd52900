"""Training as ``morelli train`` does it, with a clock in it that stops now and then for others to run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.timing import now
from morelli.collection.collection import Collection
from morelli.errors import MorelliError
from morelli.network.network import Network
from morelli.recipe import Recipe
from morelli.training import fit as fitting
from morelli.training.module import ReadingModule


class EnoughError(MorelliError):
    """The clock has measured as often as it was to."""


def watch(
    recipe: Recipe,
    collection: Collection,
    network: Network,
    steps: int,
    rounds: int,
    others: Callable[[], None],
) -> list[float]:
    """Seconds a training step takes, in each of ``rounds`` rounds of ``steps`` steps; after each round ``others`` is
    called, while no clock runs. The first step after a pause does not count, nor does the first round."""
    taken: list[float] = []

    class Watched(ReadingModule):
        begun: float | None = None
        done = 0

        def on_train_batch_end(self, *_: Any) -> None:
            if self.begun is None:
                self.begun, self.done = now(), 0
                return
            self.done += 1
            if self.done == steps:
                taken.append((now() - self.begun) / steps)
                self.begun = None
                others()
                if len(taken) == rounds + 1:
                    raise EnoughError

    before, fitting.ReadingModule = fitting.ReadingModule, Watched  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as folder:
            fitting.fit(recipe, collection, network, Path(folder), False, "")
    except EnoughError:
        return taken[1:]
    finally:
        fitting.ReadingModule = before  # type: ignore[misc]
    raise MorelliError(
        f"{len(taken)} rounds of {steps} steps came about, not {rounds + 1}; give more --works"
    )

"""The works of a run's index, found by what they look like to the network and by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.search.search import Index
from morelli.report.html import Missing
from morelli.report.run_results import RunResults
from morelli.run import Run


@dataclass(frozen=True)
class NeighbourIndex:
    """``works`` says of each row of ``index`` what the run's ``collection.parquet`` does, indexed by id."""

    index: Index
    works: pd.DataFrame

    def nearest(
        self, vector: NDArray[np.floating], k: int, allowed: NDArray[np.bool_]
    ) -> list[tuple[str, float]]:
        """Ids and cosine distances (0–2) of the ``k`` nearest works of ``allowed`` (N,), nearest first."""
        if not allowed.any():
            return []
        distances, rows = self.index.search(vector[None], k, allowed)
        ids = self.works.index[rows[0]]
        return [(str(work), float(far)) for work, far in zip(ids, distances[0], strict=True)]

    def apart(self, work: str) -> NDArray[np.bool_]:
        """(N,) the works that are neither ``work`` nor a near-duplicate of it."""
        other = (self.works.index != work).copy()
        if "group" in self.works and work in self.works.index:
            other &= (self.works["group"] != self.works["group"].at[work]).to_numpy()
        return other


def open_neighbour_index(results: RunResults) -> NeighbourIndex | Missing:
    """The index in ``RUN/index``, where it is of the run's network and works."""
    make, folder = f"morelli similar {quote(results.name)} IMAGE", Run(results.run).index_folder
    if results.predictions.embedding is None:
        return Missing("index", "The predictions hold no vectors")
    if not (folder / "index.json").is_file():
        return Missing("index", "No index yet, so no nearest works", make)
    try:
        index = Index.open(folder)
    except DataError:
        return Missing("index", "The index cannot be read; delete RUN/index", make)
    known = results.works.drop_duplicates("id").astype({"id": str}).set_index("id")
    rows = known.index.get_indexer(index.table["id"].astype(str))
    other = (
        None not in (results.weights, index.facts.get("weights"))
        and index.facts["weights"] != results.weights
    )
    if other or (rows < 0).any() or index.vectors.shape[1] != results.predictions.embedding.shape[1]:
        return Missing("index", "The index is of another network or of other works than this run’s", make)
    return NeighbourIndex(index, known.iloc[rows])

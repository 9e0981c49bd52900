"""Search by cosine distance over the embeddings of works: exact, in bounded memory, from a folder on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.errors import DataError, UsageError
from morelli.files import read_json, replacing, write_json

_ROWS, _QUERIES = 8192, 256  # a block of distances is 16 MiB
_STEPS = 10_000_000  # distances are told apart to seven decimals, which is what float32 vectors carry


@dataclass(frozen=True)
class Index:
    """``vectors`` (N, D) float32 of length 1 (or 0, where the embedding was zero), memory-mapped; ``table`` says
    what each row is (N rows, a column ``id``); ``facts`` say what the index was made from."""

    vectors: NDArray[np.float32]
    table: pd.DataFrame
    facts: dict[str, str]

    @classmethod
    def build(
        cls,
        folder: Path,
        embedding: NDArray[np.floating],
        table: pd.DataFrame,
        facts: Mapping[str, str] | None = None,
    ) -> Index:
        """Writes the index of ``embedding`` (N, D) and its ``table`` into ``folder``, and opens it.

        Raises :class:`DataError` where there is no work, the two differ in length or a value is not finite.
        """
        if embedding.ndim != 2 or not embedding.size or len(embedding) != len(table):
            raise DataError(
                f"{folder}: an embedding of shape {embedding.shape} does not describe {len(table):,} works; "
                "give one vector for each row of the table"
            )
        # what vouches for the two others goes first and comes last: a kill in between leaves no index
        (folder / "index.json").unlink(missing_ok=True)
        with replacing(folder / "vectors.npy") as temporary:
            vectors = np.lib.format.open_memmap(temporary, "w+", np.float32, embedding.shape)
            for start in range(0, len(embedding), _ROWS):
                vectors[start : start + _ROWS] = _unit(embedding[start : start + _ROWS])
            vectors.flush()
            del vectors
        with replacing(folder / "works.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        write_json(folder / "index.json", {"works": len(table), "facts": dict(facts or {})})
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Index:
        """Raises :class:`DataError` where ``folder`` holds no index, or a damaged one."""
        about = read_json(folder / "index.json")
        try:
            vectors = np.load(folder / "vectors.npy", mmap_mode="r")
            table = pd.read_parquet(folder / "works.parquet")
            if vectors.ndim != 2 or not len(vectors) == len(table) == about["works"]:
                raise ValueError("its parts differ in length")
            return cls(vectors, table, dict(about["facts"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: the index cannot be read ({error}); delete the folder") from None

    def search(
        self, queries: NDArray[np.floating], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The ``k`` nearest rows of each of ``queries`` (Q, D), nearest first; of equals the first row.

        Returns distances (Q, k), each 1 − cosine in [0, 2] rounded to seven decimals, and rows (Q, k); fewer
        columns where fewer works are ``allowed`` (N,). A zero vector is at distance 1 of everything. Raises
        :class:`UsageError` for a ``k`` below 1 and :class:`DataError` where the queries have another width.
        """
        if k < 1:
            raise UsageError(f"-k {k}: must be at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise DataError(
                f"the queries have shape {queries.shape}, but the index holds vectors of {self.vectors.shape[1]} "
                "numbers; query with the model that it was built with"
            )
        rows = np.arange(len(self.vectors)) if allowed is None else np.flatnonzero(allowed)
        keys = np.empty((len(queries), min(k, len(rows))), np.uint64)
        for start in range(0, len(queries), _QUERIES):
            units = _unit(queries[start : start + _QUERIES])
            keys[start : start + _QUERIES] = self._nearest(units, k, rows)
        distances = (keys >> np.uint64(32)).astype(np.float64) / _STEPS
        return distances.astype(np.float32), (keys & np.uint64(2**32 - 1)).astype(np.int64)

    def _nearest(self, units: NDArray[np.float64], k: int, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(Q, k) keys in rising order: the distance in steps in the upper 32 bits, the row in the lower, so that
        one partition sorts out ties by row."""
        best = np.empty((len(units), 0), np.uint64)
        for start in range(0, len(rows), _ROWS):
            block = rows[start : start + _ROWS]
            distances = 1 - units @ self.vectors[block].astype(np.float64).T
            steps = np.rint(np.clip(distances, 0, 2) * _STEPS).astype(np.uint64)
            best = np.concatenate([best, steps << np.uint64(32) | block.astype(np.uint64)], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, k - 1, axis=1)[:, :k]
        return np.sort(best, axis=1)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors (N, D) of length 1; zero stays zero."""
    wide = np.asarray(vectors, np.float64)
    if not np.isfinite(wide).all():
        raise DataError(
            "an embedding holds a value that is not a number; the model has diverged, train again"
        )
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)

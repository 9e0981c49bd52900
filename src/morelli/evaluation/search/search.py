"""Search by cosine distance over the embeddings of works, in bounded memory, from a folder on disk.

A search filters and refines. FAISS scans 8-bit copies of the vectors, shortened where that pays
(:mod:`morelli.evaluation.search.projection`): a quarter or an eighth of the memory traffic, which is what a scan waits
for. How far a copy can be from its vector is measured when the index is built, so that the rows which may be among the
nearest are known for certain; those are compared again with the vectors themselves. The result is exact. Beyond
``EXACT`` works the filter is FAISS's graph over 16-bit copies of the whole vectors, which may miss a work
(:mod:`morelli.evaluation.search.quantization`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.console import say
from morelli.errors import DataError, UsageError
from morelli.evaluation.search.projection import Projection, fit_projection
from morelli.evaluation.search.quantization import build_codes, choose_ef_search, get_faiss
from morelli.evaluation.vectors import unit_rows
from morelli.files import atomic_write, read_json, write_json

VERSION = 4
EXACT = 200_000  # works up to which every search compares the query with all of them

_ROWS = 8192  # a block of 512 numbers is 32 MiB in float64
_STEPS = 10_000_000  # distances differ in seven decimals, which is what float32 vectors carry
_SPARE = 256  # rows that the filter gives beyond k at first: hardly slower than none, and mostly enough
_ROUNDING = 3e-7  # of a float32 vector's length, and of the steps


def backend_of(works: int) -> str:
    """``exact`` or ``hnsw``, by the number of works."""
    return "exact" if works <= EXACT else "hnsw"


@dataclass(frozen=True)
class Index:
    """``vectors`` (N, D) float32 of length 1 (or 0, where the embedding was zero), memory-mapped; ``table`` says
    what each row is (N rows, a column ``id``); ``facts`` say what the index was made from. ``codes`` is FAISS's
    index of the copies; times ``step`` they are at most ``error`` away from their vector, shortened by ``short``
    where there is one. ``ef_search`` is how broadly a graph is searched."""

    vectors: NDArray[np.float32]
    table: pd.DataFrame
    facts: dict[str, str]
    codes: Any
    step: float
    error: float
    backend: str
    short: Projection | None
    ef_search: int

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
        faiss = get_faiss()
        if embedding.ndim != 2 or not embedding.size or len(embedding) != len(table):
            raise DataError(
                f"{folder}: an embedding of shape {embedding.shape} does not describe {len(table):,} works; "
                "give one vector for each row of the table"
            )
        backend = backend_of(len(table))
        # what vouches for the others goes first and comes last: a kill in between leaves no index
        (folder / "index.json").unlink(missing_ok=True)
        with atomic_write(folder / "vectors.npy") as temporary:
            vectors = np.lib.format.open_memmap(temporary, "w+", np.float32, embedding.shape)
            for start in range(0, len(embedding), _ROWS):
                vectors[start : start + _ROWS] = unit_rows(embedding[start : start + _ROWS], np.float64)
            vectors.flush()
            short = fit_projection(vectors, _SPARE) if backend == "exact" else None
            codes, step, error = build_codes(vectors, short, backend)
            ef_search = choose_ef_search(codes, vectors) if backend == "hnsw" else 0
            del vectors
        none = np.empty((0, 0))
        with atomic_write(folder / "short.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, axes=short.axes if short else none, rotation=short.rotation if short else none)
        with atomic_write(folder / "codes.faiss") as temporary:
            faiss.write_index(codes, str(temporary))
        with atomic_write(folder / "works.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        about = {"version": VERSION, "works": len(table), "backend": backend, "step": step, "error": error}
        write_json(folder / "index.json", about | {"ef_search": ef_search, "facts": dict(facts or {})})
        how = "exact" if backend == "exact" else "by a graph (HNSW), which may miss a near one"
        say(f"index of {len(table):,} works in {folder}; search is {how}")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Index:
        """Raises :class:`DataError` where ``folder`` holds no index, an older one, or a damaged one."""
        faiss = get_faiss()
        about = read_json(folder / "index.json")
        try:
            if about["version"] != VERSION:
                raise ValueError("it was made by another version of morelli")
            vectors = np.load(folder / "vectors.npy", mmap_mode="r")
            table = pd.read_parquet(folder / "works.parquet")
            codes = faiss.read_index(str(folder / "codes.faiss"), faiss.IO_FLAG_MMAP_IFC)
            with (folder / "short.npz").open("rb") as file, np.load(file) as saved:
                short = Projection(saved["axes"], saved["rotation"]) if saved["axes"].size else None
            width, rows = vectors.shape[1], {len(vectors), codes.ntotal, len(table), about["works"]}
            shapes = {(width, codes.d), (len(short.axes), len(short.rotation)) if short else (codes.d, width)}
            if len(rows) > 1 or len(shapes) > 1:
                raise ValueError("its parts differ in length")
            numbers = float(about["step"]), float(about["error"])
            facts, backend, ef_search = dict(about["facts"]), str(about["backend"]), int(about["ef_search"])
            return cls(vectors, table, facts, codes, *numbers, backend, short, ef_search)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, BadZipFile) as error:
            why = str(error).strip().splitlines()[0]
            raise DataError(f"{folder}: the index cannot be read ({why:.100}); delete the folder") from None

    def search(
        self, queries: NDArray[np.floating], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The ``k`` nearest rows of each of ``queries`` (Q, D), nearest first; of equals the first row.

        Returns distances (Q, k), 1 − cosine in [0, 2] rounded to seven decimals, and rows (Q, k); fewer than ``k``
        where the index holds fewer. ``allowed`` (N,) leaves rows out. A zero vector is at distance 1 of everything.
        Raises :class:`UsageError` for a ``k`` below 1 and :class:`DataError` where the queries have another width.
        """
        if k < 1:
            raise UsageError(f"-k {k}: must be at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise DataError(
                f"the queries have shape {queries.shape}, but the index holds vectors of {self.vectors.shape[1]} "
                "numbers; query with the model that it was built with"
            )
        left = len(self.vectors) if allowed is None else int(np.count_nonzero(allowed))
        keys = np.empty((len(queries), min(k, left)), np.uint64)
        for number, unit in enumerate(unit_rows(queries, np.float64)):
            rows = self._candidates(unit, k, left, allowed)
            if rows is None:
                rows = np.arange(left) if allowed is None else np.flatnonzero(allowed)
            keys[number] = self._nearest(unit, k, rows)
        distances = (keys >> np.uint64(32)).astype(np.float64) / _STEPS
        return distances.astype(np.float32), (keys & np.uint64(2**32 - 1)).astype(np.int64)

    def _nearest(self, unit: NDArray[np.float64], k: int, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(k,) keys of the nearest of ``rows`` in rising order: the distance in steps in the upper 32 bits, the row
        in the lower, so that one partition sorts out ties by row."""
        best = np.empty(0, np.uint64)
        for start in range(0, len(rows), _ROWS):
            block = rows[start : start + _ROWS]
            distances = 1 - self.vectors[block].astype(np.float64) @ unit
            steps = np.rint(np.clip(distances, 0, 2) * _STEPS).astype(np.uint64)
            best = np.concatenate([best, steps << np.uint64(32) | block.astype(np.uint64)])
            if len(best) > k:
                best = np.partition(best, k - 1)[:k]
        return np.sort(best)

    def _candidates(
        self, unit: NDArray[np.float64], k: int, left: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64] | None:
        """Rows among which the ``k`` nearest of the ``left`` allowed ones are; None where filtering does not pay."""
        query, wide = (self.short.of(unit[None])[0] if self.short else unit), k + _SPARE
        if not query.any() or left <= 2 * wide:
            return None
        code, worth, slack = self._copy(query)
        if self.backend == "hnsw" and len(self.vectors) - left <= _SPARE:
            products, ids = self._by_graph(code, k, len(self.vectors) - left)
            valid = ids >= 0 if allowed is None else (ids >= 0) & allowed[ids]
            products, ids = products[valid], ids[valid]
            if len(ids) >= k:
                return ids[products >= self._least(unit, ids[:k], worth, slack)]
        while left > 2 * wide:
            products, ids = self._by_scan(code, wide, allowed)
            least = self._least(unit, ids[:k], worth, slack)
            if products[-1] < least:
                return ids[products >= least]
            wide *= 8
        return None

    def _copy(self, query: NDArray[np.float64]) -> tuple[NDArray[np.float32], float, float]:
        """The query as FAISS is to have it (1, W), what its products are worth, and how far they are from the true
        ones at most."""
        if self.backend == "hnsw":
            return query.astype(np.float32)[None], 1.0, self.error + _ROUNDING
        step = float(np.abs(query).max()) / 127
        whole = np.rint(query / step)
        # |q·x − q̂·x̂| ≤ |q − q̂| |x̂| + |q| |x − x̂| for the copies q̂ and x̂
        slack = float(np.linalg.norm(query - whole * step)) * (1 + self.error) + self.error + _ROUNDING
        return whole.astype(np.float32)[None], step * self.step, slack

    def _least(
        self, unit: NDArray[np.float64], first: NDArray[np.int64], worth: float, slack: float
    ) -> float:
        """The product that FAISS gives at least for a work as near as the farthest of ``first``."""
        return (float((self.vectors[first].astype(np.float64) @ unit).min()) - slack) / worth

    def _by_graph(
        self, code: NDArray[np.float32], k: int, left_out: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        ef_search = max(self.ef_search, k + left_out)
        parameters = get_faiss().SearchParametersHNSW(efSearch=ef_search)
        products, ids = self.codes.search(code, ef_search, params=parameters)
        return products[0], ids[0]

    def _by_scan(
        self, code: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        faiss = get_faiss()
        scan = faiss.downcast_index(self.codes.storage) if self.backend == "hnsw" else self.codes
        only = None
        if allowed is not None and not allowed.all():
            chosen = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            only = faiss.SearchParameters(sel=chosen)
        products, ids = scan.search(code, count, params=only)
        return products[0], ids[0]

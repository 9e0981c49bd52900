"""Searching embeddings of 512 numbers: ours against FAISS's HNSW directly, a numpy scan and scikit-learn.

Queries come one at a time, as ``morelli similar`` asks them, and lie near works of the index. FAISS's breadth of search
is the smallest of 16, 24, 32, 48 … whose recall@10 is 0.95; ours is exact up to 200,000 works. Beyond, FAISS searches
float32 vectors by the same links as ours, for building them twice would take hours. The full bench, 6 GB of memory and
disk: ``python -m benchmarks similar --works 1000000``. Vectors and index are made once in --out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd

from benchmarks.speed import timing
from benchmarks.speed.timing import Contender, Row, alternate, faster, missing
from morelli.errors import DataError
from morelli.evaluation.search.quantization import EF_CONSTRUCTION, EF_SEARCH, HNSW_M
from morelli.evaluation.search.search import Index
from morelli.files import atomic_write

WIDTH, HIDDEN, QUERIES, FEW, K, BLOCK = 512, 64, 400, 20, 10, 10_000
Search = Callable[[np.ndarray], np.ndarray]


def vectors_and_queries(out: Path, works: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 512), memory-mapped, and (400, 512), of length 1: tanh of 64 hidden numbers, and noise."""
    file = out / f"vectors-{works}.npy"
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(HIDDEN, WIDTH)).astype(np.float32) / 8
    if not file.exists():
        with atomic_write(file) as temporary:
            vectors = np.lib.format.open_memmap(temporary, "w+", np.float32, (works, WIDTH))
            for start in range(0, works, BLOCK):
                part = vectors[start : start + BLOCK]
                hidden = rng.normal(size=(len(part), HIDDEN)).astype(np.float32)
                part[:] = np.tanh(hidden @ mixing + 0.2 * rng.normal(size=part.shape))
                part /= np.linalg.norm(part, axis=1, keepdims=True)
            vectors.flush()
    vectors = np.load(file, mmap_mode="r")
    rng = np.random.default_rng(1)
    near = vectors[rng.integers(works, size=QUERIES)]
    near = near + 0.02 * rng.normal(size=near.shape).astype(np.float32)
    return vectors, near / np.linalg.norm(near, axis=1, keepdims=True)


def index(folder: Path, vectors: np.ndarray) -> Index:
    """Ours, built unless it is there."""
    try:
        return Index.open(folder)
    except DataError:  # none, or of an older version
        return Index.build(folder, vectors, pd.DataFrame({"id": [str(row) for row in range(len(vectors))]}))


def graph(vectors: np.ndarray, ours: Index) -> Any:
    """FAISS's own HNSW over the vectors as they are, by the links of ``ours`` where that is a graph as well."""
    hnsw: Any = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_M, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = EF_CONSTRUCTION
    linked = ours.backend == "hnsw"
    for start in range(0, len(vectors), BLOCK):
        (hnsw.storage if linked else hnsw).add(vectors[start : start + BLOCK])
    if linked:
        hnsw.hnsw, hnsw.ntotal = ours.codes.hnsw, len(vectors)
    return hnsw


def recall(search: Search, queries: np.ndarray, truth: np.ndarray) -> float:
    answers = [search(queries[place : place + 1]) for place in range(len(queries))]
    return float(np.mean([len(set(a.ravel()) & set(b)) / K for a, b in zip(answers, truth, strict=True)]))


def tuned(hnsw: Any, queries: np.ndarray, truth: np.ndarray) -> Search:
    for ef_search in (16, 24, *EF_SEARCH):
        hnsw.hnsw.efSearch = ef_search
        if recall(lambda query: hnsw.search(query, K)[1], queries, truth) >= 0.95:
            break
    return lambda query: hnsw.search(query, K)[1]


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    vectors, queries = vectors_and_queries(out, works)
    truth = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    opened = index(out / f"index-{works}", vectors)
    direct = tuned(graph(vectors, opened), queries, truth)
    few = max(2, min(FEW, 2_000_000 // works))

    def ours(query: np.ndarray) -> np.ndarray:
        return opened.search(query, K)[1]

    def scan(query: np.ndarray) -> np.ndarray:
        return np.argpartition(-(vectors @ query[0]), K)[:K]

    def each(search: Search, count: int) -> Callable[[], None]:
        return lambda: [search(queries[place : place + 1]) for place in range(count)].clear()

    contenders = [
        Contender("ours", each(ours, QUERIES), QUERIES),
        Contender("faiss", each(direct, QUERIES), QUERIES),
        Contender("scan", each(scan, few), few),
    ]
    absent = missing("similar", "scikit-learn NearestNeighbors", "peer", "sklearn")
    if absent is None:
        from sklearn.neighbors import NearestNeighbors

        fitted = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(vectors)
        contenders.append(Contender("sklearn", each(lambda query: fitted.kneighbors(query)[1], few), few))
    seconds = alternate(contenders, rounds)
    how = (
        f"{works:,} works; recall@10 ours {recall(ours, queries, truth):.3f} ({opened.backend}), "
        f"FAISS {recall(direct, queries, truth):.3f}; {1 / statistics.median(seconds['ours']):,.0f} queries/s of ours"
    )
    rows = [Row("similar", "FAISS HNSW directly, one query at a time", "limit",
                faster(seconds["ours"], seconds["faiss"]), 0.95, note=how)]  # fmt: skip
    rows.append(Row("similar", "numpy scan", "peer", faster(seconds["ours"], seconds["scan"])))
    if absent is not None:
        return [*rows, absent]
    ratios = faster(seconds["ours"], seconds["sklearn"])
    return [*rows, Row("similar", "scikit-learn NearestNeighbors", "peer", ratios)]


if __name__ == "__main__":
    timing.main(measure, works=100_000)

"""Searching embeddings of 512 numbers: ours against FAISS's HNSW directly, a numpy scan and scikit-learn.

Queries come one at a time, as ``morelli similar`` asks them, and lie near works of the index. FAISS's breadth of search
is the smallest of 16, 32, 64 … whose recall@10 is 0.95; ours is exact up to 200,000 works. The full bench:
``morelli bench similar --works 1000000``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
import timing
from timing import Contender, Row, alternate, faster, missing

from morelli.judgement.search import BUILD_BREADTH, LINKS, Index

WIDTH, HIDDEN, QUERIES, FEW, K = 512, 64, 400, 20, 10
Search = Callable[[np.ndarray], np.ndarray]


def vectors_and_queries(works: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 512) and (400, 512), of length 1: tanh of 64 hidden numbers, and noise."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(HIDDEN, WIDTH)).astype(np.float32) / 8
    vectors = np.empty((works, WIDTH), np.float32)
    for start in range(0, works, 10_000):
        part = vectors[start : start + 10_000]
        hidden = rng.normal(size=(len(part), HIDDEN)).astype(np.float32)
        part[:] = np.tanh(hidden @ mixing + 0.2 * rng.normal(size=part.shape))
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    near = vectors[rng.integers(works, size=QUERIES)]
    near = near + 0.02 * rng.normal(size=near.shape).astype(np.float32)
    return vectors, near / np.linalg.norm(near, axis=1, keepdims=True)


def graph(vectors: np.ndarray) -> Any:
    """FAISS's own HNSW over the vectors as they are."""
    made: Any = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    made.hnsw.efConstruction = BUILD_BREADTH
    made.add(vectors)
    return made


def recall(search: Search, queries: np.ndarray, truth: np.ndarray) -> float:
    found = [search(queries[place : place + 1]) for place in range(len(queries))]
    return float(np.mean([len(set(a.ravel()) & set(b)) / K for a, b in zip(found, truth, strict=True)]))


def tuned(made: Any, queries: np.ndarray, truth: np.ndarray) -> Search:
    for breadth in (16, 32, 64, 128, 256, 512, 1024):
        made.hnsw.efSearch = breadth
        if recall(lambda query: made.search(query, K)[1], queries, truth) >= 0.95:
            break
    return lambda query: made.search(query, K)[1]


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    vectors, queries = vectors_and_queries(works)
    scores = [-(vectors @ query) for query in queries]
    truth = np.stack([np.argpartition(row, K)[:K] for row in scores])
    ids = pd.DataFrame({"id": [str(number) for number in range(works)]})
    opened = Index.build(out / f"index-{works}", vectors, ids)
    direct = tuned(graph(vectors), queries, truth)

    def ours(query: np.ndarray) -> np.ndarray:
        return opened.search(query, K)[1]

    def scan(query: np.ndarray) -> np.ndarray:
        return np.argpartition(-(vectors @ query[0]), K)[:K]

    def each(search: Search, count: int) -> Callable[[], None]:
        return lambda: [search(queries[place : place + 1]) for place in range(count)].clear()

    contenders = [
        Contender("ours", each(ours, QUERIES), QUERIES),
        Contender("faiss", each(direct, QUERIES), QUERIES),
        Contender("scan", each(scan, FEW), FEW),
    ]
    absent = missing("similar", "scikit-learn NearestNeighbors", "peer", "sklearn")
    if absent is None:
        from sklearn.neighbors import NearestNeighbors

        fitted = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(vectors)
        contenders.append(Contender("sklearn", each(lambda query: fitted.kneighbors(query)[1], FEW), FEW))
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

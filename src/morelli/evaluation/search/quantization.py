"""The copies of vectors that a search goes through first, in FAISS: 8-bit ones to scan, 16-bit ones in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.console import progress
from morelli.evaluation.search.projection import Projection

# Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
# world graphs", TPAMI 2020. Links a work and breadth while building; while searching the least of BREADTHS by which
# works of the index find so large a share of their ten nearest
HNSW_M, EF_CONSTRUCTION = 32, 64
RECALL, EF_SEARCH = 0.97, (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_TRIED, _NEAREST = 256, 10  # works that try a breadth, and how many of the nearest they ask for
_ROWS = 8192


def build_codes(
    vectors: NDArray[np.float32], short: Projection | None, backend: str
) -> tuple[Any, float, float]:
    """FAISS's index of the copies of ``vectors`` (N, D), what one step of them is worth, and the greatest distance
    between a vector, shortened by ``short`` where there is one, and its copy.

    A scan (``backend`` ``exact``) waits for memory and reads 8-bit copies; queries are to be rounded to whole steps
    too: FAISS multiplies integers, and exactly. A graph (``hnsw``) waits for arithmetic as well: bfloat16 is read with
    less of it than 8 bits, and takes half of what float32 takes.
    """
    faiss = get_faiss()
    width = len(short.rotation) if short else vectors.shape[1]
    codes: Any
    if backend == "hnsw":
        kind = faiss.ScalarQuantizer.QT_bf16
        codes = faiss.IndexHNSWSQ(width, kind, HNSW_M, faiss.METRIC_INNER_PRODUCT)
        codes.hnsw.efConstruction = EF_CONSTRUCTION
    else:
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        codes = faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)

    def blocks() -> Iterator[NDArray[np.floating]]:
        for start in range(0, len(vectors), _ROWS):
            block = vectors[start : start + _ROWS]
            yield short.of(block) if short else block

    step = 1.0
    if backend == "exact":
        step = max(float(np.abs(block).max()) for block in blocks()) / 127 or 1.0
    error = 0.0
    with progress("indexing", len(vectors), keep=False) as advance:
        for block in blocks():
            codes.add((np.rint(block / step) if backend == "exact" else block).astype(np.float32))
            copy = codes.reconstruct_n(codes.ntotal - len(block), len(block))
            error = max(error, float(np.linalg.norm(block - copy * step, axis=1).max()))
            advance(len(block))
    return codes, step, error


def choose_ef_search(codes: Any, vectors: NDArray[np.float32]) -> int:
    """The least breadth by which the graph finds ``RECALL`` of the ten nearest of 256 works, the work itself among
    them; the greatest where none does."""
    faiss = get_faiss()
    queries = vectors[np.sort(np.random.default_rng(0).permutation(len(vectors))[:_TRIED])]
    truth = faiss.knn(queries, vectors, _NEAREST, metric=faiss.METRIC_INNER_PRODUCT)[1]
    for ef_search in EF_SEARCH:
        parameters = faiss.SearchParametersHNSW(efSearch=ef_search)
        nearest = codes.search(queries, _NEAREST, params=parameters)[1]
        recall = np.mean([len(set(a) & set(b)) / _NEAREST for a, b in zip(nearest, truth, strict=True)])
        if recall >= RECALL:
            break
    return ef_search


def get_faiss() -> Any:
    """FAISS, without its type hints, which are those of its C++ and not of the Python calls."""
    import faiss

    return faiss

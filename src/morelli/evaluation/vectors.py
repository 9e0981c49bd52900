"""Vectors of length one, and the highest of each row: what search, retrieval and the audit share."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError

Float = TypeVar("Float", np.float32, np.float64)


def unit_rows(vectors: NDArray[np.floating], dtype: type[Float]) -> NDArray[Float]:
    """The rows of ``vectors`` (N, D) divided by their length, computed in ``dtype``; a row of zeros stays zero.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]), np.float64)
    array([[0.6, 0.8],
           [0. , 0. ]])

    Raises :class:`DataError` where a length is not finite.
    """
    wide = np.ascontiguousarray(vectors, dtype)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    check_finite(length)
    return np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)


def check_finite(values: NDArray[np.floating]) -> None:
    """Raises :class:`DataError` where one of the numbers of an embedding is not finite."""
    if not np.isfinite(values).all():
        raise DataError(
            "an embedding holds a value that is not a number; the network has diverged, train again"
        )


def highest(values: NDArray[Float], count: int) -> tuple[NDArray[Float], NDArray[np.int64]]:
    """The ``count`` highest of each row of ``values`` (B, M), highest first, of equals the first: the values and
    their columns, both (B, count), with ``count`` from 1 to M.

    >>> highest(np.array([[1.0, 3.0, 2.0, 3.0]]), 2)
    (array([[3., 3.]]), array([[1, 3]]))
    """
    smallest = np.partition(values, -count, axis=1)[:, -count, None]
    reached = values >= smallest
    tied = np.flatnonzero(reached.sum(axis=1) > count)
    for row in tied:
        last = np.flatnonzero(values[row] == smallest[row])
        reached[row, last[count - int((values[row] > smallest[row]).sum()) :]] = False
    columns = (np.flatnonzero(reached) % values.shape[1]).reshape(len(values), count)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    return np.take_along_axis(values, columns, axis=1), columns

"""The works that a filter leaves, and those of an artist or a group of near-duplicates."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.collection import Collection
from morelli.collection.images import prepare
from morelli.collection.names import class_key, is_unknown
from morelli.errors import UsageError
from morelli.recipe import TASKS


def artists_of(collection: Collection) -> NDArray[np.object_]:
    """(N,) the artist of each work, also where too rare to be a class; None if unknown."""
    written = collection.table["artist_name"]
    classes = _names(collection, "artist")
    return np.array(
        [each if is_unknown(name) else str(name) for name, each in zip(written, classes, strict=True)],
        dtype=object,
    )


def rows_by_artist(collection: Collection, name: str, option: str = "--artist") -> NDArray[np.bool_]:
    """(N,) which works are by the artist ``name``. Raises :class:`UsageError` where none is."""
    return _members(artists_of(collection), [name], f"{option} {name}", "artist")


def near_duplicates(collection: Collection, query: str, row: int | None) -> NDArray[np.bool_]:
    """(N,) the works of the near-duplicate group of the query. An image file belongs to the groups of the works of
    which it is a near-duplicate, by the rule by which a collection finds its own."""
    from morelli.collection.duplicates import near_duplicate_pairs

    groups = collection.table["group"].to_numpy()
    if row is not None:
        return groups == groups[row]
    size = collection.info["size"]
    image = prepare(Path(query), size)
    distance = np.bitwise_count(collection.table["phash"].to_numpy(dtype=np.uint64) ^ np.uint64(image.phash))
    rows = np.flatnonzero(distance <= 8)
    works = [prepare(collection.read(int(each)), size) for each in rows]
    hashes = np.array([each.phash for each in (*works, image)], dtype=np.uint64)
    thumbs = np.array([np.frombuffer(each.thumb, np.uint8) for each in (*works, image)])
    pairs = near_duplicate_pairs(hashes, thumbs)
    return np.isin(groups, groups[rows[pairs[pairs[:, 1] == len(rows), 0]]])


def rows_where(collection: Collection, where: Mapping[str, str]) -> NDArray[np.bool_]:
    """(N,) the works of which every condition of ``where`` holds, {column: values}.

    A column is a task or any column of the collection's table. Values are separated by commas, and one suffices.
    Classes and other texts are compared as classes are ("Vincent van Gogh" is "vincent-van-gogh"); of a column of
    numbers or dates a value may also be a range, ends included: ``1890..1910``, ``1890..`` or ``..1910``; of a date
    the year counts. What is unknown fits nothing.

    Raises :class:`UsageError` for an unknown column, class or value, and where no work is left.
    """
    left = np.ones(len(collection.table), dtype=bool)
    for column, text in where.items():
        left &= _fits(collection, column, text)
    if not left.any():
        said = " ".join(f"--where {column}={text}" for column, text in where.items())
        raise UsageError(f"{said}: no work of the collection fits; leave out a condition")
    return left


def _fits(collection: Collection, column: str, text: str) -> NDArray[np.bool_]:
    said = f"--where {column}={text}"
    wanted = [value.strip() for value in text.split(",") if value.strip()]
    if not wanted:
        raise UsageError(f"{said}: gives no value; write {column}=VALUE or {column}=VALUE,VALUE")
    if column == "artist":
        return _members(artists_of(collection), wanted, said, column)
    if column in TASKS:
        return _members(_names(collection, column), wanted, said, column)
    if column not in collection.table:
        near = difflib.get_close_matches(column, [*TASKS, *collection.table], n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(map(str, collection.table))}"
        raise UsageError(f"{said}: the collection has no column {column}{hint}")
    values = collection.table[column]
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.year
    if pd.api.types.is_numeric_dtype(values) or any(".." in value for value in wanted):
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
        return np.logical_or.reduce([_between(numbers, value, said) for value in wanted])
    return _members(values.astype(object).to_numpy(), wanted, said, column)


def _between(numbers: NDArray[np.float64], value: str, said: str) -> NDArray[np.bool_]:
    low, dots, high = value.partition("..")
    try:
        least = float(low) if low else -np.inf
        most = (float(high) if high else np.inf) if dots else least
    except ValueError:
        raise UsageError(f"{said}: {value} is neither a number nor a range such as 1890..1910") from None
    return (numbers >= least) & (numbers <= most)


def _members(names: NDArray[np.object_], wanted: list[str], said: str, what: str) -> NDArray[np.bool_]:
    """(N,) which of ``names`` is one of ``wanted``, each of which must be there."""
    known = {class_key(str(name)): str(name) for name in names if not pd.isna(name)}
    keys = {class_key(value): value for value in wanted}
    for key, value in keys.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {known[near[0]]}?" if near else ""
            raise UsageError(f"{said}: no work has the {what} {value}{hint}")
    return np.array([not pd.isna(name) and class_key(str(name)) in keys for name in names], dtype=bool)


def _names(collection: Collection, task: str) -> NDArray[np.object_]:
    """(N,) the class of each work, None if unknown."""
    vocabulary: list[Any] = [*collection.vocabularies.get(task, []), None]
    return np.array(vocabulary, dtype=object)[collection.labels(task)]

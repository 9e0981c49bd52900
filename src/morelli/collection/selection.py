"""Selects works of a collection: by artist, and by the conditions of a filter."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.collection import Collection
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


def rows_where(collection: Collection, where: Mapping[str, str]) -> NDArray[np.bool_]:
    """(N,) the works of which every condition of ``where`` holds, {column: values}.

    A column is a task or any column of the collection's table. Values are separated by commas, and one suffices.
    Classes and other texts are compared as classes are ("Vincent van Gogh" is "vincent-van-gogh"); of a column of
    numbers or dates a value may also be a range, ends included: ``1890..1910``, ``1890..`` or ``..1910``; of a date
    the year counts; a column of yes and no is ``true`` or ``false``. What is unknown fits nothing.

    Raises :class:`UsageError` for an unknown column, class or value, and where no work is left.
    """
    fits = np.ones(len(collection.table), dtype=bool)
    for column, text in where.items():
        fits &= _fits(collection, column, text)
    if not fits.any():
        conditions = " ".join(f"--where {column}={text}" for column, text in where.items())
        raise UsageError(f"{conditions}: no work of the collection fits; leave out a condition")
    return fits


def _fits(collection: Collection, column: str, text: str) -> NDArray[np.bool_]:
    condition = f"--where {column}={text}"
    wanted = [value.strip() for value in text.split(",") if value.strip()]
    if not wanted:
        raise UsageError(f"{condition}: gives no value; write {column}=VALUE or {column}=VALUE,VALUE")
    if column == "artist":
        return _members(artists_of(collection), wanted, condition, column)
    if column in TASKS:
        return _members(_names(collection, column), wanted, condition, column)
    if column not in collection.table:
        near = difflib.get_close_matches(column, [*TASKS, *collection.table], n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(map(str, collection.table))}"
        raise UsageError(f"{condition}: the collection has no column {column}{hint}")
    values = collection.table[column]
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.year
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if is_number or any(".." in value for value in wanted):
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
        return np.logical_or.reduce([_between(numbers, value, condition) for value in wanted])
    return _members(values.astype(object).to_numpy(), wanted, condition, column)


def _between(numbers: NDArray[np.float64], value: str, condition: str) -> NDArray[np.bool_]:
    low, dots, high = value.partition("..")
    try:
        lowest = float(low) if low else -np.inf
        highest = (float(high) if high else np.inf) if dots else lowest
    except ValueError:
        raise UsageError(f"{condition}: {value} is neither a number nor a range such as 1890..1910") from None
    return (numbers >= lowest) & (numbers <= highest)


def _members(names: NDArray[np.object_], wanted: list[str], condition: str, what: str) -> NDArray[np.bool_]:
    """(N,) which of ``names`` is one of ``wanted``, each of which must be there."""
    known = {class_key(str(name)): str(name) for name in names if not pd.isna(name)}
    keys = {class_key(value): value for value in wanted}
    for key, value in keys.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {known[near[0]]}?" if near else ""
            raise UsageError(f"{condition}: no work has the {what} {value}{hint}")
    return np.array([not pd.isna(name) and class_key(str(name)) in keys for name in names], dtype=bool)


def _names(collection: Collection, task: str) -> NDArray[np.object_]:
    """(N,) the class of each work, None if unknown."""
    vocabulary: list[Any] = [*collection.vocabularies.get(task, []), None]
    return np.array(vocabulary, dtype=object)[collection.labels(task)]

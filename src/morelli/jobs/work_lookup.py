"""What a query names: an image file or a work of the collection."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from torch import Tensor

from morelli.collection.collection import Collection
from morelli.errors import DataError, ImageError, RunError, UsageError
from morelli.jobs.predict import read_pixels
from morelli.prediction.model import Model
from morelli.preprocessing.pixels import decode, square, to_tensor


def collection_of(run: Path) -> Collection:
    """The collection of ``run``. Raises :class:`RunError` where it is gone."""
    note = run / "collection.txt"
    try:
        folder = Path(note.read_text(encoding="utf-8").strip())
    except OSError:
        raise RunError(f"{note}: missing; write the folder of the run's collection into it") from None
    if not (folder / "collection.json").is_file():
        raise RunError(f"{run}: its collection was in {folder}, which is gone; write its folder into {note}")
    return Collection.open(folder)


def row_of(query: str, collection: Collection) -> int:
    """The row of the work whose id is ``query``. Raises :class:`UsageError`, with a suggestion, for no such id."""
    ids = collection.table["id"].astype(str)
    found = np.flatnonzero(ids == query)
    if len(found):
        return int(found[0])
    if Path(query).is_dir():
        raise UsageError(f"IMAGE {query}: is a folder; give one image")
    near = ids[ids.str.contains(Path(query).stem, case=False, regex=False)] if Path(query).stem else ids[:0]
    hint = f"did you mean {near.iloc[0]}?" if len(near) else f"an id looks like {ids.iloc[0]}"
    raise UsageError(
        f"IMAGE {query}: neither an image file nor the id of a work of {collection.folder}; {hint}"
    )


def pixels_of(model: Model, collection: Collection, query: str, row: int | None) -> Tensor:
    """The query as the network is to see it, (3, S, S) uint8; ``row`` is None for an image file.

    Raises :class:`DataError` where the file cannot be read.
    """
    if row is not None:
        return to_tensor(square(decode(collection.read(row)), model.recipe.image))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and TIFF tags warn; the decode decides
            return read_pixels(model, Path(query))
    except ImageError as error:
        raise DataError(f"{query}: cannot be read ({error.reason}); give another image") from None

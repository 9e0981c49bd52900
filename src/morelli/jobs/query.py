"""What a command's IMAGE names: an image file, or a work of the run's collection by its id."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from morelli.collection.collection import Collection
from morelli.collection.images import open_rgb
from morelli.errors import DataError, ImageError, UsageError
from morelli.prediction.model import Model
from morelli.prediction.reader import read_pixels
from morelli.preprocessing.pixels import decode, square, to_tensor
from morelli.run import Run

MAX_SIDE = 2000  # pixels of the longer side; more would only make figures slow


@dataclass(frozen=True)
class QueriedWork:
    """``image`` (H, W, 3) uint8 as it is, ``pixels`` (3, S, S) uint8 as the network sees it, a title, a name for a
    folder, and the labels given, {task: class}."""

    title: str
    folder: str
    image: np.ndarray
    pixels: Tensor
    labels: dict[str, str]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


def open_query(run: Path, model: Model, query: str) -> QueriedWork:
    """The painting that ``query`` names, an image file or the id of a work of the run's collection.

    Raises :class:`UsageError` where it names neither, :class:`DataError` where the file cannot be read, and
    :class:`RunError` where the collection is gone.
    """
    if Path(query).is_file():
        image, pixels = _open(model, Path(query))
        return QueriedWork(Path(query).name, _folder(Path(query).stem), _limited(image), pixels, {})
    collection = Run(run).open_collection()
    row = row_of(query, collection)
    labels = {}
    for task, names in collection.vocabularies.items():
        number = int(collection.labels(task)[row])
        if number >= 0:
            labels[task] = names[number]
    image = _original(collection, row)
    pixels = pixels_of(model, collection, query, row)
    return QueriedWork(query, _folder(str(Path(query).with_suffix(""))), _limited(image), pixels, labels)


def row_of(query: str, collection: Collection) -> int:
    """The row of the work whose id is ``query``. Raises :class:`UsageError`, with a suggestion, for no such id."""
    ids = collection.table["id"].astype(str)
    rows = np.flatnonzero(ids == query)
    if len(rows):
        return int(rows[0])
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


def _open(model: Model, file: Path) -> tuple[Image.Image, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and TIFF tags warn; the decode decides
            return open_rgb(file)[0], read_pixels(model, file)
    except ImageError as error:
        raise DataError(f"{file}: cannot be read ({error.reason}); give another image") from None


def _original(collection: Collection, row: int) -> Image.Image:
    """The image file of a work where it is still there, else its prepared image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return open_rgb(Path(str(collection.table["file"].iloc[row])))[0]
    except ImageError:
        return decode(collection.read(row))


def _limited(image: Image.Image) -> np.ndarray:
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _folder(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._")[:120] or "painting"

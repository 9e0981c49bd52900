"""The one painting that a command is about: an image file, or a work of the run's collection."""

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
from morelli.errors import DataError, ImageError
from morelli.jobs.predict import read_pixels
from morelli.jobs.work_lookup import pixels_of, row_of
from morelli.prediction.model import Model
from morelli.preprocessing.pixels import decode
from morelli.run import Run

LONGEST = 2000  # pixels of the longer side; more would only make figures slow


@dataclass(frozen=True)
class Painting:
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


def open_painting(run: Path, model: Model, query: str) -> Painting:
    """The painting that ``query`` names, an image file or the id of a work of the run's collection.

    Raises :class:`UsageError` where it names neither, :class:`DataError` where the file cannot be read, and
    :class:`RunError` where the collection is gone.
    """
    if Path(query).is_file():
        image, pixels = _open(model, Path(query))
        return Painting(Path(query).name, _folder(Path(query).stem), _limited(image), pixels, {})
    collection = Run(run).open_collection()
    row = row_of(query, collection)
    labels = {}
    for task, names in collection.vocabularies.items():
        number = int(collection.labels(task)[row])
        if number >= 0:
            labels[task] = names[number]
    image = _original(collection, row)
    pixels = pixels_of(model, collection, query, row)
    return Painting(query, _folder(str(Path(query).with_suffix(""))), _limited(image), pixels, labels)


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
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _folder(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._")[:120] or "painting"

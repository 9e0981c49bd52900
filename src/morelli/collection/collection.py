"""Opens a collection: a table of works (one row a painting, one split a painting), vocabularies and images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.corrections import verified_column
from morelli.collection.names import artist_names, class_key
from morelli.collection.store import ImageStore
from morelli.errors import DataError, UsageError
from morelli.files import read_json

VERSION = 1
_COLUMNS = ("id", "file", "artist", "style", "genre", "artist_name", "split", "shard", "row")


class Collection:
    """``table`` has the columns ``id, file, artist, style, genre, artist_name, split, group, shard, row, width,
    height, phash``, ``verified_TASK`` for each task and those of the source; labels are int32 numbers into
    ``vocabularies[task]``, −1 unknown."""

    def __init__(self, folder: Path, table: pd.DataFrame, info: dict[str, Any]) -> None:
        self.folder = folder
        self.table = table
        self.info = info
        self.vocabularies: dict[str, list[str]] = info["vocabularies"]

    @classmethod
    def open(cls, folder: str | Path, option: str = "--data") -> Collection:
        """Raises :class:`UsageError` where ``folder`` is no collection, :class:`DataError` where it is damaged."""
        folder = Path(folder)
        if not (folder / "collection.json").is_file():
            what = "is not a collection" if folder.exists() else "no such collection"
            raise UsageError(
                f"{option} {folder}: {what}; make one with: morelli collect IMAGES --out {folder}"
            )
        info = read_json(folder / "collection.json")
        if isinstance(info, dict) and info.get("version") != VERSION:
            raise DataError(f"{folder}: made by another version of morelli; collect again")
        if not isinstance(info, dict) or not {"vocabularies", "splits", "images_fingerprint"} <= info.keys():
            raise DataError(f"{folder / 'collection.json'}: does not describe a collection; collect again")
        try:
            table = pd.read_parquet(folder / "collection.parquet")
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise DataError(
                f"{folder / 'collection.parquet'}: cannot be read ({why:.80}); collect again"
            ) from None
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise DataError(f"{folder / 'collection.parquet'}: has no column {missing[0]}; collect again")
        return cls(folder, table, info)

    @cached_property
    def images(self) -> ImageStore:
        return ImageStore(self.folder / "images")

    @property
    def fingerprint(self) -> str:
        """Changes with the images (not with labels or splits): what cached features depend on."""
        return str(self.info["images_fingerprint"])

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split (``all`` is every row)."""
        if split == "all":
            return np.arange(len(self.table))
        return np.flatnonzero(self.table["split"] == split)

    def labels(self, task: str, vocabulary: list[str] | None = None) -> np.ndarray:
        """(N,) int32 class numbers of ``task``; with another ``vocabulary``, matched by the classes' names, and
        −1 for classes it does not have."""
        own = self.table[task].to_numpy(dtype=np.int32)
        names = self.vocabularies.get(task, [])
        if vocabulary is None or vocabulary == names:
            return own
        target = {class_key(name): number for number, name in enumerate(vocabulary)}
        lookup = np.array([target.get(class_key(name), -1) for name in names] + [-1], dtype=np.int32)
        return lookup[own]

    def verified(self, task: str) -> np.ndarray:
        """(N,) bool: works whose label of ``task`` a person confirmed or corrected. All false in a collection that
        records none."""
        column = verified_column(task)
        if column not in self.table:
            return np.zeros(len(self.table), dtype=bool)
        return self.table[column].to_numpy(dtype=bool)

    def with_labels(self, task: str, labels: np.ndarray, vocabulary: list[str] | None = None) -> Collection:
        """The same works with other ``labels`` (N,) of ``task``, in memory: class numbers into ``vocabulary`` (that of
        the collection unless given), −1 unknown.

        Where the artist changes, ``artist_name`` follows, spelt as the artist's other works spell it. Splits and
        ``verified`` stay.
        """
        names = self.vocabularies[task] if vocabulary is None else vocabulary
        changed = labels != self.labels(task, names)
        table = self.table.assign(**{task: labels.astype(np.int32)})
        if task == "artist":
            new = np.array([*names, None], dtype=object)[labels]
            written = np.where(changed, None, table["artist_name"])
            table["artist_name"] = artist_names(np.where(changed, new, None), written)
        info = self.info | {"vocabularies": self.vocabularies | {task: names}}
        return Collection(self.folder, table, info)

    def prolific_artists(self, min_works: int) -> list[str]:
        """The names of the artists of at least ``min_works`` training works, classes or not, in order."""
        training = self.table["split"] == "train"
        counts = self.table.loc[training, "artist_name"].value_counts()
        return sorted(str(name) for name in counts.index[counts >= min_works])

    def artist_labels(self, artists: list[str]) -> np.ndarray:
        """(N,) int32 numbers into ``artists``, −1 for works of others."""
        number = {name: place for place, name in enumerate(artists)}
        return self.table["artist_name"].map(number).fillna(-1).to_numpy(np.int32)

    def read(self, index: int) -> bytes:
        """The prepared image of row ``index``, as JPEG bytes."""
        return self.images.read(int(self._places[index, 0]), int(self._places[index, 1]))

    @cached_property
    def _places(self) -> np.ndarray:
        return self.table[["shard", "row"]].to_numpy(dtype=np.int64)

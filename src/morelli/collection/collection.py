"""Opens a collection: a table of works (one row a painting, one split a painting), vocabularies and images."""

from __future__ import annotations

import html
import io
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from PIL import Image

from morelli.collection.corrections import verified_column
from morelli.collection.names import artist_names, class_key
from morelli.collection.store import ImageStore
from morelli.errors import DataError, UsageError
from morelli.files import data_url, read_json

VERSION = 1
_STORAGE = ["shard", "row", "phash", "style_also"]  # columns of the table that say nothing of a work
_PICTURE = '<img src="{}" title="{}" style="display:inline-block;height:110px;margin:2px">'
_SHOWN = 10  # works that a notebook shows
_COLUMNS = ("id", "file", "artist", "style", "genre", "artist_name", "split", "shard", "row")


class Collection:
    """A collection on disk, made by :func:`morelli.collect` and opened with :meth:`open`.

    ``works`` is a table of the works with the names of their classes. ``table`` is the same as it is stored: its
    columns are ``id, file, artist, style, genre, artist_name, split, group, shard, row, width, height, phash``,
    ``verified_TASK`` for each task and those of the source; labels are int32 numbers into ``vocabularies[task]``, −1
    unknown. ``folder`` is where the collection is and ``info`` what ``collection.json`` holds.

    >>> import morelli
    >>> collection = morelli.Collection.open("collection")
    >>> len(collection.works), sorted(collection.vocabularies)
    (60, ['artist', 'genre', 'style'])
    """

    def __init__(self, folder: Path, table: pd.DataFrame, info: dict[str, Any]) -> None:
        self.folder = folder
        self.table = table
        self.info = info
        self.vocabularies: dict[str, list[str]] = info["vocabularies"]

    @classmethod
    def open(cls, folder: str | Path, option: str = "--data") -> Collection:
        """The collection in ``folder``; ``option`` is what an error calls it.

        Raises :class:`UsageError` where ``folder`` is no collection, :class:`DataError` where it is damaged.

        >>> import morelli
        >>> morelli.Collection.open("collection").info["size"]
        32
        """
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

    @cached_property
    def works(self) -> pd.DataFrame:
        """One row a work: ``id``, ``file``, the name of its class in each task (missing where unknown),
        ``artist_name`` (also where the artist is too rare to be a class), ``split``, ``group`` of near-duplicates,
        ``width`` and ``height`` in pixels, and the source's own columns."""
        table = self.table.drop(columns=_STORAGE, errors="ignore")
        return table.assign(**{task: self.class_names(task) for task in self.vocabularies})

    def class_names(self, task: str) -> ExtensionArray:
        """(N,) the name of each work's class, missing where unknown.

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> set(collection.class_names("style").dropna()) == set(collection.vocabularies["style"])
        True
        """
        names = np.array([*self.vocabularies.get(task, []), None], dtype=object)
        return pd.array(names[self.labels(task)], dtype="string")

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split (``all`` is every row).

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> sum(len(collection.rows(split)) for split in ("train", "val", "test"))
        60
        """
        if split == "all":
            return np.arange(len(self.table))
        return np.flatnonzero(self.table["split"] == split)

    def labels(self, task: str, vocabulary: list[str] | None = None) -> np.ndarray:
        """(N,) int32 class numbers of ``task``; with another ``vocabulary``, matched by the classes' names, and
        −1 for classes it does not have.

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> set(collection.labels("style", ["No Such Style"]).tolist())
        {-1}
        """
        own = self.table[task].to_numpy(dtype=np.int32)
        names = self.vocabularies.get(task, [])
        if vocabulary is None or vocabulary == names:
            return own
        target = {class_key(name): number for number, name in enumerate(vocabulary)}
        lookup = np.array([target.get(class_key(name), -1) for name in names] + [-1], dtype=np.int32)
        return lookup[own]

    def verified(self, task: str) -> np.ndarray:
        """(N,) bool: works whose label of ``task`` a person confirmed or corrected. All false in a collection that
        records none.

        >>> import morelli
        >>> bool(morelli.Collection.open("collection").verified("style").any())
        False
        """
        column = verified_column(task)
        if column not in self.table:
            return np.zeros(len(self.table), dtype=bool)
        return self.table[column].to_numpy(dtype=bool)

    def with_labels(self, task: str, labels: np.ndarray, vocabulary: list[str] | None = None) -> Collection:
        """The same works with other ``labels`` (N,) of ``task``, in memory: class numbers into ``vocabulary`` (that of
        the collection unless given), −1 unknown.

        Where the artist changes, ``artist_name`` follows, spelt as the artist's other works spell it. Splits and
        ``verified`` stay.

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> unknown = collection.with_labels("style", collection.labels("style") * 0 - 1)
        >>> int(unknown.works["style"].notna().sum())
        0
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
        """The names of the artists of at least ``min_works`` training works, classes or not, in order.

        >>> import morelli
        >>> morelli.Collection.open("collection").prolific_artists(1000)
        []
        """
        training = self.table["split"] == "train"
        counts = self.table.loc[training, "artist_name"].value_counts()
        return sorted(str(name) for name in counts.index[counts >= min_works])

    def artist_labels(self, artists: list[str]) -> np.ndarray:
        """(N,) int32 numbers into ``artists``, −1 for works of others.

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> int(collection.artist_labels(list(collection.works["artist_name"].iloc[:1]))[0])
        0
        """
        number = {name: place for place, name in enumerate(artists)}
        return self.table["artist_name"].map(number).fillna(-1).to_numpy(np.int32)

    def read(self, index: int) -> bytes:
        """The prepared image of row ``index``, as JPEG bytes.

        >>> import morelli
        >>> morelli.Collection.open("collection").read(0)[:2]
        b'\\xff\\xd8'
        """
        return self.images.read(int(self._places[index, 0]), int(self._places[index, 1]))

    @cached_property
    def _places(self) -> np.ndarray:
        return self.table[["shard", "row"]].to_numpy(dtype=np.int64)

    def image(self, work: str) -> Image.Image:
        """The prepared image, in RGB, of the work whose id is ``work``. Raises :class:`UsageError` for no such id.

        >>> import morelli
        >>> collection = morelli.Collection.open("collection")
        >>> min(collection.image(collection.works["id"].iloc[0]).size)
        32
        """
        rows = np.flatnonzero(self.table["id"].astype(str) == work)
        if not len(rows):
            raise UsageError(f"{work}: no work of {self.folder} has this id; collection.works lists them")
        return Image.open(io.BytesIO(self.read(int(rows[0])))).convert("RGB")

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {count:,}" for name, count in self.info["splits"].items())
        classes = ", ".join(f"{len(names)} {task}s" for task, names in self.vocabularies.items())
        return f"Collection {self.folder}: {len(self.table):,} works ({splits}); {classes}"

    def _repr_html_(self) -> str:
        """A row of works from all over the collection under the counts."""
        count = len(self.table)
        rows = sorted({int(row) for row in np.linspace(0, count - 1, _SHOWN)}) if count else []
        works = "".join(
            _PICTURE.format(data_url(self.read(row), "jpeg"), html.escape(str(self.table["id"].iat[row])))
            for row in rows
        )
        return f"<p>{html.escape(repr(self))}</p>{works}"

"""Finds listed paths on disk, although mirrors rename folders, drop accents and apostrophes."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from morelli.collection.ledger import Ledger
from morelli.collection.names import FOLDER_ALIASES, match_keys, repair_mojibake
from morelli.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".jfif", ".avif"}


def walk_images(folder: Path, strange: list[str] | None = None) -> list[str]:
    """Relative POSIX paths of every file with an image's extension, sorted; hidden files are passed over, and a
    folder that links lead to again. Names that are not UTF-8 are left out and added to ``strange``."""
    if not folder.is_dir():
        kind = "is a file; give the folder that holds the images" if folder.exists() else "no such folder"
        raise UsageError(f"{folder}: {kind}")
    names: list[str] = []
    visited: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        inside = Path(root).relative_to(folder).as_posix()
        prefix = "" if inside == "." else inside + "/"
        names += [prefix + f for f in files if not f.startswith(".") and Path(f).suffix.lower() in SUFFIXES]
    good = [name for name in names if name.isascii() or _is_text(name)]
    if strange is not None:
        strange += [os.fsencode(name).decode("utf-8", "replace") for name in sorted(set(names) - set(good))]
    return sorted(good)


def walk_and_report(folder: Path, ledger: Ledger) -> list[str]:
    """As :func:`walk_images`; names that are not UTF-8 go to the ledger."""
    strange: list[str] = []
    names = walk_images(folder, strange)
    for name in strange:
        ledger.add("bad-name", name)
    return names


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Disk:
    """The files under a folder, and which listed path each of them is."""

    def __init__(self, images: Path, ledger: Ledger) -> None:
        self.images = images
        self.ledger = ledger
        self.left = set(walk_and_report(images, ledger))

    def match(self, table: pd.DataFrame) -> pd.DataFrame:
        """Adds ``file`` to each row of ``table`` (column ``id``); rows without a file are dropped and reported,
        and so are files that no row names."""
        table = table.assign(file=[self._exact(path) for path in table["id"]])
        waiting = table.index[table["file"].isna()]
        table.loc[waiting, "file"] = self._loose(list(table.loc[waiting, "id"]))
        for path in table.loc[table["file"].isna(), "id"]:
            self.ledger.add("missing-file", path)
        for path in sorted(self.left):
            self.ledger.add("unlisted-file", path)
        table = table[table["file"].notna()].reset_index(drop=True)
        return table.assign(file=[str(self.images / f) for f in table["file"]])

    def _exact(self, path: str) -> str | None:
        if path in self.left:
            self.left.discard(path)
            return path
        return None

    def _loose(self, paths: list[str]) -> list[str | None]:
        """Matches by ever looser keys; only where one path and one file share a key."""
        result: dict[str, str] = {}
        keys = {path: match_keys(path) for path in [*paths, *self.left]} if self.left else {}
        for rank in range(3):
            if not self.left:
                break
            files = self._by_key(self.left, keys, rank)
            wanted = self._by_key([p for p in paths if p not in result], keys, rank)
            for key, candidates in wanted.items():
                if len(candidates) == 1 and len(files.get(key, ())) == 1:
                    path, file = candidates[0], files[key][0]
                    result[path] = file
                    self.left.discard(file)
                    self.ledger.add(_difference(path, file), path, f"on disk {file}")
        return [result.get(path) for path in paths]

    @staticmethod
    def _by_key(
        paths: list[str] | set[str], keys: dict[str, tuple[str, str]], rank: int
    ) -> dict[str, list[str]]:
        """``rank`` 0: accents folded; 1: accents dropped; 2: folded, the folder left out."""
        index: dict[str, list[str]] = defaultdict(list)
        for path in sorted(paths):
            folded, dropped = keys[path]
            index[(folded, dropped, folded.rpartition("/")[2])[rank]].append(path)
        return index


def _difference(path: str, file: str) -> str:
    """The kind of repair that made ``path`` meet ``file``."""
    listed, on_disk = PurePosixPath(path), PurePosixPath(file)
    if listed.parent != on_disk.parent and listed.name == on_disk.name:
        both = {listed.parent.as_posix().lower(), on_disk.parent.as_posix().lower()}
        alias = any({a, c.lower()} == both for a, c in FOLDER_ALIASES.items())
        return "folder-alias" if alias else "folder-moved"
    if unicodedata.normalize("NFC", repair_mojibake(file)) == path and repair_mojibake(file) != file:
        return "mojibake"
    if _without_apostrophes(path) == _without_apostrophes(file):
        return "apostrophe"
    return "name-drift"


def _without_apostrophes(path: str) -> str:
    for mark in ("'", "’", "‘", "`", "%27", "_39_", "&#39;"):
        path = path.replace(mark, "")
    return path

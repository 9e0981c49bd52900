"""Reads the ArtGAN layout: ``IMAGES/<Style>/<artist>_<title>.jpg`` and lists in three dialects.

Style and genre lists are CRLF, without a header, ``path,label``; artist lists are LF, with a header and an
empty line, ``path,,label``. A reader must survive all of them, and paths that are not on disk.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import artist_of, folder_class, is_unknown, repair_mojibake
from morelli.collection.sources.matching import Disk
from morelli.errors import DataError
from morelli.recipe import TASKS

_HEADER = re.compile(r"path|image|class|label|style|genre|artist", re.IGNORECASE)
_HALVES = ("train", "val")


def read_artgan(images: Path, lists: Path, artists: str, ledger: Ledger) -> pd.DataFrame:
    """One row a listed painting that is on disk: ``id, file, artist, style, genre, official``.

    ``artists`` is ``names`` (from file names) or ``official`` (from the artist lists). Labels are class names
    or None. ``official`` is ``train`` or ``val``: the style list's word, else genre's, else artist's.
    Raises :class:`DataError` where no list can be read.
    """
    files = _find_lists(lists)
    if not files:
        raise DataError(
            f"--lists {lists}: holds no list such as style_train.csv; give the folder with the ArtGAN lists"
        )
    rows: dict[str, dict[str, list[tuple[str, str]]]] = defaultdict(dict)
    for task in TASKS:
        for half, file in files.get(task, {}).items():
            names = _read_classes(lists, task)
            for path, number in read_list(file, ledger):
                name = names.get(number)
                if name is None:
                    ledger.add("unknown-class", path, f"{file.name}: class {number}")
                rows[path].setdefault(task, []).append((name or "", half))
    if not rows:
        raise DataError(f"--lists {lists}: the lists hold no row; check that they are not empty")
    table = pd.DataFrame([_merge(path, labels, artists, ledger) for path, labels in rows.items()])
    _report_aliases(table, ledger)
    return Disk(images, ledger).match(table)


def read_list(file: Path, ledger: Ledger) -> Iterator[tuple[str, int]]:
    """(path, class number) of each row; the first row counts unless it is a header."""
    seen_row = False
    for number, line in enumerate(_lines(file), start=1):
        text = line.strip().strip("\ufeff")
        if not text.strip(",; \t"):
            ledger.add("blank-line", file.name, f"line {number}")
            continue
        path, label = _split_row(text)
        if path and re.fullmatch(r"[+-]?\d+", label):
            seen_row = True
            if "," not in text:
                ledger.add("odd-separator", path, f"{file.name} line {number}")
            if int(label) >= 0:
                yield _repaired(path, ledger), int(label)
            else:
                ledger.add("unknown-label", path, f"{file.name}: class {label}")
        elif not seen_row and _HEADER.search(text) and "/" not in text:
            ledger.add("header-line", file.name, text)
        else:
            ledger.add("malformed-row", text, f"{file.name} line {number}")


def _split_row(text: str) -> tuple[str, str]:
    """Splits at the last comma (a path may hold one), or at a semicolon or tab where there is no comma."""
    for mark in (",", ";", "\t"):
        path, separator, label = text.rpartition(mark)
        if separator:
            clean = path.rstrip(mark).strip().strip('"').replace("\\", "/")
            return clean.removeprefix("./"), label.strip().strip('"')
    return "", text


def _repaired(path: str, ledger: Ledger) -> str:
    fixed = repair_mojibake(path)
    if fixed != path:
        ledger.add_once("mojibake", path, f"now {fixed}")
    return fixed


def _lines(file: Path) -> list[str]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: the list cannot be read ({error.strerror}); check the file") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").splitlines()
    if b"\0" in data[:4096]:
        raise DataError(f"{file}: is not a text file; give the list as CSV text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.removesuffix("\n").split("\n") if text else []


def _find_lists(lists: Path) -> dict[str, dict[str, Path]]:
    """``{task: {"train": file, "val": file}}`` of the lists that are there, whatever the case of their names."""
    if not lists.is_dir():
        raise DataError(
            f"--lists {lists}: no such folder; give the folder with style_train.csv and its sisters"
        )
    by_name = {p.name.lower(): p for p in lists.iterdir() if p.is_file()}
    files = {
        task: {h: by_name[f"{task}_{h}.csv"] for h in _HALVES if f"{task}_{h}.csv" in by_name}
        for task in TASKS
    }
    return {task: halves for task, halves in files.items() if halves}


def _read_classes(lists: Path, task: str) -> dict[int, str]:
    """``<task>_class.txt``: a number and a name a line."""
    file = next((p for p in lists.iterdir() if p.name.lower() == f"{task}_class.txt"), None)
    if file is None:
        raise DataError(
            f"{lists / f'{task}_class.txt'}: missing; put the class names beside {task}_train.csv"
        )
    names = {}
    for line in _lines(file):
        number, _, name = line.strip().strip("\ufeff").replace(",", " ").partition(" ")
        if number.isdigit() and name.strip():
            names[int(number)] = name.strip()
    if not names:
        raise DataError(f"{file}: holds no line such as '0 Impressionism'; check the file")
    return names


def _merge(
    path: str, labels: dict[str, list[tuple[str, str]]], artists: str, ledger: Ledger
) -> dict[str, str | None]:
    """One painting out of its rows in all lists."""
    row: dict[str, str | None] = {"id": path}
    for task in TASKS:
        row[task] = _one_label(path, task, [name for name, _ in labels.get(task, [])], ledger)
    if artists == "names":
        name = artist_of(path)
        row["artist"] = None if is_unknown(name) else name
    row["artist_name"] = artist_of(path) or row["artist"]
    halves = {task: half for task in TASKS for _, half in labels.get(task, [])}
    row["official"] = next(halves[task] for task in ("style", "genre", "artist") if task in halves)
    if len({half for rows in labels.values() for _, half in rows}) > 1:
        named = ", ".join(f"{task} {half}" for task, half in halves.items())
        ledger.add("split-disagreement", path, f"{named}; taken as {row['official']}")
    return row


def _one_label(path: str, task: str, names: list[str], ledger: Ledger) -> str | None:
    known = sorted({name for name in names if not is_unknown(name)})
    if len(known) > 1:
        ledger.add("contradiction", path, f"{task}: {' and '.join(known)}")
        return None
    if len(names) > 1 and known:
        ledger.add("duplicate-row", path, task)
    return known[0] if known else None


def _report_aliases(table: pd.DataFrame, ledger: Ledger) -> None:
    folders = table["id"].str.partition("/")[0]
    for folder, count in folders.value_counts().items():
        if folder_class(str(folder)) != folder:
            ledger.add("folder-alias", str(folder), f"{count} works of {folder_class(str(folder))}")

"""Reads a museum's own table (CSV or Parquet with a path column), or folders named after classes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import artist_of, folder_class, is_unknown
from morelli.collection.sources.matching import Disk, walk_and_report
from morelli.errors import DataError, UsageError
from morelli.recipe import TASKS

_PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
_SPLITS |= {"test": "test", "testing": "test"}


def read_table(images: Path, table_file: Path, ledger: Ledger) -> pd.DataFrame:
    """One row a work of the table that is on disk; labels may be in any of the columns ``artist``, ``style``,
    ``genre``; a column ``split`` is kept as ``official``; other columns travel along.

    Raises :class:`DataError` where the table has no path column, no label column or no row.
    """
    table = _load(table_file)
    table.columns = [str(c).strip().strip("\ufeff") for c in table.columns]
    table = table.rename(columns={c: c.lower() for c in table.columns if c.lower() in (*TASKS, "split")})
    path_column = next((c for name in _PATH_COLUMNS for c in table.columns if c.lower() == name), None)
    if path_column is None:
        raise DataError(f"--table {table_file}: has no path column; name one of its columns 'path'")
    if not set(TASKS) & set(table.columns):
        raise DataError(f"--table {table_file}: has none of the columns artist, style, genre; add one")
    if table.empty:
        raise DataError(f"--table {table_file}: has no row; add a row for each image")
    table = table[table[path_column].notna()]
    table = table.assign(id=[_inside(str(p), images) for p in table[path_column]])
    for task in TASKS:
        cells = table[task] if task in table.columns else pd.Series([None] * len(table), index=table.index)
        table[task] = [None if is_unknown(cell) else str(cell).strip() for cell in cells]
    table["artist_name"] = table["artist"]
    table["official"] = _official(table, table_file)
    table = _merge_repeated(table.drop(columns=[path_column, "split"], errors="ignore"), ledger)
    return Disk(images, ledger).match(table)


def read_folders(images: Path, task: str, artists: str, ledger: Ledger) -> pd.DataFrame:
    """Class folders: ``IMAGES/<class>/file``; the folder's name is the label of ``task``. Artists are read
    from file names of the kind ``artist-slug_title`` unless ``artists`` is ``official``."""
    paths = walk_and_report(images, ledger)
    inside = [p for p in paths if "/" in p]
    for path in sorted(set(paths) - set(inside)):
        ledger.add("unlisted-file", path, "not in a class folder")
    if not inside:
        raise DataError(
            f"{images}: holds no class folder with images; give --lists or --table, or one folder a class"
        )
    rows = []
    for path in inside:
        label = folder_class(path.split("/")[-2])
        artist = artist_of(path) if artists == "names" else None
        row = dict.fromkeys(TASKS) | {"artist": artist, task: None if is_unknown(label) else label}
        rows.append(
            {"id": path, "file": str(images / path), "artist_name": row["artist"], "official": None} | row
        )
    return pd.DataFrame(rows)


def _load(file: Path) -> pd.DataFrame:
    if not file.is_file():
        what = "is a folder" if file.exists() else "no such file"
        raise UsageError(f"--table {file}: {what}; give a CSV or Parquet file with a row for each image")
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(file)
        head = file.read_bytes()[:65536]
        if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError("it is not text")
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else _encoding(file)
        first = head.decode(encoding, "ignore").split("\n", 1)[0]
        mark = max(",;\t", key=first.count)
        return pd.read_csv(file, sep=mark, dtype=str, encoding=encoding, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise DataError(f"--table {file}: is empty; add a header and a row for each image") from None
    except (ValueError, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"--table {file}: cannot be read as CSV or Parquet ({why:.80}); check the file"
        ) from None


def _encoding(file: Path) -> str:
    try:
        file.read_text(encoding="utf-8")
        return "utf-8-sig"
    except UnicodeDecodeError:
        return "cp1252"


def _inside(path: str, images: Path) -> str:
    """A path as written in the table, relative to the images' folder."""
    clean = path.strip().replace("\\", "/").removeprefix("./")
    if clean.startswith("/"):
        try:
            return Path(clean).relative_to(images.absolute()).as_posix()
        except ValueError:
            return clean.lstrip("/")
    return clean


def _official(table: pd.DataFrame, file: Path) -> list[str | None]:
    if "split" not in table.columns:
        return [None] * len(table)
    words = [None if is_unknown(w) else str(w).strip().lower() for w in table["split"]]
    strange = next((w for w in words if w is not None and w not in _SPLITS), None)
    if strange is not None:
        raise DataError(f"--table {file}: split '{strange}' is none of train, val, test; correct the column")
    return [None if w is None else _SPLITS[w] for w in words]


def _merge_repeated(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Rows of the same path become one; labels that contradict each other become unknown."""
    if not table["id"].duplicated().any():
        return table.reset_index(drop=True)
    rows = []
    for path, group in table.groupby("id", sort=False):
        row = group.iloc[0].copy()
        if len(group) > 1:
            ledger.add("duplicate-row", str(path), f"{len(group)} rows")
        for task in TASKS:
            known = sorted(set(group[task].dropna()))
            row[task] = known[0] if len(known) == 1 else None
            if len(known) > 1:
                ledger.add("contradiction", str(path), f"{task}: {' and '.join(known)}")
        rows.append(row)
    return pd.DataFrame(rows).reset_index(drop=True)

"""Corrections a person made: the labels of an audit's ``candidates.csv`` whose column ``correct_label`` was filled in.

They are class names, applied to the table of works before classes are counted and numbered, so that a corrected work
counts for its new class.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import class_key, is_unknown
from morelli.errors import DataError, UsageError
from morelli.recipe import TASKS

COLUMN = "correct_label"
KEEP = "keep"


def read_corrections(file: Path) -> pd.DataFrame:
    """The filled-in rows of a CSV or Parquet file with the columns ``id``, ``task`` and ``correct_label``: a table of
    ``id``, ``task`` and ``label``, where ``unknown`` takes a label away (None) and rows that say ``keep`` are left out.

    A file with columns ``id``, ``task``, ``label`` is read as well. A row given twice counts once. Raises
    :class:`UsageError` for a file that is not there and :class:`DataError` for one without these columns, with an
    unknown task, or with two labels of one task for one work.
    """
    table = _load(file)
    column = COLUMN if COLUMN in table.columns else "label"
    for name in ("id", "task", column):
        if name not in table.columns:
            wanted = COLUMN if name == column else name
            raise DataError(
                f"{file}: has no column {wanted}; give an audit's candidates.csv with it filled in"
            )
    cells = table[column].astype("string").str.strip()
    filled = cells.notna() & (cells != "") & (cells.str.lower() != KEEP)
    made = pd.DataFrame({"id": table["id"], "task": table["task"], "label": cells})[filled.fillna(False)]
    made = made.astype({"id": "string", "task": "string"}).drop_duplicates()
    for task in made["task"].unique():
        if task not in TASKS:
            raise DataError(f"{file}: its column task says {task}; it must be one of {', '.join(TASKS)}")
    twice = made[made.duplicated(["id", "task"])]
    if len(twice):
        raise DataError(
            f"{file}: {twice['id'].iloc[0]} has two corrections of its {twice['task'].iloc[0]}; leave one"
        )
    labels = [None if is_unknown(label) else str(label) for label in made["label"]]
    return made.assign(label=pd.Series(labels, index=made.index, dtype=object)).reset_index(drop=True)


def apply_corrections(
    works: pd.DataFrame, corrections: pd.DataFrame, file: Path, ledger: Ledger
) -> pd.DataFrame:
    """The table with the corrected labels; ``works`` has a column ``id`` and one of class names a task, None unknown.

    A label is written as the class is already spelt; a new class is allowed where no near spelling exists. The artist's
    name goes with the artist. Each correction is noted in the ledger. Raises :class:`DataError` naming ``file`` where a
    work is not in the table, or a label is probably a misspelt class.
    """
    works = works.copy()
    places = {name: place for place, name in enumerate(works["id"].astype(str))}
    for name in corrections["id"]:
        if name not in places:
            raise DataError(f"{file}: corrects {name}, which is not among these works; remove that row")
    for task, rows in corrections.groupby("task", sort=False):
        there = {class_key(str(n)): str(n) for n in works[task].dropna().unique()}
        labels = works[task].astype(object).to_list()
        artists = works["artist_name"].astype(object).to_list() if "artist_name" in works else []
        for name, given in zip(rows["id"], rows["label"], strict=True):
            place, label = places[name], _spelt(given, there, str(task), file)
            before = labels[place]
            if label == before or (label is None and pd.isna(before)):
                continue
            labels[place] = label
            if task == "artist" and artists:
                artists[place] = label
            said = f"{task}: {'unknown' if pd.isna(before) else before} → {label or 'unknown'}"
            ledger.add("corrected", name, said)
        works[task] = labels
        if task == "artist" and artists:
            works["artist_name"] = artists
    return works


def _spelt(label: str | None, there: dict[str, str], task: str, file: Path) -> str | None:
    """The class as it is spelt among the works; a misspelt one is an error."""
    if label is None:
        return None
    key = class_key(label)
    if key in there:
        return there[key]
    near = difflib.get_close_matches(key, there, n=1, cutoff=0.9)
    if near:
        raise DataError(f"{file}: no work has the {task} {label}; did you mean {there[near[0]]}?")
    return label


def _load(file: Path) -> pd.DataFrame:
    if not file.is_file():
        what = "is a folder" if file.exists() else "no such file"
        raise UsageError(
            f"--corrections {file}: {what}; give an audit's candidates.csv with labels filled in"
        )
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype="string")
    except (OSError, ValueError) as error:  # pandas' and Arrow's own are among them
        why = (str(error).splitlines() or ["damaged"])[0]
        raise DataError(f"{file}: cannot be read ({why:.80}); save it as CSV with UTF-8 text") from None
    return table.rename(columns={name: str(name).strip().strip("\ufeff") for name in table.columns})

"""Applies a person's corrections to labels: the column ``correct_label`` of an audit's ``candidates.csv``, filled in.

They are class names, applied before classes are counted and numbered, so that a corrected work counts for its new
class. A label that a person changed or confirmed is marked as verified.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import artist_names, class_key, is_unknown
from morelli.errors import DataError, UsageError
from morelli.recipe import TASKS

COLUMN = "correct_label"
KEEP = "keep"


def verified_column(task: str) -> str:
    """The column of a collection's table that is true where a person confirmed or corrected the label of ``task``."""
    return f"verified_{task}"


def read_corrections(file: Path) -> pd.DataFrame:
    """The filled-in rows of a CSV or Parquet file with the columns ``id``, ``task`` and ``correct_label``: a table of
    ``id``, ``task``, ``label`` and ``keep``. ``unknown`` takes a label away (None); ``keep``, in any case of letters,
    confirms the one that is there (``label`` None, ``keep`` true).

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
    keep = (cells.str.lower() == KEEP).fillna(False).astype(bool)
    filled = (cells.notna() & (cells != "")).fillna(False)
    rows = pd.DataFrame({"id": table["id"], "task": table["task"], "label": cells.mask(keep), "keep": keep})
    rows = rows[filled].astype({"id": "string", "task": "string"}).drop_duplicates()
    for task in rows["task"].unique():
        if task not in TASKS:
            raise DataError(f"{file}: its column task says {task}; it must be one of {', '.join(TASKS)}")
    twice = rows[rows.duplicated(["id", "task"])]
    if len(twice):
        raise DataError(
            f"{file}: {twice['id'].iloc[0]} has two corrections of its {twice['task'].iloc[0]}; leave one"
        )
    labels = [None if is_unknown(label) else str(label) for label in rows["label"].astype(object)]
    return rows.assign(label=pd.Series(labels, index=rows.index, dtype=object)).reset_index(drop=True)


def apply_corrections(
    works: pd.DataFrame, corrections: pd.DataFrame, file: Path, ledger: Ledger
) -> pd.DataFrame:
    """The table with the corrected labels; ``works`` has a column ``id`` and one of class names a task, None unknown.

    A label is written as the class is already spelt; a new class is allowed where no near spelling exists. The artist's
    name goes with the artist. ``verified_TASK`` becomes true for each work that has a row. Each correction and each
    confirmation is noted in the ledger. Raises :class:`DataError` naming ``file`` where a work is not in the table, or
    a label is probably a misspelt class.
    """
    works = works.copy()
    places = {name: place for place, name in enumerate(works["id"].astype(str))}
    for name in corrections["id"]:
        if name not in places:
            raise DataError(f"{file}: corrects {name}, which is not among these works; remove that row")
    for task, rows in corrections.groupby("task", sort=False):
        existing = _spellings(works, str(task))
        labels, artists = works[task].astype(object).to_list(), works["artist_name"].astype(object).to_list()
        verified = works.get(verified_column(str(task)), pd.Series(False, works.index)).to_numpy(copy=True)
        for name, given, keep in zip(rows["id"], rows["label"], rows["keep"], strict=True):
            place = places[name]
            verified[place] = True
            before = labels[place]
            label = before if keep else _spelt(given, existing, str(task), file)
            if task == "artist" and label is None and not keep and pd.isna(before):
                before = artists[place]  # an artist too rare to be a class, who is taken away
            if keep or label == before or (label is None and pd.isna(before)):
                ledger.add("verified", name, f"{task}: {'unknown' if pd.isna(before) else before}")
                continue
            labels[place] = label
            if task == "artist":
                artists[place] = None  # the label says who it is now
            change = f"{task}: {'unknown' if pd.isna(before) else before} → {label or 'unknown'}"
            ledger.add("corrected", name, change)
        works[task] = labels
        works[verified_column(str(task))] = verified
        if task == "artist":
            works["artist_name"] = artist_names(labels, artists)
    return works


def _spellings(works: pd.DataFrame, task: str) -> dict[str, str]:
    """{key: class as the works spell it}, artists too rare to be a class among them."""
    columns = ("artist_name", "artist") if task == "artist" else (task,)
    return {class_key(str(n)): str(n) for column in columns for n in works[column].dropna().unique()}


def _spelt(label: str | None, existing: dict[str, str], task: str, file: Path) -> str | None:
    """The class as it is spelt among the works; a misspelt one is an error."""
    if label is None:
        return None
    key = class_key(label)
    if key in existing:
        return existing[key]
    near = difflib.get_close_matches(key, existing, n=1, cutoff=0.9)
    if near:
        raise DataError(f"{file}: no work has the {task} {label}; did you mean {existing[near[0]]}?")
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

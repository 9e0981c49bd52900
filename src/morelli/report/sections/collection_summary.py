"""What a collection holds, in figures: sizes, imbalance, the most represented artists, repairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.errors import MorelliError
from morelli.files import read_json
from morelli.report.figures.style import SPLIT_COLOURS, display_name
from morelli.run import Run

ARTISTS = 10  # of so many the report gives the number of works
_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_SHEETS = {"repairs": "Repaired", "rejections": "Left out", "notes": "Noticed"}


def sizes(works: pd.DataFrame) -> str:
    """How many works and artists there are, and how they are split, in one sentence."""
    counts = works["split"].value_counts()
    parts = [f"{counts[split]:,d} {name}" for split, name in _SPLITS.items() if counts.get(split)]
    if counts.get("none"):
        parts.append(f"{counts['none']:,d} in no split")
    artists = works["artist_name"].nunique()
    by = f" by {artists:,d} {'artist' if artists == 1 else 'artists'}" if artists else ""
    return f"{len(works):,d} works{by}: {', '.join(parts)}."


def collection_summary(works: pd.DataFrame, vocabularies: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Rows of the table of classes, one cell a task: how many there are, and how unequal."""
    columns = [_classes(works[task].to_numpy(), names, task) for task, names in vocabularies.items()]
    labels = {
        "Classes": "with at least one work",
        "Works": "label known",
        "Largest class": "works",
        "Smallest class": "works",
        "Imbalance": "largest over smallest",
    }
    return [
        {"label": label, "hint": hint, "cells": [column[place] for column in columns]}
        for place, (label, hint) in enumerate(labels.items())
    ]


def _classes(labels: np.ndarray, names: list[str], task: str) -> list[tuple[str, str]]:
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    held = np.flatnonzero(counts)
    unknown = int((labels < 0).sum())
    known = (f"{counts.sum():,d}", f"{unknown:,d} unknown" if unknown else "")
    if not len(held):
        return [("0", ""), known, ("–", ""), ("–", ""), ("–", "")]
    # of equals the first of the vocabulary
    most, least = held[counts[held].argmax()], held[counts[held].argmin()]
    ends = [(f"{counts[k]:,d}", display_name(names[k])) for k in (most, least)]
    return [(f"{len(held):,d}", ""), known, *ends, (f"{counts[most] / counts[least]:,.1f}\u00a0×", "")]


def artists(works: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """The most represented artists, whether they are a class of the run or not: works of each split, and of all."""
    splits = list(SPLIT_COLOURS)
    used = works[works["split"].isin(splits)]
    counts = pd.crosstab(used["artist_name"], used["split"]).reindex(columns=splits, fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts = counts.sort_index().sort_values("all", ascending=False, kind="stable").head(ARTISTS)
    return [(display_name(str(name)), [int(n) for n in row]) for name, row in counts.iterrows()]


def repairs(run: Path) -> list[tuple[str, list[tuple[str, int]]]]:
    """What ``collect`` repaired, left out and noticed, by sheet: the meaning and the number of cases, most frequent
    first. Empty where the collection is gone or does not say."""
    try:
        counts = read_json(Run(run).collection_folder() / "report.json")
        sheets = {
            name: [(row["meaning"], int(row["count"])) for row in counts[name].values()] for name in _SHEETS
        }
    except (MorelliError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [
        (title, sorted(sheets[name], key=lambda row: -row[1]))
        for name, title in _SHEETS.items()
        if sheets[name]
    ]

"""Choosing works and classes: by class, by number of works, by a seeded subset; and numbering the labels."""

from __future__ import annotations

import difflib

import numpy as np
import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import class_key
from morelli.errors import UsageError
from morelli.recipe import TASKS


def choose(
    works: pd.DataFrame,
    only: dict[str, list[str]],
    subset: int | None,
    top_artists: int | None,
    seed: int,
    ledger: Ledger,
) -> pd.DataFrame:
    """Keeps the works asked for: with one of the classes ``only[task]``, then a random ``subset`` of them;
    artists beyond the ``top_artists`` most represented become unknown; works without any label are dropped."""
    for task, names in only.items():
        wanted = _known(task, names, works)
        keep = works[task].map(lambda name, w=wanted: name is not None and class_key(str(name)) in w)
        works = _keep(works, keep.to_numpy(dtype=bool), ledger, "not-chosen", f"{task} is not chosen")
    if top_artists is not None:
        counts = works["artist"].value_counts()
        top = set(sorted(counts.index, key=lambda name: (-counts[name], name))[:top_artists])
        works = works.assign(artist=[name if name in top else None for name in works["artist"]])
    labelled = works[list(TASKS)].notna().any(axis=1).to_numpy()
    works = _keep(works, labelled, ledger, "no-label", "")
    if subset is not None and subset < len(works):
        chosen = np.zeros(len(works), dtype=bool)
        order = works["id"].argsort().to_numpy()
        chosen[order[np.random.default_rng(seed).permutation(len(works))[:subset]]] = True
        works = _keep(works, chosen, ledger, "not-chosen", f"outside the subset of {subset}")
    return works.reset_index(drop=True)


def drop_rare(works: pd.DataFrame, min_works: int, ledger: Ledger) -> pd.DataFrame:
    """Labels of classes with fewer than ``min_works`` works become unknown; the works stay."""
    works = works.copy()
    for task in TASKS:
        counts = works[task].value_counts()
        rare = counts[counts < min_works]
        for name, count in rare.items():
            ledger.add("rare-class", f"{task} {name}", f"{count} works")
        works[task] = [None if pd.isna(name) or name in rare.index else name for name in works[task]]
    return works


def number_labels(works: pd.DataFrame) -> dict[str, list[str]]:
    """Replaces class names by numbers into the returned sorted vocabularies, −1 where unknown (in place)."""
    vocabularies: dict[str, list[str]] = {}
    for task in TASKS:
        names = sorted(set(works[task].dropna()))
        index = {name: number for number, name in enumerate(names)}
        works[task] = np.array([index.get(name, -1) for name in works[task]], dtype=np.int32)
        vocabularies[task] = names
    return vocabularies


def forget_unseen_artists(
    works: pd.DataFrame, vocabularies: dict[str, list[str]]
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """For splits that no artist straddles: artists outside training become unknown, for no network trained here
    can have seen them, and leave the vocabulary."""
    names = vocabularies["artist"]
    given = works["artist"].to_numpy()
    training = (works["split"] == "train").to_numpy()
    seen = sorted(set(given[training]) - {-1})
    renumbered = np.full(len(names) + 1, -1, dtype=np.int32)  # the last place is for −1
    renumbered[seen] = np.arange(len(seen))
    artist = np.where(training, renumbered[given], -1).astype(np.int32)
    return works.assign(artist=artist), vocabularies | {"artist": [names[k] for k in seen]}


def _keep(works: pd.DataFrame, keep: np.ndarray, ledger: Ledger, kind: str, detail: str) -> pd.DataFrame:
    for name in works["id"].to_numpy()[~keep]:
        ledger.add(kind, name, detail)
    return works[keep]


def _known(task: str, names: list[str], works: pd.DataFrame) -> set[str]:
    """Keys of the chosen classes; a name that no work has is an error with the nearest one that is there."""
    there = {class_key(str(name)): str(name) for name in works[task].dropna().unique()}
    for name in names:
        if class_key(name) not in there:
            near = difflib.get_close_matches(class_key(name), there, n=1)
            hint = (
                f"; did you mean {there[near[0]]}?"
                if near
                else f"; known are {', '.join(there.values()):.200}"
            )
            raise UsageError(f"--only {task}={name}: no work has this {task}{hint}")
    return {class_key(name) for name in names}

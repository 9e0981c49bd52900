"""Chooses works and classes for a collection (by class, by number of works, a random subset) and numbers the labels."""

from __future__ import annotations

import difflib

import numpy as np
import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import class_key
from morelli.errors import UsageError
from morelli.recipe import TASKS


def choose(
    given: pd.DataFrame,
    works: pd.DataFrame,
    only: dict[str, list[str]],
    subset: int | None,
    top_artists: int | None,
    seed: int,
    ledger: Ledger,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Keeps the works asked for: with one of the classes ``only[task]``, then a random ``subset`` of them;
    artists beyond the ``top_artists`` most represented become unknown; works without any label are dropped.

    ``given`` and ``works`` are the same works with the labels of their source and as corrected; without a correction
    they are the same table. Returns those chosen by the corrected labels, and those chosen by the source's labels (None
    without a correction), from which the subset and the splits are drawn, so that no correction moves another work. A
    work that only a correction brings among those asked for is kept beside the subset.
    """
    _check_classes(only, works)
    chosen = _asked_for(works, only, top_artists, ledger)
    basis = chosen if given is works else _asked_for(given, only, top_artists, Ledger())
    if subset is not None and subset < len(basis):
        drawn = np.zeros(len(basis), dtype=bool)
        order = basis["id"].argsort().to_numpy()
        drawn[order[np.random.default_rng(seed).permutation(len(basis))[:subset]]] = True
        outside = chosen["id"].isin(basis["id"][~drawn]).to_numpy()
        basis = basis[drawn]
        chosen = _keep(chosen, ~outside, ledger, "not-chosen", f"outside the subset of {subset}")
    chosen = chosen.reset_index(drop=True)
    return chosen, None if given is works else basis.reset_index(drop=True)


def _asked_for(
    works: pd.DataFrame, only: dict[str, list[str]], top_artists: int | None, ledger: Ledger
) -> pd.DataFrame:
    for task, names in only.items():
        wanted = {class_key(name) for name in names}
        keep = works[task].map(lambda name, w=wanted: name is not None and class_key(str(name)) in w)
        works = _keep(works, keep.to_numpy(dtype=bool), ledger, "not-chosen", f"{task} is not chosen")
    if top_artists is not None:
        counts = works["artist"].value_counts()
        top = set(sorted(counts.index, key=lambda name: (-counts[name], name))[:top_artists])
        works = works.assign(artist=[name if name in top else None for name in works["artist"]])
    labelled = works[list(TASKS)].notna().any(axis=1).to_numpy()
    return _keep(works, labelled, ledger, "no-label", "")


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


def mend_class_names(works: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Line breaks in class names become spaces; names with a semicolon and a space, which also join the classes of a
    prediction set in CSV, are noted."""
    works = works.copy()
    for column in (*TASKS, "artist_name"):
        mended: dict[object, object] = {}
        for name in works[column].dropna().unique():
            lines = str(name).splitlines()
            mended[name] = " ".join(line.strip() for line in lines) if len(lines) > 1 else name
            if column in TASKS and len(lines) > 1:
                ledger.add("line-break", f"{column} {mended[name]}")
            if column in TASKS and "; " in str(name):
                ledger.add("odd-class-name", f"{column} {mended[name]}")
        if any(name != plain for name, plain in mended.items()):
            works[column] = [mended.get(name, name) for name in works[column]]
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


def _check_classes(only: dict[str, list[str]], works: pd.DataFrame) -> None:
    """A chosen class that no work has is an error with the nearest one that there is."""
    for task, names in only.items():
        existing = {class_key(str(name)): str(name) for name in works[task].dropna().unique()}
        for name in names:
            if class_key(name) not in existing:
                near = difflib.get_close_matches(class_key(name), existing, n=1)
                known = f"known are {', '.join(existing.values()):.200}"
                hint = f"did you mean {existing[near[0]]}?" if near else known
                raise UsageError(f"--only {task}={name}: no work has this {task}; {hint}")

"""Leakage: works of a scored split that the network may have seen already, as the same picture or in the same series.

Three signs, each judged on its own: ``group`` (a near-duplicate by perceptual hash and thumbnail, which splits
keep together), ``hash`` (a perceptual hash at most 6 of 64 bits away: mostly the same work
in another scan, or a variant of it), and ``series`` (a work of the same artist under the same title without its
numbers: a numbered study, or a motif painted again). Copies inflate a score; a series is a fair part of a painter's
work, but it shows how much of a score is recognition of a motif.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.names import artist_of
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores import metrics

LEAKAGE_KINDS = {
    "group": "near-duplicate: hash and thumbnail agree",
    "hash": "perceptual hash equal, or nearly",
    "series": "same artist and title, numbers left out",
}
# the splits a split's score must not have seen: training, and what chose the epoch and the temperature
SEEN = {"test": ("train", "val"), "val": ("train",)}
# among 12,358 real paintings most pairs of different splits within 6 bits are one work or variants of it (the rest
# are monochromes and busts alike by chance); of those at 8 bits hardly one is
MAX_BITS_APART = 6
_EMPTY_TITLES = {"", "untitled", "not detected", "unknown title", "no title", "title unknown", "unknown"}
_EMPTY_TITLES |= {"no", "nr", "number"}
_WORD = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"[^\W_]*\d[^\W_]*")
_TRAILING = re.compile(
    r"^(?:detail|fragment|study|sketch|version|variant|unfinished|copy|state|[ivx]+|[a-d])$"
)


@dataclass(frozen=True)
class Leakage:
    """Row numbers of the scored works (n,), and for each kind where in the table each one's twin is, (n,), −1 none."""

    rows: NDArray[np.int64]
    twins: dict[str, NDArray[np.int64]]

    def leaked(self, *kinds: str) -> NDArray[np.bool_]:
        """Which scored works (n,) leak in any of these kinds (of every kind where none is named)."""
        chosen = [self.twins[kind] >= 0 for kind in kinds or self.twins if kind in self.twins]
        return np.logical_or.reduce([np.zeros(len(self.rows), bool), *chosen])


def find_leakage(table: pd.DataFrame, split: str) -> Leakage | None:
    """Looks for each work of ``split`` among those its score must not have seen; ``None`` for a split that has none.

    ``table`` is a collection: ``id``, ``split``, ``artist_name``, and ``group`` and ``phash`` (uint64) where it
    has them; a kind whose column is missing is left out.
    """
    if split not in SEEN:
        return None
    scored = np.flatnonzero(table["split"] == split)
    seen = np.flatnonzero(table["split"].isin(SEEN[split]))
    twins = {}
    if "group" in table:
        groups = table["group"].to_numpy()
        twins["group"] = _first_equal(groups[scored], groups[seen], seen)
    if "phash" in table:
        hashes = table["phash"].to_numpy(np.uint64)
        twins["hash"] = _nearest_hash(hashes[scored], hashes[seen], seen)
    keys = np.array(
        [series_key(i, a) for i, a in zip(table["id"], table["artist_name"], strict=True)], dtype=object
    )
    twins["series"] = _first_equal(keys[scored], keys[seen], seen)
    return Leakage(scored, twins)


def series_key(name: str, artist: object) -> str | None:
    """Artist and title of a work ``artist_title-1878-2.jpg`` without numbers and words such as "study" at the end;
    ``None`` where the name is not of that kind, the artist is not known, or the title tells nothing ("untitled").

    >>> series_key("Impressionism/claude-monet_haystacks-at-giverny-2.jpg", "claude-monet")
    'claude-monet haystacks at giverny'
    >>> series_key("Pop_Art/andy-warhol_untitled-1962.jpg", "andy-warhol")
    """
    if not isinstance(artist, str) or not artist or artist_of(name) is None:
        return None
    file = name.rpartition("/")[2]
    title = (file.rpartition(".")[0] or file).partition("_")[2].lower()
    kept = _WORD.findall(_NUMBERED.sub(" ", title))
    while len(kept) > 1 and _TRAILING.match(kept[-1]):
        kept.pop()
    title = " ".join(kept)
    return None if title in _EMPTY_TITLES else f"{artist} {title}"


def leakage_report(leakage: Leakage, table: pd.DataFrame, split: str, examples: int = 20) -> dict[str, Any]:
    """``{"split", "seen", "works", "kinds": {kind: {"meaning", "works", "share", "examples"}}, "any"}`` for JSON.

    ``examples`` are pairs ``[scored work, seen work]``, evenly drawn from all.
    """
    ids = table["id"].to_numpy()
    total = len(leakage.rows)
    kinds = {}
    for kind, twins in leakage.twins.items():
        rows = np.flatnonzero(twins >= 0)
        shown = rows[np.unique(np.linspace(0, len(rows) - 1, min(examples, len(rows))).astype(int))]
        kinds[kind] = {
            "meaning": LEAKAGE_KINDS[kind],
            "works": len(rows),
            "share": len(rows) / total if total else None,
            "examples": [[str(ids[leakage.rows[i]]), str(ids[twins[i]])] for i in shown],
        }
    every = int(leakage.leaked().sum())
    return {
        "split": split,
        "seen": list(SEEN[split]),
        "works": total,
        "kinds": kinds,
        "any": {"works": every, "share": every / total if total else None},
    }


def accuracy_without(predictions: Predictions, leakage: Leakage, table: pd.DataFrame) -> dict[str, Any]:
    """For each task the accuracy (0–1, 95 % interval, works) of the works without a copy of a seen work
    (``copies``: group and hash), and without any sign (``any``)."""
    ids = table["id"].to_numpy()
    by_name = {}
    for name, kinds in (("copies", ("group", "hash")), ("any", ())):
        leaked = set(ids[leakage.rows[leakage.leaked(*kinds)]])
        clean = np.array([i not in leaked for i in predictions.ids], bool)
        by_name[name] = {task: _accuracy(given, clean) for task, given in predictions.tasks.items()}
    return {task: {name: tasks[task] for name, tasks in by_name.items()} for task in predictions.tasks}


def _accuracy(task: TaskPredictions, keep: NDArray[np.bool_]) -> dict[str, Any]:
    keep = keep & task.known
    works, hits = int(keep.sum()), int((task.predicted == task.labels)[keep].sum())
    interval = list(metrics.bootstrap_share(hits, works)) if works else None
    return {"accuracy": hits / works if works else None, "accuracy_ci95": interval, "n": works}


def _first_equal(scored: NDArray[Any], seen: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the first seen value equal to each scored one, −1 where there is none; ``None`` equals nothing."""
    first = pd.Series(rows, index=seen)
    first = first[first.index.notna() & ~first.index.duplicated()]
    return pd.Series(scored).map(first).fillna(-1).to_numpy(np.int64)


def _nearest_hash(
    scored: NDArray[np.uint64], seen: NDArray[np.uint64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The row of the nearest seen hash, −1 where it is more than ``MAX_BITS_APART`` away. Exact, about 2 s for
    24,000 × 57,000 on one core."""
    if not len(scored) or not len(seen):
        return np.full(len(scored), -1, np.int64)
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(np.ascontiguousarray(seen).view(np.uint8).reshape(-1, 8))
    distance, nearest = index.search(np.ascontiguousarray(scored).view(np.uint8).reshape(-1, 8), 1)
    return np.where(distance[:, 0] <= MAX_BITS_APART, rows[nearest[:, 0]], -1)

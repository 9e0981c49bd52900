"""A case: one task's predictions with all else that speaks for or against its labels.

Cross-task evidence is what the other labels say: a style that nobody else gave this artist, or a year in which
nobody painted so. Each work is left out of the counts that judge it, and so are near-duplicates of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.evaluation.audit.neighbours import Neighbours, nearest_works, votes
from morelli.evaluation.predictions import Predictions, TaskPredictions

TASKS = ("artist", "style", "genre")
_YEARS = ("year", "date", "completion_year")
_BANDWIDTH, _REACH = 10.0, 40  # years
_LATEST = 5000  # a number beyond is no year
_FLOOR = 1e-6


@dataclass(frozen=True)
class Column:
    """Another label of N works: ``values`` (N,) numbers into ``names``, −1 unknown."""

    values: NDArray[np.int64]
    names: list[str]


class Shared:
    """What the cases of several tasks have in common: the embedding, and the neighbours, sought once."""

    def __init__(self, embedding: NDArray[np.floating] | None, groups: NDArray[np.integer]) -> None:
        self.embedding, self.groups = embedding, groups

    @cached_property
    def neighbours(self) -> Neighbours | None:
        return None if self.embedding is None else nearest_works(self.embedding, self.groups)


@dataclass(frozen=True)
class TaskEvidence:
    """One task of N works: its ``name`` and predictions; the ``second`` opinion, probabilities (N, K); the ``others``,
    labels of other tasks by name; ``years`` (N,), NaN unknown. Parts that are missing say nothing."""

    name: str
    task: TaskPredictions
    shared: Shared
    second: NDArray[np.float32] | None = None
    others: Mapping[str, Column] = field(default_factory=dict)
    years: NDArray[np.float64] | None = None

    @classmethod
    def plain(
        cls, task: TaskPredictions, embedding: NDArray[np.floating] | None = None, name: str = ""
    ) -> TaskEvidence:
        """A case of which nothing is known beside the predictions."""
        return cls(name, task, Shared(embedding, np.arange(len(task.labels))))

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Works that a label rule can judge (N,): the label is known, and so carried by some work that is not the
        same picture; of a class of one nothing can be learned."""
        labels = self.task.labels
        pairs = np.unique(np.stack([labels, self.shared.groups]), axis=1)
        groups = np.bincount(pairs[0][pairs[0] >= 0], minlength=len(self.task.names))
        return (labels >= 0) & (groups[np.maximum(labels, 0)] > 1)

    @cached_property
    def prior(self) -> NDArray[np.float64]:
        """The frequency of each class (K,), every class counted once more than it occurs."""
        counts = np.bincount(self.task.labels[self.task.known], minlength=len(self.task.names)) + 1.0
        return counts / counts.sum()

    @cached_property
    def opinions(self) -> dict[str, NDArray[np.float32]]:
        """What each source of evidence says of each class: log of its probability over the class's frequency, (N, K),
        0 where it says nothing."""
        said = {"network": self.task.probabilities}
        if self.second is not None:
            said["second opinion"] = self.second
        if self.shared.neighbours is not None:
            said["neighbours"] = votes(self.shared.neighbours, self.task.labels, self.prior)
        made = {name: self._ratio(probabilities) for name, probabilities in said.items()}
        return made | self.cross

    @cached_property
    def cross(self) -> dict[str, NDArray[np.float32]]:
        """The opinions that come from other labels and the year alone."""
        labels, groups = self.task.labels, self.shared.groups
        made = {
            name: self._ratio(other_label(labels, self.prior, other.values, groups))
            for name, other in self.others.items()
        }
        if self.years is not None and np.isfinite(self.years).any():
            made["year"] = self._ratio(year(labels, self.prior, self.years, groups))
        return made

    def _ratio(self, probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        ratio = np.log(np.maximum(probabilities, _FLOOR, dtype=np.float32))
        ratio -= np.log(self.prior).astype(np.float32)
        return ratio


def cases(
    predictions: Predictions,
    table: pd.DataFrame,
    vocabularies: Mapping[str, list[str]],
    second: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, TaskEvidence]:
    """A case for each task of ``predictions``, with the evidence of the collection's ``table``, whose rows are the
    same works in the same order; ``vocabularies`` name its class numbers."""
    groups = table["group"].to_numpy(np.int64) if "group" in table else np.arange(len(table))
    shared = Shared(predictions.embedding, groups)
    columns = {name: _column(table, name, vocabularies) for name in TASKS}
    years = _years(table)
    return {
        name: TaskEvidence(
            name,
            task,
            shared,
            (second or {}).get(name),
            {other: c for other, c in columns.items() if other != name and (c.values >= 0).any()},
            years,
        )
        for name, task in predictions.tasks.items()
    }


def other_label(
    labels: NDArray[np.integer],
    prior: NDArray[np.floating],
    values: NDArray[np.integer],
    groups: NDArray[np.integer],
    strength: float = 1.0,
) -> NDArray[np.float32]:
    """How probable each class is for works that share this work's value of another label: (N, K).

    The labels of such works are counted, without the work's own group, and smoothed with the class frequencies
    ``prior`` (K,), which have ``strength`` votes; where ``values`` (N,) is −1 they alone remain.
    """
    known = (labels >= 0) & (values >= 0)
    counts = np.zeros((int(values.max(initial=-1)) + 1, len(prior)), np.float32)
    np.add.at(counts, (values[known], labels[known]), 1)
    probabilities = np.zeros((len(labels), len(prior)), np.float32)
    probabilities[values >= 0] = counts[values[values >= 0]]
    rows = np.flatnonzero(known)
    # only groups of several works need more than the work itself taken away
    alone = _alone(groups)
    probabilities[rows[alone[rows]], labels[rows[alone[rows]]]] -= 1
    crowd = np.flatnonzero(~alone & (values >= 0))
    for _, members in pd.Series(crowd).groupby([groups[crowd], values[crowd]]):
        inside = members.to_numpy()
        own = np.bincount(labels[inside][labels[inside] >= 0], minlength=len(prior))
        probabilities[inside] -= own.astype(np.float32)
    return (probabilities + strength * prior.astype(np.float32)) / (
        probabilities.sum(axis=1, keepdims=True) + np.float32(strength)
    )


def year(
    labels: NDArray[np.integer],
    prior: NDArray[np.floating],
    years: NDArray[np.floating],
    groups: NDArray[np.integer],
) -> NDArray[np.float32]:
    """How probable each class is in a work's year, (N, K): a Gaussian kernel (10 years) over the years of the works
    outside the work's own group, smoothed with one vote of ``prior`` (K,), which alone remains where the year is
    NaN. ``years`` lie between −5000 and 5000."""
    dated = np.isfinite(years)
    whole = np.rint(np.where(dated, years, 0)).astype(np.int64)
    first, last = (int(f(whole[dated])) for f in (np.min, np.max)) if dated.any() else (0, 0)
    counts = np.zeros((last - first + 1, len(prior)))
    known = dated & (labels >= 0)
    np.add.at(counts, (whole[known] - first, labels[known]), 1)
    kernel = _kernel(np.arange(-_REACH, _REACH + 1))
    smooth = np.stack([np.convolve(np.pad(c, _REACH), kernel, mode="valid") for c in counts.T], axis=1)
    probabilities = np.zeros((len(labels), len(prior)), np.float32)
    probabilities[dated] = smooth[whole[dated] - first]
    probabilities[known, labels[known]] -= 1  # the kernel at its middle: the work itself
    crowd = np.flatnonzero(dated & ~_alone(groups))
    for _, members in pd.Series(crowd).groupby(groups[crowd]):
        copies = members.to_numpy()
        inside = copies[known[copies]]
        weight = _kernel(whole[copies, None] - whole[inside])
        weight[copies[:, None] == inside] = 0
        probabilities[copies] -= weight @ np.eye(len(prior), dtype=np.float32)[labels[inside]]
    probabilities = np.maximum(probabilities, 0) + prior.astype(np.float32)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _alone(groups: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The works (N,) without a near-duplicate."""
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return sizes[places] == 1


def _kernel(apart: NDArray[np.integer]) -> NDArray[np.float32]:
    """How much a work counts that lies so many years away."""
    return np.where(np.abs(apart) <= _REACH, np.exp(-0.5 * (apart / _BANDWIDTH) ** 2), 0).astype(np.float32)


def _column(table: pd.DataFrame, name: str, vocabularies: Mapping[str, list[str]]) -> Column:
    """The artist is known by name also where the class is too rare to be one."""
    if name == "artist" and "artist_name" in table:
        numbers, names = pd.factorize(table["artist_name"])
        return Column(numbers.astype(np.int64), [str(value) for value in names])
    return Column(table[name].to_numpy(np.int64), vocabularies.get(name, []))


def _years(table: pd.DataFrame) -> NDArray[np.float64] | None:
    """The years of works (N,), NaN unknown, by the first column of :data:`_YEARS` that holds any: a number, a date, or
    a text such as "c. 1889-90", whose first four digits count. None where there is no such column."""
    columns = {str(name).lower(): name for name in table}
    for name in (columns[wanted] for wanted in _YEARS if wanted in columns):
        cells = table[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            years = cells.dt.year.to_numpy(np.float64)
        else:
            numbers = pd.to_numeric(cells, errors="coerce")
            written = cells.astype("string").str.extract(r"(?<!\d)(\d{4})(?!\d)")[0].astype("Float64")
            years = numbers.astype("Float64").fillna(written).to_numpy(np.float64, na_value=np.nan)
        years = np.where(np.abs(years) <= _LATEST, years, np.nan)
        if np.isfinite(years).any():
            return years
    return None

"""The evidence about the labels of one task: its predictions, and all else that speaks for or against them.

Cross-task evidence is what the other labels make probable: a style that nobody else gave this artist, or a year in
which nobody painted so. Each work is left out of the counts that judge it, and so are near-duplicates of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.evaluation.audit.neighbours import Neighbours, nearest_works, neighbour_votes
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.recipe import TASKS

YEAR_COLUMNS = ("year", "date", "completion_year")
BANDWIDTH = 10.0  # years, the standard deviation of the kernel
MAX_YEARS_APART = 40  # beyond, the kernel is 0
MAX_YEAR = 5000  # a larger number is no year
MIN_PROBABILITY = 1e-6  # so that no opinion is infinite


@dataclass(frozen=True)
class Column:
    """Another label of N works: ``values`` (N,) numbers into ``names``, −1 unknown."""

    values: NDArray[np.int64]
    names: list[str]


class SharedEvidence:
    """What the tasks of the same N works share: the embedding (N, D), the groups of near-duplicates (N,), and the
    nearest works, which are searched for once."""

    def __init__(self, embedding: NDArray[np.floating] | None, groups: NDArray[np.integer]) -> None:
        self.embedding, self.groups = embedding, groups

    @cached_property
    def neighbours(self) -> Neighbours | None:
        return None if self.embedding is None else nearest_works(self.embedding, self.groups)


@dataclass(frozen=True)
class TaskEvidence:
    """One task of N works: its ``name`` and predictions; the ``second_opinion``, probabilities (N, K) of a small second
    classifier; the ``others``, labels of other tasks by name; ``years`` (N,), NaN unknown; and which labels a person
    ``verified`` (N,), none unless given. Evidence that is missing has no part in any opinion."""

    name: str
    task: TaskPredictions
    shared: SharedEvidence
    second_opinion: NDArray[np.float32] | None = None
    others: Mapping[str, Column] = field(default_factory=dict)
    years: NDArray[np.float64] | None = None
    verified: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if not len(self.verified):
            object.__setattr__(self, "verified", np.zeros(len(self.task.labels), bool))

    @classmethod
    def of_predictions(
        cls, task: TaskPredictions, embedding: NDArray[np.floating] | None = None, name: str = ""
    ) -> TaskEvidence:
        """The evidence of predictions alone."""
        return cls(name, task, SharedEvidence(embedding, np.arange(len(task.labels))))

    @cached_property
    def comparable(self) -> NDArray[np.bool_]:
        """Works whose label can be compared with others of its class (N,): it is known, and carried by some work that
        is not the same picture; of a class of one nothing can be learned."""
        labels = self.task.labels
        pairs = np.unique(np.stack([labels, self.shared.groups]), axis=1)
        groups = np.bincount(pairs[0][pairs[0] >= 0], minlength=len(self.task.names))
        return (labels >= 0) & (groups[np.maximum(labels, 0)] > 1)

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Works whose label is in question (N,): it can be compared, and no person verified it."""
        return self.comparable & ~self.verified

    @cached_property
    def prior(self) -> NDArray[np.float64]:
        """The frequency of each class (K,), every class counted once more than it occurs."""
        counts = np.bincount(self.task.labels[self.task.known], minlength=len(self.task.names)) + 1.0
        return counts / counts.sum()

    @cached_property
    def opinions(self) -> dict[str, NDArray[np.float32]]:
        """The opinion of each source of evidence: the logarithm of each class's probability over the class's
        frequency, (N, K), 0 where the source has nothing on a work."""
        probabilities = {"network": self.task.probabilities}
        if self.second_opinion is not None:
            probabilities["second opinion"] = self.second_opinion
        if self.shared.neighbours is not None:
            probabilities["neighbours"] = neighbour_votes(
                self.shared.neighbours, self.task.labels, self.prior
            )
        return {name: self._log_ratio(values) for name, values in probabilities.items()} | self.cross_task

    @cached_property
    def cross_task(self) -> dict[str, NDArray[np.float32]]:
        """The opinions that come from other labels and the year alone."""
        labels, groups = self.task.labels, self.shared.groups
        opinions = {
            name: self._log_ratio(other_label(labels, self.prior, other.values, groups))
            for name, other in self.others.items()
        }
        if self.years is not None and np.isfinite(self.years).any():
            opinions["year"] = self._log_ratio(year(labels, self.prior, self.years, groups))
        return opinions

    def _log_ratio(self, probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        ratio = np.log(np.maximum(probabilities, MIN_PROBABILITY, dtype=np.float32))
        ratio -= np.log(self.prior).astype(np.float32)
        return ratio


def gather_evidence(
    predictions: Predictions,
    table: pd.DataFrame,
    vocabularies: Mapping[str, list[str]],
    second_opinion: Mapping[str, NDArray[np.float32]] | None = None,
    verified: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[str, TaskEvidence]:
    """The evidence for each task of ``predictions``, with that of the collection's ``table``, whose rows are the same
    works in the same order; ``vocabularies`` name its class numbers. The second opinion and the ``verified`` labels are
    those of a task by name."""
    groups = table["group"].to_numpy(np.int64) if "group" in table else np.arange(len(table))
    shared = SharedEvidence(predictions.embedding, groups)
    columns = {name: _column(table, name, vocabularies) for name in TASKS}
    years = _years(table)
    return {
        name: TaskEvidence(
            name,
            task,
            shared,
            (second_opinion or {}).get(name),
            {other: c for other, c in columns.items() if other != name and (c.values >= 0).any()},
            years,
            (verified or {}).get(name, np.zeros(len(table), bool)),
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
    # only groups of several works need more than the work itself subtracted
    unique = _has_no_duplicate(groups)
    probabilities[rows[unique[rows]], labels[rows[unique[rows]]]] -= 1
    duplicated = np.flatnonzero(~unique & (values >= 0))
    for _, members in pd.Series(duplicated).groupby([groups[duplicated], values[duplicated]]):
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
    kernel = _kernel(np.arange(-MAX_YEARS_APART, MAX_YEARS_APART + 1))
    smooth = np.stack(
        [np.convolve(np.pad(c, MAX_YEARS_APART), kernel, mode="valid") for c in counts.T], axis=1
    )
    probabilities = np.zeros((len(labels), len(prior)), np.float32)
    probabilities[dated] = smooth[whole[dated] - first]
    probabilities[known, labels[known]] -= 1  # the kernel at its middle: the work itself
    duplicated = np.flatnonzero(dated & ~_has_no_duplicate(groups))
    for _, members in pd.Series(duplicated).groupby(groups[duplicated]):
        copies = members.to_numpy()
        inside = copies[known[copies]]
        weight = _kernel(whole[copies, None] - whole[inside])
        weight[copies[:, None] == inside] = 0
        probabilities[copies] -= weight @ np.eye(len(prior), dtype=np.float32)[labels[inside]]
    probabilities = np.maximum(probabilities, 0) + prior.astype(np.float32)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _has_no_duplicate(groups: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The works (N,) without a near-duplicate."""
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return sizes[places] == 1


def _kernel(apart: NDArray[np.integer]) -> NDArray[np.float32]:
    """How much a work counts that lies so many years away."""
    return np.where(np.abs(apart) <= MAX_YEARS_APART, np.exp(-0.5 * (apart / BANDWIDTH) ** 2), 0).astype(
        np.float32
    )


def _column(table: pd.DataFrame, name: str, vocabularies: Mapping[str, list[str]]) -> Column:
    """The artist is known by name also where the class is too rare to be one."""
    if name == "artist" and "artist_name" in table:
        numbers, names = pd.factorize(table["artist_name"])
        return Column(numbers.astype(np.int64), [str(value) for value in names])
    return Column(table[name].to_numpy(np.int64), vocabularies.get(name, []))


def _years(table: pd.DataFrame) -> NDArray[np.float64] | None:
    """The years of works (N,), NaN unknown, by the first column of :data:`YEAR_COLUMNS` that holds any: a number, a
    date, or a text such as "c. 1889-90", whose first four digits count. None where there is no such column."""
    columns = {str(name).lower(): name for name in table}
    for name in (columns[wanted] for wanted in YEAR_COLUMNS if wanted in columns):
        cells = table[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            years = cells.dt.year.to_numpy(np.float64)
        else:
            numbers = pd.to_numeric(cells, errors="coerce")
            written = cells.astype("string").str.extract(r"(?<!\d)(\d{4})(?!\d)")[0].astype("Float64")
            years = numbers.astype("Float64").fillna(written).to_numpy(np.float64, na_value=np.nan)
        years = np.where(np.abs(years) <= MAX_YEAR, years, np.nan)
        if np.isfinite(years).any():
            return years
    return None

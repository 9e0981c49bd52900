"""Paired comparison of runs: the same works, so that what is hard about them weighs on all runs alike.

Intervals are 95 % percentile bootstraps over works (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, ch. 13); the test is McNemar's ("Note on the sampling error of the difference between correlated
proportions or percentages", Psychometrika 12, 1947). Nothing is corrected for the number of runs compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binomtest, chi2

from morelli.collection.names import class_key
from morelli.errors import DataError
from morelli.evaluation.predictions import Predictions
from morelli.evaluation.scores import metrics
from morelli.evaluation.scores.metrics import Interval

Answers = NDArray[np.integer]
Draws = NDArray[np.float64]
MIN_DISCORDANT = 25  # works; with fewer, McNemar's test is computed exactly
_CELLS = 4_000_000  # numbers held at a time while drawing


@dataclass(frozen=True)
class SharedWorks:
    """One task on the N works that every one of R runs has scored and whose label every one knows: ``labels`` (N,)
    and ``answers`` (R, N), both numbers into one list of ``classes``."""

    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    classes: int


def share(runs: Sequence[tuple[str, Predictions]], task: str) -> SharedWorks:
    """The works that the (name, predictions) of every run share: works matched by id, classes by their names.

    Raises :class:`DataError` where no work is in all runs, one is twice in a run, or two runs give it different
    labels.
    """
    places = [_places(name, predictions) for name, predictions in runs]
    ids = [work for work in runs[0][1].ids if all(work in place for place in places)]
    if not ids:
        names = ", ".join(name for name, _ in runs)
        raise DataError(
            f"{names}: no work is in all of them; evaluate them on the same split of one collection"
        )
    numbers: dict[str, int] = {}
    labels, answers = [], []
    for (_, predictions), place in zip(runs, places, strict=True):
        part = predictions.tasks[task]
        rows = np.array([place[work] for work in ids])
        lookup = np.array([numbers.setdefault(class_key(name), len(numbers)) for name in part.names] + [-1])
        labels.append(lookup[part.labels[rows]])  # −1, unknown, takes the −1 at the end
        answers.append(lookup[part.predicted[rows]])
    table = np.stack(labels)
    known = np.flatnonzero((table >= 0).all(axis=0))
    for number in range(1, len(runs)):
        other = known[table[number, known] != table[0, known]]
        if len(other):
            _refuse(runs[0], runs[number], task, ids[other[0]], len(other))
    return SharedWorks(table[0, known], np.stack(answers)[:, known], len(numbers))


def compare_task(shared: SharedWorks, draws: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Scores of each run, ready for JSON; the first is the reference and has the ``difference`` ``None``.

    Shares and F1 are 0–1, differences (this run − the reference) −1 to 1; ``…_ci95`` is ``[low, high]`` from
    ``draws`` bootstrap draws with ``seed``. Everything is ``None`` where no work is shared.
    """
    scores = [_scores(shared, answers, draws, seed) for answers in shared.answers]
    if not len(shared.labels):
        return scores
    for score, answers in zip(scores[1:], shared.answers[1:], strict=True):
        pair = (shared.labels, shared.answers[0], answers)
        accuracy, macro_f1 = paired_intervals(*pair, shared.classes, draws, seed)
        only_reference, only_this = discordant(*pair)
        score["difference"] = {
            "accuracy": score["accuracy"] - scores[0]["accuracy"],
            "accuracy_ci95": list(accuracy),
            "macro_f1": score["macro_f1"] - scores[0]["macro_f1"],
            "macro_f1_ci95": list(macro_f1),
            "only_reference_right": only_reference,
            "only_this_right": only_this,
            "mcnemar_p": mcnemar(only_reference, only_this),
        }
    return scores


def paired_intervals(
    labels: Answers, first: Answers, second: Answers, classes: int, draws: int = 1000, seed: int = 0
) -> tuple[Interval, Interval]:
    """95 % intervals of the differences second − first in accuracy and in macro F1; all answers are (N,), N > 0.

    Resampling works makes the counts of the distinct (label, first, second) multinomial, so these are drawn at
    once: exact, and fast for many works. Macro F1 is the mean over the classes that occur in a draw.
    """
    codes = (labels.astype(np.int64) * classes + first) * classes + second
    cells, counts = np.unique(codes, return_counts=True)
    true, one, two = cells // classes**2, cells // classes % classes, cells % classes
    gain = (two == true).astype(np.float64) - (one == true)
    generator, works = np.random.default_rng(seed), len(labels)
    accuracy, macro_f1 = [], []
    step = max(1, _CELLS // max(len(cells), classes))
    for start in range(0, draws, step):
        drawn = generator.multinomial(works, counts / works, min(step, draws - start)).astype(np.float64)
        accuracy.append(drawn @ gain / works)
        macro_f1.append(_macro_f1(drawn, true, two, classes) - _macro_f1(drawn, true, one, classes))
    return metrics.interval95(np.concatenate(accuracy)), metrics.interval95(np.concatenate(macro_f1))


def discordant(labels: Answers, first: Answers, second: Answers) -> tuple[int, int]:
    """How many works only the first answers rightly, and how many only the second."""
    one, two = first == labels, second == labels
    return int((one & ~two).sum()), int((two & ~one).sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's test that both are right equally often, from the two discordant counts.

    The exact binomial below 25 discordant works, else chi-squared with the continuity correction of Edwards
    (Psychometrika 13, 1948), which two equal counts do not need.

    >>> mcnemar(0, 0), mcnemar(1, 5), round(mcnemar(40, 20), 4)
    (1.0, 0.21875, 0.0142)
    """
    works, gap = only_first + only_second, abs(only_first - only_second)
    if works < MIN_DISCORDANT:
        return float(binomtest(only_first, works, 0.5).pvalue) if works else 1.0
    return float(chi2.sf(max(gap - 1, 0) ** 2 / works, 1))


def _places(name: str, predictions: Predictions) -> dict[str, int]:
    place = {work: row for row, work in enumerate(predictions.ids)}
    if len(place) < len(predictions):
        raise DataError(f"{name}: its predictions hold a work twice; evaluate it again")
    return place


def _refuse(
    first: tuple[str, Predictions], other: tuple[str, Predictions], task: str, work: str, works: int
) -> None:
    labels = []
    for _, predictions in (first, other):
        part = predictions.tasks[task]
        labels.append(part.names[part.labels[predictions.ids.index(work)]])
    raise DataError(
        f"{first[0]} and {other[0]}: {task} of {work} is {labels[0]} in the one and {labels[1]} in the other "
        f"({works:,} such works); score both on the same labels: morelli evaluate RUN --data COLLECTION"
    )


def _scores(shared: SharedWorks, answers: Answers, draws: int, seed: int) -> dict[str, Any]:
    """One run's own scores, without a difference."""
    n, classes = len(shared.labels), shared.classes
    score: dict[str, Any] = {"n": n, "accuracy": None, "accuracy_ci95": None}
    score |= {"macro_f1": None, "macro_f1_ci95": None, "difference": None}
    if n:
        confusion = metrics.count_answers(shared.labels, answers, classes)
        accuracy, macro_f1 = metrics.bootstrap(confusion, draws, seed)
        score |= {"accuracy": float(confusion.trace() / n), "accuracy_ci95": list(accuracy)}
        score |= {"macro_f1": metrics.per_class(confusion).macro("f1"), "macro_f1_ci95": list(macro_f1)}
    return score


def _macro_f1(drawn: Draws, true: Answers, answers: Answers, classes: int) -> Draws:
    """(draws,) from counts of cells (draws, cells), each a true class and an answer."""
    hits = drawn @ _indicator(true, classes, true == answers)
    either = drawn @ _indicator(true, classes) + drawn @ _indicator(answers, classes)
    return metrics.macro_f1_of_counts(hits, either)


def _indicator(which: Answers, classes: int, keep: NDArray[np.bool_] | None = None) -> csr_array:
    """(cells, classes): 1 where a cell is of a class."""
    ones = np.ones(len(which)) if keep is None else keep.astype(np.float64)
    return csr_array((ones, (np.arange(len(which)), which)), shape=(len(which), classes))

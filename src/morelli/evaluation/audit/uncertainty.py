"""How unsure a network is: entropy, the probability of the given label, and a table of both by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.evaluation.predictions import TaskPredictions

COLUMNS = (
    "class",
    "works",
    "error_rate",
    "entropy",
    "entropy_normalised",
    "confidence",
    "p_given",
    "flagged",
)


def entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shannon entropy in nats of each row of ``probabilities`` (N, K): (N,), from 0 to log K."""
    wide = np.asarray(probabilities, np.float64)
    terms = wide * np.log(np.where(wide > 0, wide, 1))
    # half precision may leave a probability a little above 1, or a sum a little off
    return np.clip(-terms.sum(axis=1), 0, np.log(wide.shape[1]))


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy divided by log K, (N,) from 0 to 1, which compares tasks with different numbers of classes; 0 where
    there is only one class."""
    return entropy(probabilities) / max(np.log(probabilities.shape[1]), np.finfo(np.float64).tiny)


def given_probability(task: TaskPredictions) -> NDArray[np.float32]:
    """The probability of each work's given label, (N,) in 0–1; NaN where the label is unknown."""
    own = np.take_along_axis(task.probabilities, np.maximum(task.labels, 0)[:, None], axis=1)[:, 0]
    return np.where(task.known, own, np.float32("nan"))


def per_class(task: TaskPredictions, flagged: NDArray[np.bool_]) -> pd.DataFrame:
    """One row for each given class that has works, with the highest error rate first, then by name.

    Columns: ``class``; ``works``, how many have this label; ``error_rate``, the share of them that the network
    answers otherwise; the means of ``entropy`` (nats), ``entropy_normalised`` (0–1), ``confidence`` and
    ``p_given``; and ``flagged``, how many of them ``flagged`` (N,) marks. Works of unknown label are left out.
    """
    labels = task.labels[task.known]
    works = np.bincount(labels, minlength=len(task.names))
    there = np.flatnonzero(works)

    def total(values: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.float64]:
        sums = np.bincount(labels, weights=values[task.known], minlength=len(task.names))
        return sums[there].astype(np.float64)

    means = {
        "error_rate": task.predicted != task.labels,
        "entropy": entropy(task.probabilities),
        "entropy_normalised": normalised_entropy(task.probabilities),
        "confidence": task.confidence,
        "p_given": given_probability(task),
    }
    table = pd.DataFrame(
        {
            "class": pd.array([task.names[k] for k in there], dtype="string"),
            "works": works[there],
            **{name: total(values) / works[there] for name, values in means.items()},
            "flagged": total(flagged).astype(np.int64),
        }
    )
    return table.sort_values(["error_rate", "class"], ascending=[False, True], ignore_index=True)

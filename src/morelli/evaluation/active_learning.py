"""Active learning: how much a network would learn from a person's label of each work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def labelling_value(probabilities: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
    """(N,) 0–1, higher = label this one first; {task: (N, K)} probabilities, N the same in each.

    A label moves the class scores of a work by the gradient p − e_label; before it is known, its expected length is
    Σ_k p_k ‖p − e_k‖. It is 0 where the network is certain, and is divided by its value at p = 1/K; tasks are
    averaged. Source: expected gradient length, Settles, Craven and Ray, "Multiple-instance active learning",
    NeurIPS 2007.
    """
    return np.mean([_expected_gradient(of_task) for of_task in probabilities.values()], axis=0)


def _expected_gradient(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.asarray(probabilities, np.float64)
    classes = p.shape[1]
    if classes < 2:
        return np.zeros(len(p))
    # ‖p − e_k‖² = ‖p‖² − 2 p_k + 1; rounding must not make it negative
    lengths = np.sqrt(np.maximum((p**2).sum(axis=1, keepdims=True) - 2 * p + 1, 0))
    return np.clip((p * lengths).sum(axis=1) / np.sqrt((classes - 1) / classes), 0, 1)

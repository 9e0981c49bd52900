"""Turning points of a reading: where the belief (T, K) in the classes changed as a painting was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TurningPoint:
    """Step ``step`` (from 0) made ``after`` the most probable class in the place of ``before`` (``turn``), or was the
    one after which the final answer rose most, in one step (``rise``; then ``before`` and ``after`` lead before and
    after it).

    ``belief`` is the probability of the class in question (``after``, or the final answer) after the step, ``was``
    before it. ``held`` counts the steps for which the new leader led; 0 for a rise.
    """

    step: int
    kind: Literal["turn", "rise"]
    before: int
    after: int
    was: float
    belief: float
    held: int = 0


def turning_points(probabilities: NDArray[np.floating]) -> list[TurningPoint]:
    """All turns, in order, and the largest rise of the final answer from one step to the next, if it ever rises.

    ``probabilities`` is (T, K); of equals the first leads. A rise at the step of a turn stands after it.
    """
    leaders = probabilities.argmax(axis=1)
    steps = np.flatnonzero(leaders[1:] != leaders[:-1]) + 1
    ends = [*steps[1:], len(leaders)]
    points = [
        _point(probabilities, leaders, int(step), "turn", int(leaders[step]), int(end - step))
        for step, end in zip(steps, ends, strict=False)
    ]
    rises = np.diff(probabilities[:, leaders[-1]])
    if len(rises) and rises.max() > 0:
        points.append(_point(probabilities, leaders, int(rises.argmax()) + 1, "rise", int(leaders[-1]), 0))
    return sorted(points, key=lambda point: (point.step, point.kind == "rise"))


def settled(probabilities: NDArray[np.floating]) -> int:
    """The first step (from 0) from which on the final answer always led."""
    leaders = probabilities.argmax(axis=1)
    others = np.flatnonzero(leaders != leaders[-1])
    return int(others[-1]) + 1 if len(others) else 0


def _point(
    probabilities: NDArray[np.floating],
    leaders: NDArray[np.integer],
    step: int,
    kind: Literal["turn", "rise"],
    about: int,
    held: int,
) -> TurningPoint:
    was, belief = (float(probabilities[place, about]) for place in (step - 1, step))
    return TurningPoint(step, kind, int(leaders[step - 1]), int(leaders[step]), was, belief, held)

"""What a rule gives for the works of one task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.audit.opinion_pool import OpinionPool
from morelli.evaluation.vectors import highest


@dataclass(frozen=True)
class RuleOutput:
    """A rule's output for N works of one task.

    ``score`` (N,) is higher for a more suspicious work and NaN for a work that the rule cannot judge. ``selected`` (N,)
    are the works that the rule itself selects, by a threshold or by its own estimate of how many there are; None for a
    rule that only ranks: then the ``top`` highest scores are flagged. ``suggested`` (N,) is the class that the rule
    would give instead of the label, None where it suggests none. ``pool`` is the combined opinion that the score rests
    on, None for a rule of one kind of evidence. ``verified`` is how many works have no score because a person verified
    their label.
    """

    score: NDArray[np.float64]
    selected: NDArray[np.bool_] | None = None
    suggested: NDArray[np.int64] | None = None
    pool: OpinionPool | None = None
    top: int = 25
    verified: int = 0

    @cached_property
    def flagged(self) -> NDArray[np.bool_]:
        """Which works are candidates for review, (N,)."""
        return highest_scores(self.score, self.top) if self.selected is None else self.selected

    @property
    def ranking(self) -> NDArray[np.int64]:
        """The rows of the flagged works, most suspicious first; of equals the first."""
        rows = np.flatnonzero(self.flagged)
        return rows[np.argsort(-self.score[rows], kind="stable")]

    def among(self, works: NDArray[np.bool_], top: int) -> RuleOutput:
        """The output for some ``works`` (N,) only: the others have no score and are not flagged."""
        selected = None if self.selected is None else self.selected & works
        return replace(self, score=np.where(works, self.score, np.nan), selected=selected, top=top)

    def counts(self) -> dict[str, Any]:
        """How many works the rule ``judged``, how many are ``flagged``, their ``share``, None where it judged none, and
        how many it did not judge because a person ``verified`` their label."""
        judged, flagged = int((~np.isnan(self.score)).sum()), int(self.flagged.sum())
        share = flagged / judged if judged else None
        return {"judged": judged, "flagged": flagged, "share": share, "verified": self.verified}


def highest_scores(score: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """The ``count`` works of highest score, (N,); of equals the first; a NaN never."""
    flagged, judged = np.zeros(len(score), dtype=bool), np.flatnonzero(~np.isnan(score))
    if count := min(count, len(judged)):
        flagged[judged[highest(score[judged][None], count)[1][0]]] = True
    return flagged

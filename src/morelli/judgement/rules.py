"""Outlier rules: what makes a work a candidate for review. A new rule is one function and one entry of the table.

Each rule reads one task's predictions, some also the embedding, and gives every work a suspicion score: higher is
more suspicious, NaN is a work that the rule cannot judge. A rule flags by its threshold, or else the N highest.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError, UsageError
from morelli.judgement.predictions import TaskPredictions
from morelli.judgement.uncertainty import given_probability, normalised_entropy

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]
Embedding = NDArray[np.floating] | None
# (task, embedding, threshold) to the scores and, for a rule with a threshold, the works it flags
Judge = Callable[[TaskPredictions, Embedding, float], tuple[Scores, Flags | None]]


@dataclass(frozen=True)
class Verdicts:
    """What a rule says of N works: ``score`` (N,), NaN where it cannot judge, and ``flagged`` (N,)."""

    score: Scores
    flagged: Flags


@dataclass(frozen=True)
class Rule:
    """A named rule. ``says`` is one sentence for people, in which ``{threshold}`` stands for the number; ``source``
    is where it comes from; ``measure``, with ``{score}``, begins the reason why a work is a candidate."""

    kind: str
    judge: Judge
    says: str
    source: str
    threshold: float | None = None
    measure: str = ""

    @property
    def name(self) -> str:
        """As it is written on the command line: ``given-label<0.3``, or ``entropy`` where there is no threshold."""
        return self.kind if self.threshold is None else f"{self.kind}<{self.threshold}"

    def verdicts(
        self, task: TaskPredictions, embedding: NDArray[np.floating] | None = None, top: int = 25
    ) -> Verdicts:
        """Judges the N works of ``task``; ``embedding`` is (N, D), for the rules that need one.

        A rule without a threshold flags the ``top`` highest scores; of equals the first works. Raises
        :class:`DataError` where the embedding is needed and missing or not finite.
        """
        score, flagged = self.judge(task, embedding, self.threshold or 0.0)
        return Verdicts(score, _highest(score, top) if flagged is None else flagged)


def parse_rule(text: str) -> Rule:
    """The rule of this name, with another threshold where one is written after ``<``.

    >>> parse_rule("given-label").name, parse_rule("given-label<0.2").name, parse_rule("entropy").name
    ('given-label<0.3', 'given-label<0.2', 'entropy')

    Raises :class:`UsageError` for an unknown name, a threshold that is no number between 0 and 1, and one for a
    rule that takes none.
    """
    kind, sign, number = text.strip().partition("<")
    kinds = {rule.kind: rule for rule in RULES.values()}
    known = f"the rules are {', '.join(RULES)}"
    rule = kinds.get(kind)
    if rule is None:
        near = difflib.get_close_matches(kind.lower(), kinds, n=1, cutoff=0.5)
        hint = f"; did you mean {kinds[near[0]].name}?" if near else ";"
        raise UsageError(f"--rule {text}: no such rule{hint} {known}")
    if not sign:
        return rule
    if rule.threshold is None:
        raise UsageError(f"--rule {text}: {kind} takes no threshold; write {kind} alone; {known}")
    try:
        threshold = float(number)
    except ValueError:
        threshold = float("nan")
    if not 0 < threshold < 1:
        raise UsageError(f"--rule {text}: after < comes a number between 0 and 1, as in {rule.name}; {known}")
    return replace(rule, threshold=threshold)


def _highest(score: Scores, top: int) -> Flags:
    """The ``top`` highest scores, (N,); of equals the first; NaN never."""
    order = np.argsort(-score, kind="stable")  # NaN comes last
    flagged = np.zeros(len(score), dtype=bool)
    flagged[order[:top]] = True
    return flagged & ~np.isnan(score)


def _entropy(task: TaskPredictions, embedding: Embedding, threshold: float) -> tuple[Scores, None]:
    return normalised_entropy(task.probabilities), None


def _given_label(task: TaskPredictions, embedding: Embedding, threshold: float) -> tuple[Scores, Flags]:
    given = given_probability(task)
    return 1 - given.astype(np.float64), given < threshold  # NaN is below nothing


def _max_softmax(task: TaskPredictions, embedding: Embedding, threshold: float) -> tuple[Scores, Flags]:
    return 1 - task.confidence.astype(np.float64), task.confidence < threshold


def _wrong_and_unsure(task: TaskPredictions, embedding: Embedding, threshold: float) -> tuple[Scores, Flags]:
    wrong = task.known & (task.predicted != task.labels)
    score = np.where(wrong, 1 - task.confidence.astype(np.float64), 0.0)
    score[~task.known] = np.nan
    return score, wrong & (task.confidence < threshold)


def _centroid(task: TaskPredictions, embedding: Embedding, threshold: float) -> tuple[Scores, None]:
    if embedding is None:
        raise DataError("the predictions hold no embedding, which the rule centroid needs; evaluate again")
    score = np.full(len(task.labels), np.nan)
    for k in np.unique(task.labels[task.known]):
        members = np.flatnonzero(task.labels == k)
        if len(members) < 2:
            continue
        vectors = np.asarray(embedding[members], np.float64)
        if not np.isfinite(vectors).all():
            raise DataError("an embedding holds a value that is not a number; the network has diverged")
        others = (vectors.sum(axis=0) - vectors) / (len(members) - 1)
        score[members] = 1 - _cosine(vectors, others)
    return score, None


def _cosine(one: Scores, other: Scores) -> Scores:
    """Row by row, (N,) in [−1, 1]; 0 where one of the two vectors is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = np.einsum("nd,nd->n", one, other)
    return np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)


_TABLE = (
    Rule(
        kind="entropy",
        judge=_entropy,
        says="Most suspicious are the works whose probabilities are spread most evenly over the classes "
        "(entropy divided by its greatest possible value); the highest are flagged.",
        source="JYyangming02/Convolutional-Recurrent-Architectures, which lists the twenty highest.",
        measure="entropy {score:.2f} of at most 1",
    ),
    Rule(
        kind="given-label",
        judge=_given_label,
        says="A work is flagged where the network gives its label a probability below {threshold}.",
        source="mahesh006/ArtExtract_Task, with 0.3; a work is flagged there when this holds for any task, here for "
        "each task by itself.",
        threshold=0.3,
    ),
    Rule(
        kind="max-softmax",
        judge=_max_softmax,
        says="A work is flagged where no class reaches a probability of {threshold}, whatever its label.",
        source="a public ResNet-50 and LSTM classifier of WikiArt folders, whose code has 0.5; the method is the "
        "baseline of Hendrycks and Gimpel, ICLR 2017.",
        threshold=0.6,
    ),
    Rule(
        kind="wrong-and-unsure",
        judge=_wrong_and_unsure,
        says="A work is flagged where the network's answer is not its label and has a probability below {threshold}.",
        source="AcEKaycgR/Art_EXtract_Test1, with 0.5; its code flags a work where either condition holds, here "
        "both must.",
        threshold=0.5,
    ),
    Rule(
        kind="centroid",
        judge=_centroid,
        says="Most suspicious are the works whose embedding points away from the mean of the other works of their "
        "class (cosine distance, from 0 to 2); the highest are flagged.",
        source="class means as in Mensink et al., “Distance-Based Image Classification”, TPAMI 2013.",
        measure="cosine distance {score:.2f} from the mean of its class",
    ),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _TABLE}

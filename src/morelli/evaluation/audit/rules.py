"""Outlier rules: what makes a work a candidate for review. A new rule is one function and one entry of the table.

Each rule reads a case (one task's predictions and what else is known of the works) and gives every work a suspicion
score: higher is more suspicious, NaN is a work that the rule cannot judge. A rule flags by its threshold or its own
estimate of how many there are, or else the N highest. It asks one of two questions, which are never mixed: is this
label wrong (``label``), or is this work unlike the others (``work``)?
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from morelli.errors import UsageError
from morelli.evaluation.audit import label_rules, outlier_rules, public_rules
from morelli.evaluation.audit.combination import Finding
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.predictions import TaskPredictions

# a case and the threshold, 0 where the rule has none
Judge = Callable[[TaskEvidence, float], Finding]


@dataclass(frozen=True)
class Verdicts:
    """What a rule says of N works: ``score`` (N,), NaN where it cannot judge, and ``flagged`` (N,); ``finding`` holds
    what it rests on."""

    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    finding: Finding


@dataclass(frozen=True)
class Rule:
    """A named rule. ``says`` is one sentence for people, in which ``{threshold}`` stands for the number; ``source``
    is where it comes from; ``measure``, with ``{score}``, begins the reason why a work is a candidate. ``cross_fit``
    says that it judges cross-fitted predictions, where no work was learned from by the network that reads it."""

    kind: str
    judge: Judge
    says: str
    source: str
    threshold: float | None = None
    measure: str = ""
    question: Literal["label", "work"] = "label"
    cross_fit: bool = False

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
        return self.of_case(TaskEvidence.plain(task, embedding), top)

    def of_case(self, case: TaskEvidence, top: int = 25, among: NDArray[np.bool_] | None = None) -> Verdicts:
        """As :meth:`verdicts`, with all the evidence of ``case``; only works ``among`` (N,), all unless given, are
        flagged, and the others have no score."""
        finding = self.judge(case, self.threshold or 0.0)
        score = finding.score if among is None else np.where(among, finding.score, np.nan)
        flagged = _highest(score, top) if finding.flagged is None else finding.flagged
        return Verdicts(score, flagged if among is None else flagged & among, finding)


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


def _highest(score: NDArray[np.float64], top: int) -> NDArray[np.bool_]:
    """The ``top`` highest scores, (N,); of equals the first; NaN never."""
    order = np.argsort(-score, kind="stable")  # NaN comes last
    flagged = np.zeros(len(score), dtype=bool)
    flagged[order[:top]] = True
    return flagged & ~np.isnan(score)


_TABLE = (
    Rule(
        kind="entropy",
        judge=public_rules.entropy,
        says="Most suspicious are the works whose probabilities are spread most evenly over the classes "
        "(entropy divided by its greatest possible value); the highest are flagged.",
        source="JYyangming02/Convolutional-Recurrent-Architectures, which lists the twenty highest.",
        measure="entropy {score:.2f} of at most 1",
        question="work",
    ),
    Rule(
        kind="given-label",
        judge=public_rules.given_label,
        says="A work is flagged where the network gives its label a probability below {threshold}.",
        source="mahesh006/ArtExtract_Task, with 0.3; a work is flagged there when this holds for any task, here for "
        "each task by itself.",
        threshold=0.3,
    ),
    Rule(
        kind="max-softmax",
        judge=public_rules.max_softmax,
        says="A work is flagged where no class reaches a probability of {threshold}, whatever its label.",
        source="a public ResNet-50 and LSTM classifier of WikiArt folders, whose code has 0.5; the method is the "
        "baseline of Hendrycks and Gimpel, ICLR 2017.",
        threshold=0.6,
        question="work",
    ),
    Rule(
        kind="wrong-and-unsure",
        judge=public_rules.wrong_and_unsure,
        says="A work is flagged where the network's answer is not its label and has a probability below {threshold}.",
        source="AcEKaycgR/Art_EXtract_Test1, with 0.5; its code flags a work where either condition holds, here "
        "both must.",
        threshold=0.5,
    ),
    Rule(
        kind="centroid",
        judge=public_rules.centroid,
        says="Most suspicious are the works whose embedding points away from the mean of the other works of their "
        "class (cosine distance, from 0 to 2); the highest are flagged.",
        source="class means as in Mensink et al., “Distance-Based Image Classification”, TPAMI 2013.",
        measure="cosine distance {score:.2f} from the mean of its class",
        question="work",
    ),
    Rule(
        kind="combined",
        judge=label_rules.combined,
        says="All evidence in one ranking: the network and a second opinion, both asked only about works they had not "
        "learned from, the nearest works, the other labels and the year. Each weighs as much as it explains the "
        "labels of this collection. Flagged are as many works as confident learning estimates to be mislabelled.",
        source="a logarithmic opinion pool (Genest and Zidek, Statistical Science 1986).",
        cross_fit=True,
    ),
    Rule(
        kind="self-confidence",
        judge=label_rules.self_confidence,
        says="Most suspicious are the works whose label the network, which had not learned from them, gives the least "
        "probability; the highest are flagged.",
        source="Northcutt, Jiang and Chuang, JAIR 2021.",
        cross_fit=True,
    ),
    Rule(
        kind="margin",
        judge=label_rules.margin,
        says="Most suspicious are the works where the network, which had not learned from them, gives another class "
        "most more than the label; the highest are flagged.",
        source="Northcutt, Jiang and Chuang, JAIR 2021.",
        measure="margin {score:.2f} of at most 1",
        cross_fit=True,
    ),
    Rule(
        kind="confident-joint",
        judge=label_rules.confident_joint,
        says="As margin, each class judged by how confident the network is about it elsewhere; flagged are the works "
        "that its confident joint of given and likely labels prunes.",
        source="confident learning (Northcutt, Jiang and Chuang, JAIR 2021), by cleanlab.",
        cross_fit=True,
    ),
    Rule(
        kind="neighbours",
        judge=label_rules.neighbours,
        says="Most suspicious are the works whose nearest works carry other labels, nearer ones counting more and "
        "near-duplicates of the work itself not at all; the highest are flagged.",
        source="the distance-weighted rule of Dudani, IEEE Transactions SMC 1976.",
        measure="{score:.0%} of the neighbours otherwise",
        cross_fit=True,
    ),
    Rule(
        kind="second-opinion",
        judge=label_rules.second_opinion,
        says="Most suspicious are the works whose label a small second classifier, which had not learned from them, "
        "gives the least probability; the highest are flagged.",
        source="self-confidence (Northcutt, Jiang and Chuang, JAIR 2021) by means and deviations of the features.",
        measure="second opinion: {score:.2f} against the label",
        cross_fit=True,
    ),
    Rule(
        kind="cross-task",
        judge=label_rules.cross_task,
        says="Most suspicious are the works whose label is improbable for their other labels and year, as the other "
        "works have them, whatever the picture shows; the highest are flagged.",
        source="class frequencies, leaving the work itself out.",
        cross_fit=True,
    ),
    Rule(
        kind="knn-distance",
        judge=outlier_rules.knn_distance,
        says="Least typical are the works that are far from the ten nearest others of their class, compared with what "
        "is usual in that class; the highest are flagged.",
        source="after Sun, Ming, Zhu and Li, ICML 2022.",
        measure="{score:.1f} deviations beyond its class",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="relative-mahalanobis",
        judge=outlier_rules.relative_mahalanobis,
        says="Least typical are the works that are far from the centre of their class and not as far from the centre "
        "of all works, each direction by how much works differ in it; the highest are flagged.",
        source="Ren, Fort, Liu, Roy, Padhy and Lakshminarayanan, 2021.",
        measure="relative Mahalanobis distance {score:.0f}",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="centre-distance",
        judge=outlier_rules.centre_distance,
        says="Least typical are the works that are far from the mean of the others of their class, compared with what "
        "is usual in that class; the highest are flagged.",
        source="class means as in Mensink et al., TPAMI 2013.",
        measure="{score:.1f} deviations beyond its class",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="energy",
        judge=outlier_rules.energy,
        says="Least typical are the works that excite no class (their free energy is high), whatever their label; the "
        "highest are flagged.",
        source="Liu, Wang, Owens and Li, NeurIPS 2020.",
        measure="energy {score:.1f}",
        question="work",
        cross_fit=True,
    ),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _TABLE}

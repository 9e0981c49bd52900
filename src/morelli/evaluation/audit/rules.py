"""The rules of the audit: what makes a work a candidate for review. A new rule is one function and one entry here.

Each rule reads the evidence on one task and gives every work a score: higher is more suspicious, NaN is a work that the
rule cannot judge. A rule selects works by a threshold or by its own estimate of how many there are; else the N highest
scores are flagged. It answers one of two questions, which are never mixed: is this label wrong (``label``), or is this
work unlike the others (``work``)?
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from morelli.errors import UsageError
from morelli.evaluation.audit import label_rules, outlier_rules, public_rules
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.predictions import TaskPredictions


@dataclass(frozen=True)
class Rule:
    """A named rule. ``function`` makes its output of the evidence. ``text`` tells people what it does; in it
    ``{threshold}`` stands for the number; ``source`` is where it comes from; ``measure``, with ``{score}``, begins the
    reason why a work is a candidate. A rule with ``cross_fit`` judges cross-fitted predictions: each work is read by a
    network that was trained without it."""

    kind: str
    function: Callable[[TaskEvidence], RuleOutput]
    text: str
    source: str
    measure: str = ""
    question: Literal["label", "work"] = "label"
    cross_fit: bool = False

    @property
    def threshold(self) -> float | None:
        """The threshold that its function is bound to; None where it takes none."""
        return self.function.keywords["threshold"] if isinstance(self.function, partial) else None

    @property
    def name(self) -> str:
        """As it is written on the command line: ``given-label<0.3``, or ``entropy`` where there is no threshold."""
        return self.kind if self.threshold is None else f"{self.kind}<{self.threshold}"

    @property
    def description(self) -> str:
        """What the rule does, with its threshold."""
        return self.text.format(threshold=self.threshold)

    def judge(
        self, evidence: TaskEvidence, top: int = 25, among: NDArray[np.bool_] | None = None
    ) -> RuleOutput:
        """The output for the N works of a task.

        A rule that selects no works itself flags the ``top`` highest scores; of equals the first. Only works ``among``
        (N,), all unless given, have a score and are flagged, and of a rule about labels only those whose label no
        person verified. Raises :class:`DataError` where evidence that the rule needs is missing or not finite.
        """
        works = np.ones(len(evidence.task.labels), bool) if among is None else among
        output = self.function(evidence)
        if self.question == "work":
            return output.among(works, top)
        verified = int((works & evidence.verified).sum())
        return replace(output.among(works & ~evidence.verified, top), verified=verified)

    def judge_predictions(
        self, task: TaskPredictions, embedding: NDArray[np.floating] | None = None, top: int = 25
    ) -> RuleOutput:
        """As :meth:`judge`, by predictions alone; ``embedding`` is (N, D), for the rules that need one."""
        return self.judge(TaskEvidence.of_predictions(task, embedding), top)


def parse_rule(text: str) -> Rule:
    """The rule of this name, bound to another threshold where one is written after ``<``.

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
    if not isinstance(rule.function, partial):
        raise UsageError(f"--rule {text}: {kind} takes no threshold; write {kind} alone; {known}")
    try:
        threshold = float(number)
    except ValueError:
        threshold = float("nan")
    if not 0 < threshold < 1:
        raise UsageError(f"--rule {text}: after < comes a number between 0 and 1, as in {rule.name}; {known}")
    if threshold == rule.threshold:
        return rule
    return replace(rule, function=partial(rule.function.func, threshold=threshold))


_TABLE = (
    Rule(
        kind="entropy",
        function=public_rules.entropy,
        text="Most suspicious are the works whose probabilities are spread most evenly over the classes "
        "(entropy divided by its greatest possible value); the highest are flagged.",
        source="JYyangming02/Convolutional-Recurrent-Architectures, which lists the twenty highest.",
        measure="entropy {score:.2f} of at most 1",
        question="work",
    ),
    Rule(
        kind="given-label",
        function=partial(public_rules.given_label, threshold=0.3),
        text="A work is flagged where the network gives its label a probability below {threshold}.",
        source="mahesh006/ArtExtract_Task, with 0.3; a work is flagged there when this holds for any task, here for "
        "each task by itself.",
    ),
    Rule(
        kind="max-softmax",
        function=partial(public_rules.max_softmax, threshold=0.6),
        text="A work is flagged where no class reaches a probability of {threshold}, whatever its label.",
        source="a public ResNet-50 and LSTM classifier of WikiArt folders, whose code has 0.5; the method is the "
        "baseline of Hendrycks and Gimpel, ICLR 2017.",
        question="work",
    ),
    Rule(
        kind="wrong-and-unsure",
        function=partial(public_rules.wrong_and_unsure, threshold=0.5),
        text="A work is flagged where the network's answer is not its label and has a probability below {threshold}.",
        source="AcEKaycgR/Art_EXtract_Test1, with 0.5; its code flags a work where either condition holds, here "
        "both must.",
    ),
    Rule(
        kind="centroid",
        function=public_rules.centroid,
        text="Most suspicious are the works whose embedding points away from the mean of the other works of their "
        "class (cosine distance, from 0 to 2); the highest are flagged.",
        source="class means as in Mensink et al., “Distance-Based Image Classification”, TPAMI 2013.",
        measure="cosine distance {score:.2f} from the mean of its class",
        question="work",
    ),
    Rule(
        kind="combined",
        function=label_rules.combined,
        text="All evidence in one ranking: the network and the second opinion (a small classifier of the means and "
        "deviations of the features), each trained without the works that it judges, the nearest works, the other "
        "labels and the year. Each source weighs as much as it explains the labels of this collection. The rule flags "
        "as many works as confident learning estimates to be mislabelled.",
        source="a logarithmic opinion pool (Genest and Zidek, Statistical Science 1986).",
        cross_fit=True,
    ),
    Rule(
        kind="self-confidence",
        function=label_rules.self_confidence,
        text="Most suspicious are the works whose label has the least probability by a network trained without them; "
        "the highest are flagged.",
        source="Northcutt, Jiang and Chuang, JAIR 2021.",
        cross_fit=True,
    ),
    Rule(
        kind="margin",
        function=label_rules.margin,
        text="Most suspicious are the works for which a network trained without them prefers another class to the "
        "label by most; the highest are flagged.",
        source="Northcutt, Jiang and Chuang, JAIR 2021.",
        measure="margin {score:.2f} of at most 1",
        cross_fit=True,
    ),
    Rule(
        kind="confident-joint",
        function=label_rules.confident_joint,
        text="As margin, but relative to how confident the network is about each class elsewhere. The rule flags as "
        "many works as confident learning estimates to be mislabelled.",
        source="confident learning (Northcutt, Jiang and Chuang, JAIR 2021), by cleanlab.",
        cross_fit=True,
    ),
    Rule(
        kind="neighbours",
        function=label_rules.neighbours,
        text="Most suspicious are the works whose nearest works carry other labels, nearer ones counting more and "
        "near-duplicates of the work itself not at all; the highest are flagged.",
        source="the distance-weighted rule of Dudani, IEEE Transactions SMC 1976.",
        measure="{score:.0%} of the neighbours otherwise",
        cross_fit=True,
    ),
    Rule(
        kind="second-opinion",
        function=label_rules.second_opinion,
        text="Most suspicious are the works whose label has the least probability by the second opinion, a small "
        "classifier of the means and deviations of the features, trained without them; the highest are flagged.",
        source="self-confidence (Northcutt, Jiang and Chuang, JAIR 2021) of another classifier.",
        measure="second opinion: {score:.2f} against the label",
        cross_fit=True,
    ),
    Rule(
        kind="cross-task",
        function=label_rules.cross_task,
        text="Most suspicious are the works whose label is rare among works with the same other labels or a near year, "
        "whatever the picture shows; the highest are flagged.",
        source="class frequencies, leaving the work itself out.",
        cross_fit=True,
    ),
    Rule(
        kind="knn-distance",
        function=outlier_rules.knn_distance,
        text="Least typical are the works that are far from the ten nearest others of their class, compared with what "
        "is usual in that class; the highest are flagged.",
        source="after Sun, Ming, Zhu and Li, ICML 2022.",
        measure="{score:.1f} deviations beyond its class",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="relative-mahalanobis",
        function=outlier_rules.relative_mahalanobis,
        text="Least typical are the works that are far from the centre of their class and not as far from the centre "
        "of all works, each direction by how much works differ in it; the highest are flagged.",
        source="Ren, Fort, Liu, Roy, Padhy and Lakshminarayanan, 2021.",
        measure="relative Mahalanobis distance {score:.0f}",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="centre-distance",
        function=outlier_rules.centre_distance,
        text="Least typical are the works that are far from the mean of the others of their class, compared with what "
        "is usual in that class; the highest are flagged.",
        source="class means as in Mensink et al., TPAMI 2013.",
        measure="{score:.1f} deviations beyond its class",
        question="work",
        cross_fit=True,
    ),
    Rule(
        kind="energy",
        function=outlier_rules.energy,
        text="Least typical are the works for which the network scores no class high (their free energy is high), "
        "whatever their label; the highest are flagged.",
        source="Liu, Wang, Owens and Li, NeurIPS 2020.",
        measure="energy {score:.1f}",
        question="work",
        cross_fit=True,
    ),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _TABLE}

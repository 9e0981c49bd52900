"""Why a work is a candidate for review, in words: a tuple of clauses, none of which is parsed again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.audit.evidence import Column, TaskEvidence
from morelli.evaluation.audit.opinion_pool import OpinionPool
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.audit.rules import Rule
from morelli.report.figures.style import display_name

MIN_FORCE = 0.05  # of an opinion that is named as a reason, in log-odds

Reasons = tuple[str, ...]


def reasons_of(rule: Rule, evidence: TaskEvidence, output: RuleOutput, row: int) -> Reasons:
    """Why ``rule`` puts work ``row`` forward. Of the rule that combines all evidence the first clause is the
    conclusion, and the others are its grounds, the strongest first."""
    if output.pool is not None:
        return reasons_of_pool(evidence, output.pool, row)
    measure = (rule.measure.format(score=output.score[row]),) if rule.measure else ()
    if rule.kind == "neighbours":
        grounds = reasons_of_neighbours(evidence, row)
    else:
        grounds = reasons_of_labels(evidence, row) if rule.kind == "cross-task" else ()
    return *measure, *grounds, *_answer(evidence, row)


def reasons_of_pool(evidence: TaskEvidence, pool: OpinionPool, row: int) -> Reasons:
    """The best other class of work ``row``, and what favours it over the given one, the strongest first."""
    given = int(evidence.task.labels[row])
    if given < 0:
        return ("no label is given",)
    log_probabilities = pool.log_probabilities[row].copy()
    log_probabilities[given] = -np.inf
    other = int(log_probabilities.argmax())
    force = {
        source: pool.weights[source] * float(opinion[row, other] - opinion[row, given])
        for source, opinion in evidence.opinions.items()
    }
    strongest = sorted((source for source in force if force[source] > MIN_FORCE), key=lambda s: -force[s])
    conclusion = f"the evidence favours {_name(evidence, other)} over {_name(evidence, given)}"
    grounds = [clause for source in strongest for clause in _of_source(evidence, source, row, other)]
    return conclusion, *_of_duplicates(evidence, row), *grounds


def reasons_of_neighbours(evidence: TaskEvidence, row: int) -> Reasons:
    """How the nearest works are labelled; nothing where none of their labels is known."""
    neighbours = evidence.shared.neighbours
    if neighbours is None:
        return ()
    labels = evidence.task.labels[neighbours.rows[row][neighbours.rows[row] >= 0]]
    labels = labels[labels >= 0]
    if not len(labels):
        return ()
    given, commonest = int(evidence.task.labels[row]), int(np.bincount(labels).argmax())
    own = f", {(labels == given).sum()} {_kind(evidence, given)}" if given not in (commonest, -1) else ""
    count = (labels == commonest).sum()
    return (f"of the {len(labels)} works most like it {count} are {_kind(evidence, commonest)}{own}",)


def reasons_of_labels(evidence: TaskEvidence, row: int) -> Reasons:
    """How works with the same other labels are labelled, and which years the given class has."""
    sources = evidence.cross_task
    return tuple(clause for source in sources for clause in _of_other(evidence, source, row, -1))


def _answer(evidence: TaskEvidence, row: int) -> Reasons:
    """The network's answer beside the given label."""
    task, given = evidence.task, int(evidence.task.labels[row])
    answer = int(task.predicted[row])
    name, confidence = _name(evidence, answer), f"{task.confidence[row]:.2f}"
    if given < 0:
        return "no label is given", f"the network says {name} with {confidence}"
    if given == answer:
        return (f"the network says {name}, as given, with {confidence}",)
    probability = task.probabilities[row, given]
    return (
        f"given {_name(evidence, given)} has probability {probability:.2f}",
        f"the network says {name} with {confidence}",
    )


def _of_source(evidence: TaskEvidence, source: str, row: int, other: int) -> Reasons:
    if source == "network":
        return _of_classifier("the network gives", evidence, evidence.task.probabilities[row], row, other)
    if source == "second opinion" and evidence.second_opinion is not None:
        probabilities = evidence.second_opinion[row]
        return _of_classifier("the second opinion gives", evidence, probabilities, row, other)
    if source == "neighbours":
        return reasons_of_neighbours(evidence, row)
    return _of_other(evidence, source, row, other)


def _of_classifier(
    subject: str, evidence: TaskEvidence, probabilities: NDArray[np.floating], row: int, other: int
) -> Reasons:
    given = int(evidence.task.labels[row])
    first = f"{_name(evidence, given)} {probabilities[given]:.2f}"
    return (f"{subject} {first} and {_name(evidence, other)} {probabilities[other]:.2f}",)


def _of_other(evidence: TaskEvidence, source: str, row: int, other: int) -> Reasons:
    """How the works with the same value of another label are labelled; of class ``other``, or of the commonest where
    that is −1."""
    if source == "year":
        return _of_year(evidence, row)
    column = evidence.others[source]
    value = int(column.values[row])
    if value < 0:
        return ()
    labels, groups = evidence.task.labels, evidence.shared.groups
    alike = labels[(column.values == value) & (groups != groups[row]) & (labels >= 0)]
    if not len(alike):
        return ()
    holder = _holder(source, column, value)
    given = int(labels[row])
    other = other if other >= 0 else int(np.bincount(alike).argmax())
    works = f"of {len(alike)} other works {holder}" if len(alike) > 1 else f"of one other work {holder}"
    own, others = (alike == given).sum(), (alike == other).sum()
    return (f"{works} {_count(own)} {_kind(evidence, given)}, {others} {_kind(evidence, other)}",)


def _of_year(evidence: TaskEvidence, row: int) -> Reasons:
    if evidence.years is None or not np.isfinite(evidence.years[row]):
        return ()
    given = int(evidence.task.labels[row])
    groups = evidence.shared.groups
    others = (evidence.task.labels == given) & (groups != groups[row])
    years = evidence.years[others & np.isfinite(evidence.years)]
    if not len(years):
        return ()
    low, high = np.percentile(years, [5, 95])
    dated = f"it is dated {evidence.years[row]:.0f}"
    return (f"{dated}, nine in ten works of {_name(evidence, given)} {low:.0f} to {high:.0f}",)


def _of_duplicates(evidence: TaskEvidence, row: int) -> Reasons:
    """The labels under which the same picture is filed as well."""
    labels, groups = evidence.task.labels, evidence.shared.groups
    others = labels[(groups == groups[row]) & (labels >= 0) & (labels != labels[row])]
    return tuple(
        f"a near-duplicate of it is filed under {_name(evidence, int(k))}" for k in np.unique(others)
    )


def _holder(source: str, column: Column, value: int) -> str:
    name = column.names[value] if value < len(column.names) else str(value)
    return f"by {display_name(name)}" if source == "artist" else f"of the {source} {display_name(name)}"


def _count(works: int) -> str:
    return f"{works} {'is' if works == 1 else 'are'}" if works else "none is"


def _kind(evidence: TaskEvidence, number: int) -> str:
    """What works of a class are: of a style, of a genre, or by an artist."""
    return f"by {_name(evidence, number)}" if evidence.name == "artist" else _name(evidence, number)


def _name(evidence: TaskEvidence, number: int) -> str:
    return display_name(evidence.task.names[number])

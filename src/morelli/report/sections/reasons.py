"""Why a label is suspected, in words."""

from __future__ import annotations

import numpy as np

from morelli.evaluation.audit.combination import Combined, Finding
from morelli.evaluation.audit.evidence import Column, TaskEvidence
from morelli.report.figures.style import display_name


def reason(kind: str, case: TaskEvidence, finding: Finding, row: int) -> str:
    """Why the rule ``kind`` suspects the label of work ``row``; empty where the network's answer says it all."""
    if finding.combined is not None:
        return of_everything(case, finding.combined, row)
    if kind == "neighbours":
        return of_neighbours(case, row)
    return of_others(case, row) if kind == "cross-task" else ""


def of_everything(case: TaskEvidence, combined: Combined, row: int) -> str:
    """What speaks for the best other class of work ``row`` and against the given one, the strongest first."""
    given = int(case.task.labels[row])
    if given < 0:
        return "no label is given"
    probabilities = combined.log_probabilities[row].copy()
    probabilities[given] = -np.inf
    other = int(probabilities.argmax())
    force = {
        name: combined.weights[name] * float(said[row, other] - said[row, given])
        for name, said in case.opinions.items()
    }
    strongest = sorted((name for name in force if force[name] > 0.05), key=lambda name: -force[name])
    said = [_one(case, name, row, other) for name in strongest]
    twins = _twins(case, row)
    parts = [
        f"the evidence favours {_name(case, other)} over {_name(case, given)}",
        *twins,
        *filter(None, said),
    ]
    return "; ".join(parts)


def of_neighbours(case: TaskEvidence, row: int) -> str:
    """How the nearest works are labelled."""
    found = case.shared.neighbours
    heard = case.task.labels[found.rows[row][found.rows[row] >= 0]] if found is not None else np.empty(0, int)
    heard = heard[heard >= 0]
    if not len(heard):
        return ""
    given, most = int(case.task.labels[row]), int(np.bincount(heard).argmax())
    own = f", {(heard == given).sum()} {_kind(case, given)}" if given not in (most, -1) else ""
    return f"of the {len(heard)} works most like it {(heard == most).sum()} are {_kind(case, most)}{own}"


def of_others(case: TaskEvidence, row: int) -> str:
    """What the other labels and the year say, where they say anything."""
    return "; ".join(filter(None, (_of_other(case, name, row, -1) for name in case.cross)))


def _one(case: TaskEvidence, source: str, row: int, other: int) -> str:
    if source == "network":
        return _chances("the network gives", case, case.task.probabilities[row], row, other)
    if source == "second opinion" and case.second is not None:
        return _chances("the second opinion gives", case, case.second[row], row, other)
    if source == "neighbours":
        return of_neighbours(case, row)
    return _of_other(case, source, row, other)


def _chances(who: str, case: TaskEvidence, probabilities: np.ndarray, row: int, other: int) -> str:
    given = int(case.task.labels[row])
    return f"{who} {_name(case, given)} {probabilities[given]:.2f} and {_name(case, other)} {probabilities[other]:.2f}"


def _of_other(case: TaskEvidence, source: str, row: int, other: int) -> str:
    if source == "year":
        return _of_year(case, row)
    column = case.others[source]
    value = int(column.values[row])
    if value < 0:
        return ""
    labels, groups = case.task.labels, case.shared.groups
    heard = labels[(column.values == value) & (groups != groups[row]) & (labels >= 0)]
    who = _holder(source, column, value)
    if not len(heard):
        return ""
    given = int(labels[row])
    other = other if other >= 0 else int(np.bincount(heard).argmax())
    works = f"of {len(heard)} other works {who}" if len(heard) > 1 else f"of one other work {who}"
    own, else_ = (heard == given).sum(), (heard == other).sum()
    return f"{works} {_none(own)} {_kind(case, given)}, {else_} {_kind(case, other)}"


def _of_year(case: TaskEvidence, row: int) -> str:
    if case.years is None or not np.isfinite(case.years[row]):
        return ""
    given = int(case.task.labels[row])
    others = (case.task.labels == given) & (case.shared.groups != case.shared.groups[row])
    years = case.years[others & np.isfinite(case.years)]
    if not len(years):
        return ""
    low, high = np.percentile(years, [5, 95])
    return f"it is dated {case.years[row]:.0f}, nine in ten works of {_name(case, given)} {low:.0f} to {high:.0f}"


def _twins(case: TaskEvidence, row: int) -> list[str]:
    """The labels under which the same picture is filed as well."""
    labels, groups = case.task.labels, case.shared.groups
    same = labels[(groups == groups[row]) & (labels >= 0) & (labels != labels[row])]
    return [f"a near-duplicate of it is filed under {_name(case, int(k))}" for k in np.unique(same)]


def _holder(source: str, column: Column, value: int) -> str:
    name = column.names[value] if value < len(column.names) else str(value)
    return f"by {display_name(name)}" if source == "artist" else f"of the {source} {display_name(name)}"


def _none(count: int) -> str:
    return f"{count} {'is' if count == 1 else 'are'}" if count else "none is"


def _kind(case: TaskEvidence, number: int) -> str:
    """What works of a class are: of a style, of a genre, or by an artist."""
    return f"by {_name(case, number)}" if case.name == "artist" else _name(case, number)


def _name(case: TaskEvidence, number: int) -> str:
    return display_name(case.task.names[number])

"""Candidates for review: what the combined audit of a run puts forward, first of all."""

from __future__ import annotations

from shlex import quote
from typing import Any

import pandas as pd

from morelli.errors import DataError
from morelli.files import read_json
from morelli.report.figures.style import display_name
from morelli.report.html import Missing, Section, Work, render
from morelli.report.pages.audit import SCOPES
from morelli.report.run_results import Pictures, RunResults
from morelli.run import Run

NAME, TITLE = "candidates", "Candidates for review"
WORKS = 8  # of a task
REASONS = 4  # of a work
_COLUMNS = ["rank", "task", "id", "given", "suggested", "reason"]


def candidates(parts: RunResults, picture: Pictures | None) -> Section | Missing:
    """The section, from ``RUN/audit/combined-SPLIT``: that of all works where there is one, else of the report's
    split, else of any."""
    make = f"morelli audit {quote(parts.name)}"
    scopes = dict.fromkeys(["all", parts.split, *SCOPES])
    files = {scope: Run(parts.run).audit_folder("combined", scope) / "candidates.parquet" for scope in scopes}
    scope = next((scope for scope, file in files.items() if file.is_file()), None)
    if scope is None:
        return Missing(NAME, "No audit yet", make)
    if _is_stale(parts):
        return Missing(NAME, "The audit is of an earlier network than this run’s", make)
    try:
        table = pd.read_parquet(files[scope], columns=_COLUMNS)
    except (OSError, ValueError):
        return Missing(NAME, f"{files[scope].relative_to(parts.run)} cannot be read; audit again", make)
    tasks = [
        (task, len(rows), [_work(row, picture) for row in rows.head(WORKS).to_dict("records")])
        for task, rows in table.sort_values("rank", kind="stable").groupby("task", sort=False)
    ]
    order = list(parts.predictions.tasks)
    tasks.sort(key=lambda each: order.index(each[0]) if each[0] in order else len(order))
    html = render("candidates.html", tasks=tasks, scope=SCOPES[scope], pictures=picture is not None,
                  page=f"audit/combined-{scope}/index.html")  # fmt: skip
    return Section(NAME, TITLE, html, sum(len(works) for _, _, works in tasks))


def _is_stale(parts: RunResults) -> bool:
    """Whether the audit's cross-fit began with another network than the run's, as far as both say."""
    try:
        fitted = read_json(Run(parts.run).crossfit_facts_file)["weights"]
    except (DataError, KeyError, TypeError):
        return False
    return parts.weights is not None and bool(fitted != parts.weights)


def _work(row: dict[str, Any], picture: Pictures | None) -> tuple[Work, list[str]]:
    """A candidate with its labels, and the reasons beside what they add up to, which comes first."""
    given = "no label" if pd.isna(row["given"]) else display_name(row["given"])
    lines = [f"given: {given}"]
    if not pd.isna(row["suggested"]):
        lines.append(f"evidence favours {display_name(row['suggested'])}")
    reasons = [str(reason) for reason in row["reason"][1 : 1 + REASONS]]
    return Work.of(row["id"], picture and picture(row["id"]), lines), reasons

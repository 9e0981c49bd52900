"""The figure of a self-test: how well each rule ranks the planted errors first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from morelli.evaluation.audit.rules import RULES
from morelli.report.figures import style
from morelli.report.figures.style import styled

_LABEL, _WORK, _SYSTEMS, _BASE = style.BLUE, style.GREEN, style.ORANGE, style.GREY
_RULE_KINDS = {
    "label rules": _LABEL,
    "outlier rules": _WORK,
    "rules of the five systems": _SYSTEMS,
    "for comparison": _BASE,
}


@styled
def self_test_figure(table: pd.DataFrame) -> bytes:
    """A PNG: a row of panels for each task, one a setting, with the average precision of each rule as a bar and its
    AUROC as a number; the rule with the best mean comes first.

    ``table`` has the columns ``task, kind, rate, rule, auroc, average_precision``.
    """
    tasks = list(table["task"].unique())
    settings = list(table[["kind", "rate"]].drop_duplicates().itertuples(index=False))
    rules = table["rule"].nunique()
    drawn = style.figure(3.2 + 2.6 * len(settings), len(tasks) * (1.0 + 0.24 * rules) + 0.5)
    panels = drawn.subplots(len(tasks), len(settings), squeeze=False, sharex=True)
    for row, task in enumerate(tasks):
        of_task = table[table["task"] == task]
        order = of_task.groupby("rule")["average_precision"].mean().sort_values(kind="stable").index
        for column, setting in enumerate(settings):
            axes = panels[row, column]
            here = of_task[(of_task["kind"] == setting.kind) & (of_task["rate"] == setting.rate)]
            _panel(axes, here.set_index("rule").reindex(order), column == 0)
            axes.set_title(f"{task.capitalize()}: {setting.kind}, {setting.rate:.0%}")
            if row == len(tasks) - 1:
                axes.set_xlabel("average precision (number: AUROC)")
    marks = [Patch(color=colour) for colour in _RULE_KINDS.values()]
    drawn.legend(marks, list(_RULE_KINDS), loc="outside lower center", ncols=min(4, 1 + len(settings)))
    return style.png(drawn)


def _panel(axes: Axes, rows: pd.DataFrame, named: bool) -> None:
    places = np.arange(len(rows))
    values = rows["average_precision"].to_numpy(float)
    axes.barh(places, np.nan_to_num(values), color=[_colour(str(rule)) for rule in rows.index], height=0.7)
    for place, value, area in zip(range(len(rows)), values, rows["auroc"].to_numpy(float), strict=True):
        text = "–" if np.isnan(area) else f"{area:.3f}"
        axes.text(float(np.nan_to_num(value)) + 0.015, place, text, va="center", fontsize=8, color="#333333")
    axes.set_xlim(0, 1.18)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_yticks(places, list(rows.index) if named else [""] * len(rows))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _colour(name: str) -> str:
    rule = RULES.get(name)
    if rule is None:
        return _BASE
    if not rule.cross_fit:
        return _SYSTEMS
    return _LABEL if rule.question == "label" else _WORK

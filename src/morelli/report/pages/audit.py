"""The HTML page of an audit: what the rule is, what it flags, the paintings, and a table by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from morelli.evaluation.audit.rules import Rule
from morelli.files import write_text
from morelli.report.figures.gallery import Tile
from morelli.report.figures.style import display_name
from morelli.report.html import Thumbnail, render, thumbnail

MAX_OPEN_CLASSES = 30  # of a table that is not folded away
SCOPES = {
    "train": "training split",
    "val": "validation split",
    "test": "test split",
    "all": "whole collection",
}
QUESTIONS = {"label": "Is this label wrong?", "work": "Is this work unlike the others?"}
LONGER_SIDE = 320  # longer side of a painting on the page, in pixels


@dataclass(frozen=True)
class Section:
    """One task: how many works could be judged and are flagged, how many are not judged because a person ``verified``
    their label, the table by class that
    :func:`morelli.evaluation.audit.uncertainty.per_class` gives, and the most suspicious works, first to last, with the
    reasons of each, where the page shows them."""

    task: str
    judged: int
    flagged: int
    share: float | None
    verified: int
    classes: pd.DataFrame
    tiles: Sequence[Tile]
    reasons: Sequence[Sequence[str]] = ()

    @property
    def unlabelled(self) -> int:
        """How many flagged works have no known label, and so no row in the table."""
        return self.flagged - int(self.classes["flagged"].sum())


@dataclass(frozen=True)
class PagePart:
    """One rule, which answers one of the two questions, and the works of each task."""

    rule: Rule
    sections: Sequence[Section]

    @property
    def question(self) -> str:
        """The question in words."""
        return QUESTIONS[self.rule.question]

    @property
    def description(self) -> str:
        """What the rule does, in words."""
        return self.rule.description


def write_audit_page(
    file: Path,
    *,
    run: str,
    split: str,
    works: int,
    parts: Sequence[PagePart],
    trained: bool,
    fitted: bool,
    pictures: bool,
) -> None:
    """Writes the page, which needs no other file.

    With ``trained`` the network learned from the labels of some of these works, with ``fitted`` they were read by
    cross-fitting, and with ``pictures`` the paintings are at hand; without them the works are listed in words.
    """
    page = render(
        "audit.html",
        run=run,
        parts=parts,
        split=split,
        scope=SCOPES[split],
        works=works,
        shown=_shown,
        rows=_class_rows,
        max_open=MAX_OPEN_CLASSES,
        trained=trained,
        fitted=fitted,
        pictures=pictures,
    )
    write_text(file, page)


def _shown(section: Section) -> list[tuple[Thumbnail | None, tuple[str, ...], Sequence[str]]]:
    """Of each work the painting, None where it cannot be shown, the lines under it and the reasons."""
    reasons = section.reasons or [()] * len(section.tiles)
    return [
        (thumbnail(tile.picture, LONGER_SIDE), tile.lines, why)
        for tile, why in zip(section.tiles, reasons, strict=True)
    ]


def _class_rows(section: Section) -> list[dict[str, str]]:
    return [
        {
            "name": display_name(row["class"]),
            "works": f"{row['works']:,d}",
            "flagged": f"{row['flagged']:,d}",
            "error": f"{100 * row['error_rate']:.1f} %",
            "entropy": f"{row['entropy']:.2f}",
            "share": f"{row['entropy_normalised']:.2f}",
            "confidence": f"{row['confidence']:.2f}",
            "given": f"{row['p_given']:.2f}",
        }
        for row in section.classes.to_dict("records")
    ]

"""The HTML page of an audit: what the rule is, what it flags, the paintings, and a table by class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from morelli.collection.images import open_rgb
from morelli.errors import ImageError
from morelli.files import write_text
from morelli.judgement.rules import Rule
from morelli.report.gallery import Tile
from morelli.report.style import pretty

# more classes than this: the table is folded away
MANY = 30
_SCOPES = {
    "train": "training split",
    "val": "validation split",
    "test": "test split",
    "all": "whole collection",
}
_SIDE = 240  # short side of a painting on the page, in pixels


@dataclass(frozen=True)
class Section:
    """One task: how many works could be judged and are flagged, the table by class that
    :func:`morelli.judgement.uncertainty.per_class` gives, and the most suspicious works, first to last."""

    task: str
    judged: int
    flagged: int
    share: float | None
    classes: pd.DataFrame
    tiles: Sequence[Tile]


def write_audit_page(
    file: Path,
    *,
    run: str,
    rule: Rule,
    split: str,
    works: int,
    sections: Sequence[Section],
    trained: bool,
    pictures: bool,
) -> None:
    """Writes the page, which needs no other file.

    ``trained`` says that the network learned from the labels of some of these works, ``pictures`` that the paintings
    are at hand; without them the works are listed in words.
    """
    page = _environment().get_template("audit.html").render(
        run=run,
        rule=rule,
        says=rule.says.format(threshold=rule.threshold),
        split=split,
        scope=_SCOPES[split],
        works=works,
        sections=sections,
        tiles={section.task: [_shown(tile) for tile in section.tiles] for section in sections},
        classes={section.task: _class_rows(section) for section in sections},
        unlabelled={section.task: section.flagged - int(section.classes["flagged"].sum()) for section in sections},
        many=MANY,
        trained=trained,
        pictures=pictures,
    )  # fmt: skip
    write_text(file, page)


def _shown(tile: Tile) -> tuple[str | None, tuple[str, ...]]:
    """The painting as base64, None where it cannot be shown, and the lines under it."""
    return (None if tile.picture is None else _small(tile.picture)), tile.lines


def _small(picture: bytes) -> str | None:
    """A JPEG of the size the page shows, so that a page of a large collection stays light."""
    try:
        image, _, _ = open_rgb(picture, _SIDE)
    except ImageError:
        return None
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()


def _class_rows(section: Section) -> list[dict[str, str]]:
    return [
        {
            "name": pretty(row["class"], section.task),
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


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("morelli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

"""The files of an audit: tables, galleries, the page; and what a person has written into an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.corrections import COLUMN
from morelli.console import progress, say
from morelli.errors import DataError, RunError
from morelli.evaluation.audit.rules import Rule
from morelli.evaluation.audit.uncertainty import per_class
from morelli.evaluation.predictions import TaskPredictions
from morelli.files import atomic_write, read_json
from morelli.report.figures import style
from morelli.report.figures.gallery import Tile, gallery_figure
from morelli.report.pages.audit import PagePart, Section, write_audit_page
from morelli.report.sections.samples import pictures_of
from morelli.run import Run


@dataclass(frozen=True)
class Judged:
    """One task of the works shown, their scores and flags (N,), and the candidates in order."""

    name: str
    task: TaskPredictions
    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    candidates: pd.DataFrame

    def counts(self) -> dict[str, Any]:
        """How many works could be judged, how many are flagged, and their share."""
        judged, flagged = int((~np.isnan(self.score)).sum()), int(self.flagged.sum())
        return {"judged": judged, "flagged": flagged, "share": flagged / judged if judged else None}


@dataclass(frozen=True)
class Part:
    """A rule, and what it says of each task."""

    rule: Rule
    judged: list[Judged]


def write_audit(
    run: Path, folder: Path, split: str, works: pd.DataFrame, parts: list[Part], tiles: int, fitted: bool
) -> None:
    """Writes everything into ``folder``; ``works`` are those shown (``id``), ``fitted`` says whether they were read by
    cross-fitting. Files of tasks that an earlier audit had and this one has not go."""
    for part, (name, scores) in zip(parts, _NAMES, strict=False):
        _write_tables(folder, works["id"], part, name, scores)
    facts = {} if fitted else _scores(run, split)
    picture = pictures_of(run, facts, list(works["id"]))
    if picture is None:
        say(f"{run}: its collection is gone, or holds other works now; the audit is made without pictures")
    written = {folder / f"per_class_{each.name}.csv" for each in parts[0].judged}
    pages = []
    with progress("galleries", sum(len(part.judged) for part in parts), "tasks", keep=False) as advance:
        for part, prefix in zip(parts, ("gallery", "unlike"), strict=False):
            sections = []
            for each in part.judged:
                shown = _tiles(each.candidates.head(tiles), part.rule, picture)
                if picture is not None:
                    file = folder / f"{prefix}_{each.name}.jpg"
                    _write_gallery(
                        file, shown, f"{each.name.capitalize()}: {_TITLES[prefix]} {part.rule.name} ({split})"
                    )
                    written.add(file)
                classes = per_class(each.task, each.flagged)
                if prefix == "gallery":
                    _save(classes, folder / f"per_class_{each.name}.csv")
                why = list(each.candidates["reason"].head(tiles)) if part.rule.cross_fit else []
                sections.append(
                    Section(each.name, **each.counts(), classes=classes, tiles=shown, reasons=why)
                )
                advance(1)
            pages.append(PagePart(part.rule, sections))
    names = ("per_class_*.csv", "gallery_*.jpg", "unlike_*.jpg")
    for old in {file for name in names for file in folder.glob(name)} - written:
        old.unlink()
    trained = not fitted and split in ("train", "all") and _is_own(run, facts.get("collection"))
    write_audit_page(
        folder / "index.html",
        run=run.resolve().name,
        split=split,
        works=len(works),
        parts=pages,
        trained=trained,
        fitted=fitted,
        pictures=picture is not None,
    )


_NAMES = (("candidates", "scores"), ("unlike", "unlike_scores"))
_TITLES = {"gallery": "candidates for review by", "unlike": "unlike the others by"}


def texts(values: Iterable[Any]) -> Any:
    """A column of strings, None where there is none."""
    return pd.array(list(values), dtype="string")


def _write_tables(folder: Path, ids: Iterable[str], part: Part, name: str, scores: str) -> None:
    every = [
        pd.DataFrame(
            {
                "id": texts(ids),
                "task": texts([each.name] * len(each.score)),
                "score": each.score,
                "flagged": each.flagged,
            }
        )
        for each in part.judged
    ]
    candidates = pd.concat([each.candidates for each in part.judged], ignore_index=True)
    if name == "candidates":
        candidates[COLUMN] = _corrections(folder / "candidates.csv", candidates)
    _save(candidates, folder / f"{name}.csv")
    _save(candidates, folder / f"{name}.parquet")
    _save(pd.concat(every, ignore_index=True), folder / f"{scores}.parquet")


def _corrections(file: Path, candidates: pd.DataFrame) -> Any:
    """What a person filled into the file of an earlier audit, for the candidates that are there again. Where others
    were filled in, the earlier file is kept under another name."""
    empty = texts([None] * len(candidates))
    try:
        before = pd.read_csv(file, dtype="string")
        filled = before[before[COLUMN].notna()].set_index(["id", "task"])[COLUMN]
    except (OSError, ValueError, KeyError):
        return empty
    if filled.empty or not filled.index.is_unique:
        return empty if filled.empty else _keep(file, empty)
    keys = pd.MultiIndex.from_frame(candidates[["id", "task"]])
    if not filled.index.isin(keys).all():
        _keep(file, empty)
    return texts(None if pd.isna(label) else label for label in filled.reindex(keys))


def _keep(file: Path, empty: Any) -> Any:
    number = 1
    while (kept := file.with_name(f"corrections-{number}.csv")).exists():
        number += 1
    file.rename(kept)
    say(f"{kept}: holds corrections of works that are no candidates now; collect --corrections reads it too")
    return empty


def _save(table: pd.DataFrame, file: Path) -> None:
    with atomic_write(file) as temporary:
        if file.suffix == ".csv":
            table.to_csv(temporary, index=False, float_format="%.6g")
        else:
            table.to_parquet(temporary, index=False)


def _write_gallery(file: Path, tiles: list[Tile], title: str) -> None:
    with atomic_write(file) as temporary:
        temporary.write_bytes(style.jpeg(gallery_figure(tiles, title)))


def _tiles(candidates: pd.DataFrame, rule: Rule, picture: Callable[[str], bytes | None] | None) -> list[Tile]:
    """Under each painting what was given, what the rule or the network says, and the file's name."""
    tiles = []
    for work in candidates.to_dict("records"):
        given = "no label" if pd.isna(work["given"]) else style.display_name(work["given"])
        network = f"network: {style.display_name(work['answer'])},\u00a0{work['confidence']:.2f}"
        if rule.kind == "combined":
            network = f"evidence favours {style.display_name(work['suggested'])}"
        lines = [
            f"{work['rank']}. {given}",
            network,
            rule.measure.format(score=work["score"]),
            work["id"].rpartition("/")[2],
        ]
        tiles.append(Tile(picture and picture(work["id"]), tuple(filter(None, lines))))
    return tiles


def _scores(run: Path, split: str) -> dict[str, Any]:
    """``scores-SPLIT.json``, for what it says of the collection; empty where it cannot be read."""
    try:
        return dict(read_json(Run(run).scores_file(split)))
    except (DataError, TypeError, ValueError):
        return {}


def _is_own(run: Path, scored: str | None) -> bool:
    """Whether the scored collection is the one that the run learned from, as far as the run says."""
    try:
        own = Run(run).noted_collection()
    except RunError:
        return True
    return scored is None or Path(scored).resolve() == own.resolve()

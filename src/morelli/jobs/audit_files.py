"""The files of an audit: tables, galleries, the page; and what a person has written into an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from morelli.collection.corrections import COLUMN
from morelli.console import progress, say
from morelli.errors import DataError, RunError
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.audit.rules import Rule
from morelli.evaluation.audit.uncertainty import given_probability, per_class
from morelli.files import atomic_write, read_json
from morelli.report.figures import style
from morelli.report.figures.gallery import Tile, gallery_figure
from morelli.report.pages.audit import PagePart, Section, write_audit_page
from morelli.report.sections.reasons import reasons_of
from morelli.report.sections.samples import pictures_of
from morelli.run import Run

# a rule, and its output for each task
RuleOutputs = tuple[Rule, dict[str, RuleOutput]]


@dataclass(frozen=True)
class _Names:
    """The files of one rule's output, and the title of its galleries."""

    candidates: str
    scores: str
    gallery: str
    title: str


CANDIDATES = _Names("candidates", "scores", "gallery", "candidates for review by")
UNLIKE = _Names("unlike", "unlike_scores", "unlike", "unlike the others by")


def write_audit(
    run: Path,
    folder: Path,
    split: str,
    works: pd.DataFrame,
    evidence: dict[str, TaskEvidence],
    outputs: list[RuleOutputs],
    tiles: int,
) -> None:
    """Writes everything into ``folder``. ``works`` are those that were read (``id, path``; ``among``, whether they are
    shown; ``fitted``, whether they were read by cross-fitting), and ``outputs`` those of the rule and, where there is
    one, of the outlier rule beside it. Files of tasks that an earlier audit had and this one has not go."""
    among, fitted = works["among"].to_numpy(), bool(works["fitted"].any())
    facts = {} if fitted else scores_of(run, split)
    picture = pictures_of(run, facts, list(works["id"][among]))
    if picture is None:
        say(f"{run}: its collection is gone, or holds other works now; the audit is made without pictures")
    parts = []
    for (rule, of_rule), names in zip(outputs, (CANDIDATES, UNLIKE), strict=False):
        tables = {
            name: candidate_table(works, evidence[name], output, rule) for name, output in of_rule.items()
        }
        _write_tables(folder, works[among], of_rule, tables, names)
        shown = {name: _tiles(table.head(tiles), rule, picture) for name, table in tables.items()}
        if picture is not None:
            _write_galleries(folder, shown, names, f"{names.title} {rule.name} ({split})")
        sections = []
        for name, output in of_rule.items():
            classes = per_class(evidence[name].task.take(among), output.flagged[among])
            if names is CANDIDATES:
                _save(classes, folder / f"per_class_{name}.csv")
            reasons = list(tables[name]["reason"].head(tiles)) if rule.cross_fit else []
            sections.append(
                Section(name, **output.counts(), classes=classes, tiles=shown[name], reasons=reasons)
            )
        parts.append(PagePart(rule, sections))
    _remove_others(folder, outputs, galleries=picture is not None)
    write_audit_page(
        folder / "index.html",
        run=run.resolve().name,
        split=split,
        works=int(among.sum()),
        parts=parts,
        trained=not fitted and split in ("train", "all") and _is_own(run, facts.get("collection")),
        fitted=fitted,
        pictures=picture is not None,
    )


def candidate_table(
    works: pd.DataFrame, evidence: TaskEvidence, output: RuleOutput, rule: Rule
) -> pd.DataFrame:
    """The flagged works of one task, most suspicious first; of equals the first of the file."""
    task, rows = evidence.task, output.ranking
    vocabulary = np.array([*task.names, None], dtype=object)
    suggested = [None] * len(rows) if output.suggested is None else vocabulary[output.suggested[rows]]
    columns = {
        "rank": np.arange(1, len(rows) + 1),
        "task": _texts([evidence.name] * len(rows)),
        "id": _texts(works["id"].iloc[rows]),
        "path": _texts(works["path"].iloc[rows]),
        "given": _texts(vocabulary[task.labels[rows]]),
        "suggested": _texts(suggested),
        "answer": _texts(vocabulary[task.predicted[rows]]),
        "confidence": task.confidence[rows].astype(np.float64),
        "p_given": given_probability(task)[rows].astype(np.float64),
        "score": output.score[rows],
    }
    reasons = pd.Series([reasons_of(rule, evidence, output, int(row)) for row in rows], dtype=object)
    return pd.DataFrame(columns).assign(reason=reasons)


def _texts(values: Iterable[Any]) -> Any:
    """A column of strings, None where there is none."""
    return pd.array(list(values), dtype="string")


def _write_tables(
    folder: Path,
    works: pd.DataFrame,
    outputs: dict[str, RuleOutput],
    tables: dict[str, pd.DataFrame],
    names: _Names,
) -> None:
    """The candidates of all tasks, and the scores of the ``works`` (rows of the outputs) in every task."""
    scores = [
        pd.DataFrame(
            {
                "id": _texts(works["id"]),
                "task": _texts([name] * len(works)),
                "score": output.score[works.index],
                "flagged": output.flagged[works.index],
            }
        )
        for name, output in outputs.items()
    ]
    candidates = pd.concat(tables.values(), ignore_index=True)
    if names is CANDIDATES:
        candidates[COLUMN] = _corrections(folder / "candidates.csv", candidates)
    _save(candidates, folder / f"{names.candidates}.csv")
    _save(candidates, folder / f"{names.candidates}.parquet")
    _save(pd.concat(scores, ignore_index=True), folder / f"{names.scores}.parquet")


def _corrections(file: Path, candidates: pd.DataFrame) -> Any:
    """What a person filled into the file of an earlier audit, for the candidates that are there again. Where others
    were filled in, the earlier file is kept under another name."""
    empty = _texts([None] * len(candidates))
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
    return _texts(None if pd.isna(label) else label for label in filled.reindex(keys))


def _keep(file: Path, empty: Any) -> Any:
    number = 1
    while (kept := file.with_name(f"corrections-{number}.csv")).exists():
        number += 1
    file.rename(kept)
    say(f"{kept}: holds corrections of works that are no candidates now; collect --corrections reads it too")
    return empty


def _save(table: pd.DataFrame, file: Path) -> None:
    """Reasons are a list in Parquet, and joined with "; " in CSV, which nothing reads back."""
    with atomic_write(file) as temporary:
        if file.suffix == ".csv":
            joined = {"reason": table["reason"].map("; ".join)} if "reason" in table else {}
            table.assign(**joined).to_csv(temporary, index=False, float_format="%.6g")
        else:
            schema = pa.Schema.from_pandas(table, preserve_index=False)
            if "reason" in table:  # an empty table does not show that it is a list
                field = pa.field("reason", pa.list_(pa.string()))
                schema = schema.set(schema.get_field_index("reason"), field)
            table.to_parquet(temporary, index=False, schema=schema)


def _write_galleries(folder: Path, tiles: dict[str, list[Tile]], names: _Names, title: str) -> None:
    with progress("galleries", len(tiles), "tasks", keep=False) as advance:
        for task, shown in tiles.items():
            with atomic_write(folder / f"{names.gallery}_{task}.jpg") as temporary:
                temporary.write_bytes(style.jpeg(gallery_figure(shown, f"{task.capitalize()}: {title}")))
            advance(1)


def _remove_others(folder: Path, outputs: list[RuleOutputs], galleries: bool) -> None:
    """Removes the files of tasks that are not among the ``outputs``."""
    kept = {f"per_class_{task}.csv" for task in outputs[0][1]}
    if galleries:
        pairs = zip(outputs, (CANDIDATES, UNLIKE), strict=False)
        kept |= {f"{names.gallery}_{task}.jpg" for (_, of_rule), names in pairs for task in of_rule}
    for pattern in ("per_class_*.csv", "gallery_*.jpg", "unlike_*.jpg"):
        for file in folder.glob(pattern):
            if file.name not in kept:
                file.unlink()


def _tiles(candidates: pd.DataFrame, rule: Rule, picture: Callable[[str], bytes | None] | None) -> list[Tile]:
    """Under each painting the given label, the answer of the rule or the network, and the file's name."""
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


def scores_of(run: Path, split: str) -> dict[str, Any]:
    """``scores-SPLIT.json``, which names the collection that was scored; empty where it cannot be read."""
    try:
        return dict(read_json(Run(run).scores_file(split)))
    except (DataError, TypeError, ValueError):
        return {}


def _is_own(run: Path, scored: str | None) -> bool:
    """Whether the scored collection is the one that the run learned from, as far as the run notes it."""
    try:
        own = Run(run).noted_collection()
    except RunError:
        return True
    return scored is None or Path(scored).resolve() == own.resolve()

"""``morelli audit``: the works of a scored split that an outlier rule puts forward for review."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.console import progress, say, show_table
from morelli.errors import DataError, RunError, UsageError
from morelli.files import explain_os_error, read_json, replacing
from morelli.judgement import predictions as predictions_file
from morelli.judgement.predictions import Predictions, TaskPredictions
from morelli.judgement.rules import Rule, Verdicts, parse_rule
from morelli.judgement.uncertainty import given_probability, per_class
from morelli.report import style
from morelli.report.audit_page import Section, write_audit_page
from morelli.report.gallery import Tile, gallery_figure
from morelli.report.samples import pictures_of

SPLITS = ("train", "val", "test", "all")
MOST_TILES = 100


@dataclass(frozen=True)
class _Audited:
    """One task, what the rule says of it, and its candidates in order."""

    name: str
    task: TaskPredictions
    verdicts: Verdicts
    candidates: pd.DataFrame

    def counts(self) -> dict[str, Any]:
        judged, flagged = int((~np.isnan(self.verdicts.score)).sum()), int(self.verdicts.flagged.sum())
        return {"judged": judged, "flagged": flagged, "share": flagged / judged if judged else None}


def audit(
    run: Path,
    rule: str = "given-label<0.3",
    split: str = "test",
    top: int = 25,
    tasks: list[str] | None = None,
) -> dict[str, Any]:
    """Judges the works of ``RUN/predictions-SPLIT.parquet`` by a rule of :mod:`morelli.judgement.rules`.

    Writes into ``RUN/audit/RULE-SPLIT``: ``candidates.csv`` and ``.parquet`` (a row for each flagged work and task,
    most suspicious first), ``scores.parquet`` (every work and task), and of each task ``per_class_TASK.csv`` and
    ``gallery_TASK.jpg``; ``index.html`` shows them. ``top`` is the number of works in a gallery (at most 100 are
    shown), and how many a rule without a threshold flags. ``tasks`` are all unless given. Where the collection
    cannot be opened there are no pictures.

    Returns ``{"rule", "split", "folder", "tasks": {task: {"judged", "flagged", "share"}}}``; the share is ``None``
    where nothing could be judged. Raises :class:`UsageError` for an unknown rule, split or task and a ``top`` below
    1, :class:`RunError` where the split was not evaluated and :class:`DataError` where a file is damaged.
    """
    chosen = parse_rule(rule)
    if split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    if top < 1:
        raise UsageError(f"--top {top}: must be at least 1")
    predictions = _read(run, split)
    try:
        audited = [_judge(predictions, name, chosen, top) for name in _tasks(predictions, tasks)]
    except DataError as error:
        raise DataError(f"{run / f'predictions-{split}.parquet'}: {error}") from None
    folder = run / "audit" / f"{re.sub(r'[^a-z0-9.]+', '-', chosen.name)}-{split}"
    try:
        _write_tables(folder, predictions.ids, audited)
        _write_page(run, folder, split, chosen, predictions.ids, audited, min(top, MOST_TILES))
    except OSError as error:
        raise explain_os_error(error) from None
    counts = {each.name: each.counts() for each in audited}
    return {"rule": chosen.name, "split": split, "folder": str(folder), "tasks": counts}


def show_audit(summary: dict[str, Any]) -> None:
    """How many works of each task are flagged, and where they are."""
    rows = [
        (task, c["flagged"], f"{c['judged']:,}", "–" if c["share"] is None else f"{c['share']:.1%}")
        for task, c in summary["tasks"].items()
    ]
    show_table("Candidates for review", ("task", "flagged", "of", "share"), rows)
    page = Path(summary["folder"]) / "index.html"
    say(f"by {summary['rule']} (split {summary['split']}), with galleries: {page}")


def _read(run: Path, split: str) -> Predictions:
    if not run.is_dir():
        raise RunError(f"{run}: no such run; give a folder that morelli train made")
    file = run / f"predictions-{split}.parquet"
    if not file.is_file():
        raise RunError(f"{file}: not there; run morelli evaluate {run} --split {split} first")
    return predictions_file.read(file)


def _tasks(predictions: Predictions, wanted: list[str] | None) -> list[str]:
    for task in wanted or ():
        if task not in predictions.tasks:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(predictions.tasks)}")
    return list(dict.fromkeys(wanted or predictions.tasks))


def _judge(predictions: Predictions, name: str, rule: Rule, top: int) -> _Audited:
    task = predictions.tasks[name]
    verdicts = rule.verdicts(task, predictions.embedding, top)
    return _Audited(name, task, verdicts, _candidates(predictions, name, verdicts, rule))


def _candidates(predictions: Predictions, name: str, verdicts: Verdicts, rule: Rule) -> pd.DataFrame:
    """The flagged works of one task, most suspicious first; of equals the first of the file."""
    task, flagged = predictions.tasks[name], np.flatnonzero(verdicts.flagged)
    rows = flagged[np.argsort(-verdicts.score[flagged], kind="stable")]
    vocabulary = np.array([*task.names, None], dtype=object)
    columns = {
        "rank": np.arange(1, len(rows) + 1),
        "task": _texts([name] * len(rows)),
        "id": _texts([predictions.ids[row] for row in rows]),
        "path": _texts([predictions.paths[row] for row in rows]),
        "given": _texts(vocabulary[task.labels[rows]]),
        "answer": _texts(vocabulary[task.predicted[rows]]),
        "confidence": task.confidence[rows].astype(np.float64),
        "p_given": given_probability(task)[rows].astype(np.float64),
        "score": verdicts.score[rows],
    }
    table = pd.DataFrame(columns)
    return table.assign(reason=_texts([_reason(rule, work) for work in table.to_dict("records")]))


def _texts(values: Sequence[Any] | NDArray[np.object_]) -> Any:
    return pd.array(list(values), dtype="string")


def _reason(rule: Rule, work: dict[str, Any]) -> str:
    """Why a work is a candidate, in words."""
    answer = style.pretty(work["answer"], work["task"])
    parts = [rule.measure.format(score=work["score"])] if rule.measure else []
    if pd.isna(work["given"]):
        parts.append(f"no label is given; the network says {answer} with {work['confidence']:.2f}")
    elif work["given"] == work["answer"]:
        parts.append(f"the network says {answer}, as given, with {work['confidence']:.2f}")
    else:
        given = style.pretty(work["given"], work["task"])
        parts.append(f"given {given} has probability {work['p_given']:.2f}")
        parts.append(f"the network says {answer} with {work['confidence']:.2f}")
    return "; ".join(parts)


def _write_tables(folder: Path, ids: list[str], audited: list[_Audited]) -> None:
    scores = [
        pd.DataFrame(
            {
                "id": _texts(ids),
                "task": _texts([each.name] * len(ids)),
                "score": each.verdicts.score,
                "flagged": each.verdicts.flagged,
            }
        )
        for each in audited
    ]
    candidates = pd.concat([each.candidates for each in audited], ignore_index=True)
    _save(candidates, folder / "candidates.csv")
    _save(candidates, folder / "candidates.parquet")
    _save(pd.concat(scores, ignore_index=True), folder / "scores.parquet")


def _save(table: pd.DataFrame, file: Path) -> None:
    with replacing(file) as temporary:
        if file.suffix == ".csv":
            table.to_csv(temporary, index=False, float_format="%.6g")
        else:
            table.to_parquet(temporary, index=False)


def _write_page(
    run: Path, folder: Path, split: str, rule: Rule, ids: list[str], audited: list[_Audited], tiles: int
) -> None:
    """Galleries, tables by class and the page; files of tasks that an earlier audit had and this one has not go."""
    scores = _scores(run, split)
    picture = pictures_of(run, scores, ids)
    if picture is None:
        say(f"{run}: its collection is gone, or holds other works now; the audit is made without pictures")
    sections, written = [], {folder / f"per_class_{each.name}.csv" for each in audited}
    with progress("galleries", len(audited), "tasks", keep=False) as advance:
        for each in audited:
            classes = per_class(each.task, each.verdicts.flagged)
            _save(classes, folder / f"per_class_{each.name}.csv")
            shown = _tiles(each.candidates.head(tiles), rule, picture)
            if picture is not None:
                title = f"{each.name.capitalize()}: candidates for review by {rule.name} ({split})"
                file = folder / f"gallery_{each.name}.jpg"
                with replacing(file) as temporary:
                    temporary.write_bytes(style.jpeg(gallery_figure(shown, title)))
                written.add(file)
            sections.append(Section(each.name, **each.counts(), classes=classes, tiles=shown))
            advance(1)
    for old in {*folder.glob("per_class_*.csv"), *folder.glob("gallery_*.jpg")} - written:
        old.unlink()
    write_audit_page(
        folder / "index.html",
        run=run.resolve().name,
        rule=rule,
        split=split,
        works=len(ids),
        sections=sections,
        trained=split in ("train", "all") and _is_own(run, scores.get("collection")),
        pictures=picture is not None,
    )


def _tiles(candidates: pd.DataFrame, rule: Rule, picture: Callable[[str], bytes | None] | None) -> list[Tile]:
    """Under each painting what was given, what the network says, and the file's name."""
    tiles = []
    for work in candidates.to_dict("records"):
        given = "no label" if pd.isna(work["given"]) else style.pretty(work["given"], work["task"])
        lines = [
            f"{work['rank']}. {given}",
            f"network: {style.pretty(work['answer'], work['task'])},\u00a0{work['confidence']:.2f}",
            rule.measure.format(score=work["score"]),
            work["id"].rpartition("/")[2],
        ]
        tiles.append(Tile(picture and picture(work["id"]), tuple(filter(None, lines))))
    return tiles


def _scores(run: Path, split: str) -> dict[str, Any]:
    """``scores-SPLIT.json``, for what it says of the collection; empty where it cannot be read."""
    try:
        return dict(read_json(run / f"scores-{split}.json"))
    except (DataError, TypeError, ValueError):
        return {}


def _is_own(run: Path, scored: str | None) -> bool:
    """Whether the scored collection is the one that the run learned from, as far as the run says."""
    try:
        own = (run / "collection.txt").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return True
    return scored is None or Path(scored).resolve() == Path(own).resolve()

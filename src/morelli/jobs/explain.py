"""``morelli explain``: where the network looked on one painting, and how its answer changed as it read."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from morelli.errors import UsageError
from morelli.evaluation.turning_points import turning_points
from morelli.files import AnyPath, as_path, atomic_write, make_folder, write_json
from morelli.jobs.query import QueriedWork, open_query
from morelli.jobs.results.explain import Explanation
from morelli.prediction.model import Model, load_model
from morelli.prediction.saliency import (
    METHODS,
    attention_map,
    has_attention,
    over_painting,
    saliency,
    seen_box,
)
from morelli.prediction.spatial_view import spatial_view
from morelli.prediction.trace import Trace, read_trace
from morelli.report.figures import style
from morelli.report.figures.reading_trace import Reading, numbered, trace_figure
from morelli.report.figures.saliency_map import map_figure
from morelli.report.pages.explain import MEASURES, Section, describe_point, story, write_explain_page
from morelli.run import Run

_TOP = 5


def explain(
    run: AnyPath,
    query: AnyPath,
    out: AnyPath | None = None,
    task: Sequence[str] | None = None,
    method: str = "grad-cam",
) -> Explanation:
    """Explains the answers of ``run`` on ``query``, an image file or the id of a work of the run's collection.

    Writes into ``out`` (``RUN/explain/NAME``): ``index.html``, which needs no other file; for each task
    ``map_TASK.png``, ``heat_TASK.png`` (the map alone, in greys, at the painting's resolution up to 2,000 pixels a
    side) and ``trace_TASK.png``; ``attention.png`` where the neck pools by attention; ``trace.csv``, the probability of
    every class after every step; ``explanation.json``, what is returned. ``task`` names some of the run's tasks,
    ``method`` is one of :data:`morelli.prediction.saliency.METHODS`.

    In the result steps count from 1, rows and columns of the feature map from 0. Raises :class:`UsageError` for a
    query, task or method that is none.

    >>> import morelli
    >>> explanation = morelli.explain("run", "painting.jpg", task=["style"], method="occlusion")
    >>> 0 < explanation["style"].confidence <= 1
    True
    """
    run, query = as_path(run), os.fspath(query)
    if method not in METHODS:
        raise UsageError(f"--method {method}: must be one of {', '.join(METHODS)}")
    model = load_model(run)
    tasks = _tasks(model, task)
    work = open_query(run, model, query)
    inside, features = spatial_view(model, work.pixels[None])
    attention = None
    if method == "attention" or has_attention(model):
        attention = attention_map(inside, features)  # before anything is written: not every neck has it
    trace = read_trace(inside, features)
    folder = make_folder(Run(run).explanation_folder(work.folder) if out is None else as_path(out), "--out")
    answers, sections = {}, []
    for name in tasks:
        reading = reading_of(model, work, trace, name)
        answers[name] = _answer(model, reading, name, work.labels.get(name))
        sections.append(_draw(folder, model, work, reading, answers[name], name, method))
    shown = None
    if attention is not None and method != "attention":
        shown = _draw_attention(folder, model, work, attention)
    _write_trace(folder / "trace.csv", model, trace, tasks)
    write_explain_page(
        folder / "index.html",
        run=run.resolve().name,
        query=work.title,
        painting=_picture(work.image, "JPEG"),
        method=method,
        meaning=trace.meaning,
        unit=trace.unit,
        sections=sections,
        attention=shown,
    )
    pictures = [f"{kind}_{name}.png" for kind in ("map", "heat", "trace") for name in tasks]
    files = [*pictures, *(["attention.png"] if shown else []), "explanation.json", "index.html", "trace.csv"]
    for old in {*folder.glob("*_*.png"), *folder.glob("attention.png")} - {folder / file for file in files}:
        if old.stem.partition("_")[0] in ("map", "heat", "trace", "attention"):
            old.unlink()  # of an earlier explanation, with other tasks
    summary = {
        "run": str(run),
        "query": query,
        "method": method,
        "folder": str(folder),
        "trace": {
            "steps": len(trace),
            "unit": trace.unit,
            "ordered": trace.ordered,
            "grid": list(trace.grid),
            "meaning": trace.meaning,
        },
        "tasks": answers,
        "files": files,
    }
    write_json(folder / "explanation.json", summary)
    return Explanation.from_dict(summary)


def _tasks(model: Model, wanted: Sequence[str] | None) -> list[str]:
    for task in wanted or ():
        if task not in model.vocabularies:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(model.vocabularies)}")
    return list(dict.fromkeys(wanted or model.vocabularies))


def reading_of(model: Model, work: QueriedWork, trace: Trace, task: str) -> Reading:
    """One task of a trace as the figures draw it."""
    width, height = work.size
    left, top, right, bottom = seen_box(width, height, model.recipe.image.fit)
    probabilities = trace.probabilities[task]
    return Reading(
        [style.display_name(name) for name in model.vocabularies[task]],
        probabilities,
        trace.cells,
        trace.grid,
        (left / width, top / height, right / width, bottom / height),
        numbered(turning_points(probabilities)),
        trace.unit,
        trace.ordered,
    )


def _answer(model: Model, reading: Reading, task: str, given: str | None) -> dict[str, Any]:
    """One task of the summary; class names as in the vocabulary."""
    names, answer = model.vocabularies[task], reading.probabilities[-1]
    best = np.argsort(-answer, kind="stable")[:_TOP]
    points = []
    for point in turning_points(reading.probabilities):
        rows, columns = np.divmod(reading.cells[point.step], reading.grid[1])
        where = np.column_stack([rows, columns]).tolist()
        words = {"before": names[point.before], "after": names[point.after]}
        points.append(asdict(point) | words | {"step": point.step + 1, "cells": where})
    return {
        "answer": names[int(best[0])],
        "confidence": float(answer[best[0]]),
        "given": given,
        "top": [{"class": names[int(number)], "probability": float(answer[number])} for number in best],
        "story": story(reading),
        "turning_points": points,
    }


def _draw(
    folder: Path,
    model: Model,
    work: QueriedWork,
    reading: Reading,
    answer: dict[str, Any],
    task: str,
    method: str,
) -> Section:
    """Writes the three pictures of one task; returns its part of the page."""
    target = int(reading.probabilities[-1].argmax())
    cells = saliency(model, work.pixels, task, target, method)
    heat = over_painting(cells, *work.size, model.recipe.image.fit)
    name = reading.names[target]
    looked = "Where the neck attended" if method == "attention" else f"Where it looked for {name}"
    measure = MEASURES.get(method, "relevance, share of the largest")
    mapped = map_figure(work.image, heat, f"{task.capitalize()}: {looked[0].lower()}{looked[1:]}", measure)
    traced = trace_figure(work.image, reading, f"{task.capitalize()}: how {name} was reached")
    _write(folder / f"heat_{task}.png", _picture(np.round(255 * heat).astype(np.uint8), "PNG"))
    top = [(style.display_name(each["class"]), each["probability"]) for each in answer["top"]]
    return Section(
        task,
        top,
        answer["given"] and style.display_name(answer["given"]),
        answer["story"],
        [describe_point(reading, point) for point in reading.points],
        _save(folder / f"trace_{task}.png", traced),
        _save(folder / f"map_{task}.png", mapped),
        empty=not heat.any(),
    )


def _draw_attention(folder: Path, model: Model, work: QueriedWork, cells: np.ndarray) -> bytes:
    heat = over_painting(cells, *work.size, model.recipe.image.fit)
    drawn = map_figure(work.image, heat, "Where the neck attended", MEASURES["attention"])
    return _save(folder / "attention.png", drawn)


def _write_trace(file: Path, model: Model, trace: Trace, tasks: list[str]) -> None:
    """One row a task, step and class."""
    cells = [" ".join(f"{n // trace.grid[1]},{n % trace.grid[1]}" for n in step) for step in trace.cells]
    parts = []
    for task in tasks:
        names, probabilities = model.vocabularies[task], trace.probabilities[task]
        columns = {
            "task": task,
            "step": np.repeat(np.arange(1, len(trace) + 1), len(names)),
            "cells": np.repeat(np.array(cells, dtype=object), len(names)),
            "class": np.tile(np.array(names, dtype=object), len(trace)),
            "probability": probabilities.ravel(),
        }
        parts.append(pd.DataFrame(columns))
    with atomic_write(file) as temporary:
        pd.concat(parts).to_csv(temporary, index=False, float_format="%.6f")


def _picture(pixels: np.ndarray, kind: str) -> bytes:
    """(H, W) or (H, W, 3) uint8 as an image file, for the page at most 1,200 pixels a side."""
    image = Image.fromarray(pixels)
    if kind == "JPEG":
        image.thumbnail((1200, 1200), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=88)
    return buffer.getvalue()


def _save(file: Path, drawn: Figure) -> bytes:
    """Writes the figure as a PNG; returns it as the JPEG that the page shows, without drawing it again."""
    data = style.png(drawn)
    _write(file, data)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=88, optimize=True)
    return buffer.getvalue()


def _write(file: Path, data: bytes) -> None:
    with atomic_write(file) as temporary:
        temporary.write_bytes(data)

"""``morelli predict``: any images or folders to a table of labels, streaming, with bad files beside the good."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from morelli.collection.images import MAX_PIXELS
from morelli.collection.sources.matching import walk_images
from morelli.console import progress, say
from morelli.errors import StoppedError, UsageError
from morelli.files import AnyPath, as_path
from morelli.jobs.results.predict import PredictionSummary
from morelli.jobs.table_file import FORMATS, Header, Journal, Row, finish
from morelli.prediction.answer import Answer
from morelli.prediction.reader import Reader, load


def predict(
    run: AnyPath,
    images: AnyPath | Iterable[AnyPath],
    out: AnyPath = "predictions.parquet",
    batch_size: int = 64,
    resume: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> PredictionSummary:
    """Labels ``images`` (files or folders) with the model of ``run`` and writes one row an image to ``out``.

    ``out`` ends in ``.parquet``, ``.csv`` or ``.jsonl``. A row holds for each task the class, ``TASK_confidence``
    (0–1, calibrated), and ``TASK_set``: a list of classes, the most probable first. On average it contains the true
    class for at least 90 % of works, provided that they resemble the validation works and that their class is known to
    the model (:mod:`morelli.evaluation.calibration.conformal`, ``lac``). It is a list in Parquet and JSON and joined
    with ``; `` in CSV; it is empty where no threshold could be fitted, and a line on the screen names such tasks.
    ``labelling_value`` (0–1) says how much a person's label of the image would teach the network; sort by it, highest
    first, to choose what to label. An image that cannot be read has a row whose ``error`` says why.

    Rows go to a journal beside ``out`` as they come; with ``resume`` those an interrupted call wrote are not
    read again. Raises :class:`UsageError` where nothing is to be read, :class:`StoppedError` on Ctrl-C.

    >>> import morelli
    >>> done = morelli.predict("run", ["painting.jpg", "photo.png"], "labels.csv")
    >>> done.images, done.failed
    (2, 0)
    >>> list(done.works.columns[:3])
    ['path', 'artist', 'artist_confidence']
    """
    out = as_path(out)
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {out}: the name must end in {', '.join(FORMATS)}")
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; give a file's name")
    if batch_size < 1:
        raise UsageError(f"--batch-size {batch_size}: must be at least 1")
    if max_pixels < 64:
        raise UsageError(f"--max-pixels {max_pixels}: must be at least 64")
    files = find_images([images] if isinstance(images, str | os.PathLike) else images)
    reader = load(run, max_pixels)
    _say_without_sets(reader)
    journal = Journal(out, _header(reader, out), resume)
    rest = [f for f in files if f not in journal.paths]
    if journal.paths:
        say(f"{len(files) - len(rest):,} of {len(files):,} images were read before")
    try:
        with progress("reading", len(rest), "images") as advance:
            for answers in reader.batches(rest, batch_size):
                journal.write(_row(reader, answer) for answer in answers)
                advance(len(answers))
    except KeyboardInterrupt:
        raise StoppedError(
            "stopped; what was read is kept, go on with the same command and --resume"
        ) from None
    finally:
        journal.close()
    failed = finish(journal, files, out)
    return PredictionSummary(out, len(files), failed)


def find_images(images: Iterable[AnyPath]) -> list[str]:
    """The files themselves and all images of the folders, each once, in order; a ``Path`` takes three times the memory
    of its name."""
    files: dict[str, None] = {}
    for path in map(as_path, images):
        if path.is_dir():
            strange: list[str] = []
            inside = walk_images(path, strange)
            if strange:
                say(
                    f"{path}: {len(strange):,} file names are not UTF-8 and are passed over, such as {strange[0]}"
                )
            if not inside:
                raise UsageError(f"{path}: holds no image")
            files |= dict.fromkeys(str(path / name) for name in inside)
        elif path.exists():
            files[str(path)] = None
        else:
            raise UsageError(f"{path}: no such file or folder")
    if not files:
        raise UsageError("IMAGES: give at least one image or folder")
    return list(files)


def _row(reader: Reader, answer: Answer) -> Row:
    """All columns of one image; those of an image that could not be read are empty."""
    row: Row = {**dict.fromkeys(_columns(reader)), "path": answer.source, "error": answer.error or ""}
    if answer.error:
        return row
    row["labelling_value"] = answer.labelling_value
    for task, task_answer in answer.items():
        row[task], row[f"{task}_confidence"] = task_answer.label, task_answer.confidence
        row[f"{task}_set"], row[f"{task}_probabilities"] = task_answer.set, task_answer.values.tolist()
    return row


def _say_without_sets(reader: Reader) -> None:
    without = [f"{task}_set" for task in reader.tasks if task not in reader.coverage]
    if without:
        few = "conformal" in reader.model.facts
        why = "too few validation works of known label" if few else "it was trained by an older morelli"
        remedy = "train on more works" if few else "train again"
        say(
            f"{', '.join(without)}: empty, for this run has no prediction sets ({why}); to have them, {remedy}"
        )


def _columns(reader: Reader) -> list[str]:
    parts = ("", "_confidence", "_set", "_probabilities")
    return ["path", *(task + part for task in reader.tasks for part in parts), "labelling_value", "error"]


def _header(reader: Reader, out: Path) -> Header:
    wide = out.suffix.lower() == ".parquet"
    return Header(
        [name for name in _columns(reader) if wide or not name.endswith("_probabilities")],
        reader.classes,
        str(reader.model.facts["weights"]),  # so that a journal of another model is not taken for this one's
        reader.coverage,
    )

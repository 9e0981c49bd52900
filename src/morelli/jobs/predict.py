"""``morelli predict``: any images or folders to a table of labels, streaming, with bad files beside the good."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from morelli.collection.images import MAX_PIXELS, open_rgb
from morelli.collection.sources.matching import walk_images
from morelli.console import progress, say
from morelli.errors import ImageError, StoppedError, UsageError
from morelli.evaluation.active_learning import labelling_value
from morelli.evaluation.calibration.conformal import prediction_sets
from morelli.jobs.table_file import FORMATS, Header, Journal, Row, finish
from morelli.prediction.engine import use_fast_backbone
from morelli.prediction.model import Model, load_model
from morelli.preprocessing.pixels import square, to_tensor


@dataclass(frozen=True)
class Summary:
    """What a prediction came to: the file, how many images were read, and how many could not be."""

    out: Path
    images: int
    failed: int


def predict(
    run: Path,
    images: Sequence[Path],
    out: Path | None = None,
    batch_size: int = 64,
    resume: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Summary:
    """Labels ``images`` (files or folders) with the model of ``run`` and writes one row an image to ``out``.

    ``TASK_set`` holds the classes, most probable first and never none, among which the right one is in at least 90 %
    of works like those of the validation split (:mod:`morelli.evaluation.calibration.conformal`, ``lac``): a promise
    for works of the model's classes, on the average over them. It is a list in Parquet and JSON, and joined with ``;
    `` in CSV; empty where no threshold could be fitted, which is said.

    ``labelling_value`` (0–1) says what a person's label of the image would teach the network; sort by it, highest
    first, to choose what to label.

    Rows go to a journal beside ``out`` as they come; with ``resume`` those an interrupted call wrote are not
    read again. Raises :class:`UsageError` where nothing is to be read, :class:`StoppedError` on Ctrl-C.
    """
    out = out or Path("predictions.parquet")
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {out}: the name must end in {', '.join(FORMATS)}")
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; give a file's name")
    if batch_size < 1:
        raise UsageError(f"--batch-size {batch_size}: must be at least 1")
    if max_pixels < 64:
        raise UsageError(f"--max-pixels {max_pixels}: must be at least 64")
    files = find_images(images)
    model = load_model(run)
    _say_without_sets(model)
    use_fast_backbone(model, len(files))
    journal = Journal(out, _header(model, out), resume)
    rest = [f for f in files if f not in journal.paths]
    if journal.paths:
        say(f"{len(files) - len(rest):,} of {len(files):,} images were read before")
    try:
        with progress("reading", len(rest), "images") as advance:
            for rows in _blocks(model, rest, batch_size, max_pixels):
                journal.write(rows)
                advance(len(rows))
    except KeyboardInterrupt:
        raise StoppedError(
            "stopped; what was read is kept, go on with the same command and --resume"
        ) from None
    finally:
        journal.close()
    failed = finish(journal, files, out)
    return Summary(out, len(files), failed)


def find_images(images: Sequence[Path]) -> list[str]:
    """The files themselves and all images of the folders, each once, in order; a ``Path`` takes three times the memory
    of its name."""
    found: dict[str, None] = {}
    for path in images:
        if path.is_dir():
            strange: list[str] = []
            inside = walk_images(path, strange)
            if strange:
                say(
                    f"{path}: {len(strange):,} file names are not UTF-8 and are passed over, such as {strange[0]}"
                )
            if not inside:
                raise UsageError(f"{path}: holds no image")
            found |= dict.fromkeys(str(path / name) for name in inside)
        elif path.exists():
            found[str(path)] = None
        else:
            raise UsageError(f"{path}: no such file or folder")
    if not found:
        raise UsageError("IMAGES: give at least one image or folder")
    return list(found)


def read_pixels(model: Model, file: Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """An image file as the model is to see it, (3, S, S) uint8. Raises :class:`ImageError`."""
    # as training saw them: reduced to the collection's prepared size first
    prepared = int(model.facts.get("prepared_size", model.recipe.image.size))
    image, _, _ = open_rgb(file, prepared, max_pixels)
    return to_tensor(square(image, model.recipe.image))


def _blocks(model: Model, files: Sequence[str], batch_size: int, max_pixels: int) -> Iterator[list[Row]]:
    """Decodes the next batch in threads while the model reads this one (Pillow lets go of the interpreter)."""

    def load(file: str) -> Tensor | str:
        try:
            return read_pixels(model, Path(file), max_pixels)
        except ImageError as error:
            return f"{error.reason}: {error}"

    blocks = [files[i : i + batch_size] for i in range(0, len(files), batch_size)]
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and TIFF tags; here, for threads share the filters
        waiting = pool.map(load, blocks[0]) if blocks else iter(())
        for number, block in enumerate(blocks):
            loaded = list(waiting)
            if number + 1 < len(blocks):
                waiting = pool.map(load, blocks[number + 1])
            yield _rows(model, block, loaded)


def _rows(model: Model, files: Sequence[str], loaded: Sequence[Tensor | str]) -> list[Row]:
    images = [item for item in loaded if isinstance(item, Tensor)]
    answers = iter(_answers(model, torch.stack(images)) if images else [])
    blank = dict.fromkeys(_columns(model))
    return [
        {**blank, "path": file, **({"error": item} if isinstance(item, str) else next(answers))}
        for file, item in zip(files, loaded, strict=True)
    ]


def _answers(model: Model, images: Tensor) -> list[Row]:
    """For each of ``images`` (B, 3, S, S) all columns but the path."""
    probabilities, _ = model.predict(images)
    values = labelling_value({task: probability.numpy() for task, probability in probabilities.items()})
    answers: list[Row] = [{"labelling_value": float(value), "error": ""} for value in values]
    for task, names in model.vocabularies.items():
        sets: Sequence[list[str] | None] = _sets(model, task, probabilities) or [None] * len(answers)
        for answer, probability, chosen in zip(answers, probabilities[task], sets, strict=True):
            best = int(probability.argmax())
            answer[task], answer[f"{task}_confidence"] = names[best], float(probability[best])
            answer[f"{task}_set"], answer[f"{task}_probabilities"] = chosen, probability.tolist()
    return answers


def _sets(model: Model, task: str, probabilities: dict[str, Tensor]) -> list[list[str]]:
    """The classes of each image's prediction set; none at all where the model has no threshold."""
    threshold = _threshold(model, task)
    if threshold is None:
        return []
    names = model.vocabularies[task]
    return [[names[k] for k in row] for row in prediction_sets(probabilities[task].numpy(), threshold)]


def _threshold(model: Model, task: str) -> float | None:
    """None in runs made before sets were fitted, and where validation held too few works of known label."""
    threshold = model.facts.get("conformal", {}).get(task, {}).get("thresholds", {}).get("lac")
    return None if threshold is None else float(threshold)


def _say_without_sets(model: Model) -> None:
    without = [f"{task}_set" for task in model.vocabularies if _threshold(model, task) is None]
    if without:
        few = "conformal" in model.facts
        why = "too few validation works of known label" if few else "it was trained by an older morelli"
        remedy = "train on more works" if few else "train again"
        say(
            f"{', '.join(without)}: empty, for this run has no prediction sets ({why}); to have them, {remedy}"
        )


def _columns(model: Model) -> list[str]:
    parts = ("", "_confidence", "_set", "_probabilities")
    return [
        "path",
        *(task + part for task in model.vocabularies for part in parts),
        "labelling_value",
        "error",
    ]


def _header(model: Model, out: Path) -> Header:
    wide = out.suffix.lower() == ".parquet"
    fitted = model.facts.get("conformal", {})
    return Header(
        [name for name in _columns(model) if wide or not name.endswith("_probabilities")],
        model.vocabularies,
        str(model.facts["weights"]),  # so that a journal of another model is not taken for this one's
        {task: fitted[task]["coverage"] for task in fitted if _threshold(model, task) is not None},
    )

"""What a report is made of: the scores, predictions and works of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from morelli.errors import DataError, RunError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions
from morelli.files import digest, read_json
from morelli.report.figures.style import display_name
from morelli.report.html import Work
from morelli.run import Run

Pictures = Callable[[str], bytes | None]  # the prepared image of a work's id, or None


@dataclass(frozen=True)
class RunResults:
    """One scored ``split`` of ``run``: ``scores-SPLIT.json``, ``predictions-SPLIT.parquet``, and ``works``, the run's
    ``collection.parquet``, with a column for each task."""

    run: Path
    split: str
    scores: dict[str, Any]
    predictions: Predictions
    works: pd.DataFrame

    @property
    def name(self) -> str:
        """The run's name."""
        return Run(self.run).name

    @cached_property
    def weights(self) -> str | None:
        """The fingerprint of the run's network, as the files made with it note it; None where the run holds none."""
        file = Run(self.run).weights_file
        return digest(file) if file.is_file() else None

    def work(self, name: str, picture: bytes | None, lines: Sequence[str] = (), note: str = "") -> Work:
        """The work whose id is ``name`` as the page shows it, by the artist that the collection gives."""
        artist = self._artists.get(name)
        return Work.of(name, picture, lines, note, display_name(artist) if isinstance(artist, str) else "")

    @cached_property
    def _artists(self) -> dict[str, Any]:
        return dict(zip(self.works["id"].astype(str), self.works["artist_name"], strict=True))


def read_run_results(run: Path, split: str) -> RunResults:
    """Raises :class:`RunError` when a file is missing and :class:`DataError` when one is damaged."""
    files = Run(run)
    scores, predicted = files.scores_file(split), files.predictions_file(split)
    for path, command in [
        (scores, f"morelli evaluate {run} --split {split}"),
        (predicted, f"morelli evaluate {run} --split {split}"),
        (files.works_file, "morelli train"),
    ]:
        if not path.is_file():
            raise RunError(f"{path}: not there; run {command} first")
    predictions = predictions_file.read(predicted)
    tree = read_json(scores)
    if not isinstance(tree, dict) or set(predictions.tasks) - set(tree.get("tasks", {})):
        raise DataError(f"{scores}: does not hold the scores of these predictions; evaluate again")
    try:
        works = pd.read_parquet(files.works_file)
    except (OSError, ValueError):
        raise DataError(f"{files.works_file}: not a readable collection; train again") from None
    missing = {"id", "split", "artist_name", *predictions.tasks} - set(works)
    if missing:
        raise DataError(f"{files.works_file}: has no column {min(missing)}; train again")
    return RunResults(run, split, tree, predictions, works)

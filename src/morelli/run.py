"""The files of a run, each named here and nowhere else, and the way from a run to its collection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.errors import RunError
from morelli.files import write_text

if TYPE_CHECKING:
    from morelli.collection.collection import Collection


@dataclass(frozen=True)
class Run:
    """The run in ``folder``; none of the files needs to be there."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of its folder, also where that was given as ``.`` or as a link."""
        return self.folder.resolve().name

    # the trained network

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe, complete."""
        return self.folder / "recipe.yaml"

    @property
    def weights_file(self) -> Path:
        """The weights of the network."""
        return self.folder / "model.safetensors"

    @property
    def model_file(self) -> Path:
        """What the network is: recipe, vocabularies, preprocessing, calibration."""
        return self.folder / "model.json"

    def class_names_file(self, task: str) -> Path:
        """The classes of a task, one a line, in the order of the network's outputs."""
        return self.folder / f"class_names_{task}.txt"

    # training

    @property
    def metrics_file(self) -> Path:
        """One row an epoch."""
        return self.folder / "metrics.csv"

    @property
    def checkpoints_folder(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best_checkpoint(self) -> Path:
        """Of the epoch with the best validation score, over all phases."""
        return self.checkpoints_folder / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """Where ``--resume`` goes on."""
        return self.checkpoints_folder / "last.ckpt"

    @property
    def refit(self) -> Run:
        """Checkpoints and metrics of the second training, of a recipe that asks for one."""
        return Run(self.folder / "refit")

    @property
    def is_refit(self) -> bool:
        """Whether this is the second training of another run."""
        return self.folder == Run(self.folder.parent).refit.folder

    # predictions and scores

    def predictions_file(self, split: str) -> Path:
        return self.folder / f"predictions-{split}.parquet"

    def scores_file(self, split: str) -> Path:
        return self.folder / f"scores-{split}.json"

    @property
    def before_refit_file(self) -> Path:
        """Predictions for the validation works by the network that had not learned them."""
        return self.folder / "predictions-before-refit.parquet"

    @property
    def crossfit_file(self) -> Path:
        """Out-of-sample predictions for every work."""
        return self.folder / "predictions-crossfit.parquet"

    @property
    def crossfit_facts_file(self) -> Path:
        """What the cross-fitted predictions were made of."""
        return self.folder / "predictions-crossfit.json"

    @property
    def second_opinion_file(self) -> Path:
        """Out-of-sample predictions for every work by another kind of classifier."""
        return self.folder / "predictions-second.parquet"

    @property
    def crossfit_folder(self) -> Path:
        """The folds that are done, while cross-fitting goes on."""
        return self.folder / "audit" / "crossfit"

    # what is made of them

    @property
    def report_folder(self) -> Path:
        """The page, its figures and the text reports."""
        return self.folder / "report"

    def class_report_file(self, task: str) -> Path:
        return self.report_folder / f"class_report_{task}.txt"

    def audit_folder(self, rule: str, split: str) -> Path:
        """Candidates, scores and galleries; ``rule`` is a name that fits a folder."""
        return self.folder / "audit" / f"{rule}-{split}"

    @property
    def self_test_folder(self) -> Path:
        return self.folder / "audit" / "self-test"

    @property
    def index_folder(self) -> Path:
        """The vectors of every work of the collection, for searching."""
        return self.folder / "index"

    def explanation_folder(self, name: str) -> Path:
        return self.folder / "explain" / name

    # the collection

    @property
    def works_file(self) -> Path:
        """The rows and the split that the run was trained with."""
        return self.folder / "collection.parquet"

    @property
    def collection_note(self) -> Path:
        """A text file with one line: the folder of the collection."""
        return self.folder / "collection.txt"

    def note_collection(self, folder: Path) -> None:
        """Writes where the run's collection is."""
        write_text(self.collection_note, f"{folder.resolve()}\n")

    def noted_collection(self, option: str = "") -> Path:
        """The folder that ``collection.txt`` names, there or not. Raises :class:`RunError` where it names none.

        ``option`` is the command's option that takes another collection, where it has one; the sentence then names it.
        """
        try:
            text = self.collection_note.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise self._without("missing", option) from None
        except OSError as error:
            raise self._without(f"cannot be read ({error.strerror})", option) from None
        except UnicodeDecodeError:
            raise self._without("is not a text file", option) from None
        if not text or "\0" in text or "\n" in text:
            raise self._without("does not name a folder", option)
        return Path(text)

    def collection_folder(self, option: str = "") -> Path:
        """The folder of the run's collection. Raises :class:`RunError` where no collection is there."""
        folder = self.noted_collection(option)
        if not os.path.isfile(folder / "collection.json"):  # unlike Path's, False also for a name too long
            named = str(folder) if len(str(folder)) <= 200 else f"{str(folder)[:200]}…"
            raise self._without(f"names {named}, where no collection is now", option)
        return folder

    def open_collection(self, option: str = "") -> Collection:
        """The run's collection. Raises :class:`RunError` where it is gone, :class:`DataError` where it is damaged."""
        from morelli.collection.collection import Collection  # here: predict needs no table

        return Collection.open(self.collection_folder(option))

    def _without(self, what: str, option: str) -> RunError:
        remedy = "write the folder of the run's collection into it"
        remedy += f", or name another collection with {option}" if option else ""
        return RunError(f"{self.collection_note}: {what}; {remedy}")

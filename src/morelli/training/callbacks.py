"""What happens around the steps: checkpoints, the log, the progress bar, Ctrl-C."""

from __future__ import annotations

import csv
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from morelli.console import progress, say
from morelli.errors import StoppedError
from morelli.files import atomic_write
from morelli.run import Run


class Checkpoints(pl.Callback):
    """``best.ckpt`` by ``val_score`` over all phases, ``last.ckpt`` after every epoch, both atomically.

    A checkpoint carries its phase, its epoch and how many batches of it were done.
    """

    def __init__(self, run: Run, number: int, best: float) -> None:
        self.run, self.number, self.best = run, number, best

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        score = float(trainer.callback_metrics["val_score"])
        if not trainer.sanity_checking and score > self.best:
            self.best = score
            self.save(trainer, self.run.best_checkpoint)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer, self.run.last_checkpoint)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # early stopping alone asks the trainer to stop; Ctrl-C raises
        own = {"phase": self.number, "best": self.best, "stopped": trainer.should_stop}
        checkpoint["morelli"] = own

    def save(self, trainer: pl.Trainer, file: Path) -> None:
        """Every process calls this; the first one writes."""
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.part")
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(file)
        finally:
            if trainer.is_global_zero:
                temporary.unlink(missing_ok=True)


class EpochLog(pl.Callback):
    """A bar for each epoch, a line when it ends, and a row in ``metrics.csv``; a resumed run replaces the rows
    of the epochs that it does again. A ``refit`` learns from its validation works, whose figures are left out."""

    def __init__(self, file: Path, recipe_phases: int, number: int, works: int, refit: bool = False) -> None:
        self.file, self.phases, self.number, self.works = file, recipe_phases, number, works
        self.refit = refit
        self._open = ExitStack()
        self._advance: Callable[[int], None] | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._advance is not None:
            return
        # not at the start of the epoch, which a run resumed in the middle of one does not have
        self._started, self._seen = time.perf_counter(), 0
        if trainer.is_global_zero:
            title = self._title(trainer)
            self._advance = self._open.enter_context(progress(title, self.works, "images", keep=False))
            self._advance(batch_idx * len(batch[1]))
        else:
            self._advance = lambda count: None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        count = len(batch[1]) * trainer.world_size
        self._seen += count
        assert self._advance is not None  # since on_train_batch_start
        self._advance(count)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds = time.perf_counter() - self._started
        self._open.close()
        self._advance = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = self._seen / max(self._seconds, 1e-9)
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1, "phase": self.number + 1}
        row |= {"lr": trainer.optimizers[0].param_groups[0]["lr"]} | figures
        row |= {"seconds": round(self._seconds, 3), "images_per_second": round(rate, 1)}
        if trainer.is_global_zero:
            kept = "val_" if self.refit else "val_score"
            write_row(self.file, {k: v for k, v in row.items() if not k.startswith(kept)})
            shown = "  ".join(
                f"{name.removeprefix('val_').removesuffix('_accuracy')} {value:.1%}"
                for name, value in figures.items()
                if name.startswith("val_") and name.endswith("_accuracy") and name != "val_accuracy"
            )
            learned = f"loss {figures.get('train_loss', float('nan')):.3f}"
            checked = f" → {figures.get('val_loss', float('nan')):.3f}  validation: {shown}"
            say(
                f"{self._title(trainer)}  {learned}{'' if self.refit else checked}  "
                f"({self._seconds:.1f} s, {rate:,.0f} images/s)"
            )

    def _title(self, trainer: pl.Trainer) -> str:
        phase = f"{'refit, ' if self.refit else ''}phase {self.number + 1}/{self.phases}"
        return f"{phase} epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._open.close()


class GracefulStop(pl.Callback):
    """Ctrl-C (or SIGTERM) finishes the batch, saves ``last.ckpt`` and prints the command that goes on; a second one
    stops at once."""

    def __init__(self, checkpoints: Checkpoints, resume_command: str) -> None:
        self.checkpoints, self.resume_command = checkpoints, resume_command
        self.asked = False
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # here, and not at the end of a batch, Lightning's own count of finished batches is right
        asked = self.asked
        if trainer.world_size > 1:  # the signal reaches each process at another batch; they save together
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        # a half-filled accumulation would lose its gradients: go on to its end
        if asked and batch_idx % trainer.accumulate_grad_batches == 0:
            self.checkpoints.save(trainer, self.checkpoints.run.last_checkpoint)
            raise StoppedError(f"stopped; nothing is lost, go on with: {self.resume_command}")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise StoppedError(f"stopped at once; go on from the last checkpoint with: {self.resume_command}")
        self.asked = True
        say("stopping after this batch …")


def write_row(file: Path, row: dict[str, Any]) -> None:
    """Adds a row to a CSV file; a row of the same epoch and phase, and any later one, is replaced."""
    rows: list[dict[str, Any]] = []
    if file.exists():
        with file.open(newline="", encoding="utf-8") as old:
            rows = list(csv.DictReader(old))
    here = (row["phase"], row["epoch"])
    rows = [r for r in rows if (int(r["phase"]), int(r["epoch"])) < here]
    names = list(dict.fromkeys(name for r in [*rows, row] for name in r))
    with atomic_write(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as new:
        writer = csv.DictWriter(new, names)
        writer.writeheader()
        writer.writerows([*rows, row])

"""Fitting a recipe to a collection, phase by phase."""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from morelli.collection.collection import Collection
from morelli.console import say
from morelli.errors import RunError, StoppedError
from morelli.network.loss import MultiTaskLoss
from morelli.network.network import Network
from morelli.preprocessing.device import best_device, choose_precision
from morelli.recipe import Recipe
from morelli.run import Run
from morelli.training.callbacks import Checkpoints, EpochLog, GracefulStop
from morelli.training.module import ReadingModule
from morelli.training.samplers import EpochBatches, class_counts
from morelli.training.sources import Sources

_PLUGIN = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class ResumePoint:
    """Where a resumed run goes on: its checkpoint, phase, epoch, and batches of that epoch already done;
    ``stopped`` where early stopping had ended the phase."""

    file: Path
    phase: int
    epoch: int
    batches: int
    best: float
    stopped: bool


def fit(
    recipe: Recipe,
    collection: Collection,
    network: Network,
    run: Path,
    resume: bool,
    resume_command: str,
    refit: bool = False,
) -> None:
    """Trains ``network`` in place and leaves it with the weights of the best epoch.

    With ``refit`` it learns from the validation works too, and ends with the weights of the last epoch, for nothing is
    left to choose by. A training that a refit follows ends with its last epoch too: the refitted network takes its
    calibration.

    Writes ``checkpoints/best.ckpt``, ``checkpoints/last.ckpt``, ``metrics.csv`` and TensorBoard events in
    ``run``. With ``resume`` goes on from ``last.ckpt`` with the numbers of an uninterrupted run (on one kind of
    machine). Raises :class:`RunError` for a checkpoint that cannot be read and :class:`StoppedError` on Ctrl-C.
    """
    sources = Sources(recipe, collection, network, refit)
    counts: dict[str, Any] = {
        name: class_counts(sources.train_labels[:, column].numpy(), len(names))
        for column, (name, names) in enumerate(network.learned.items())
    }
    loss = MultiTaskLoss(list(counts), recipe, counts)
    begun = Run(run).last_checkpoint.exists()
    resumed = find_resume_point(run) if resume and (begun or not refit) else None
    best = resumed.best if resumed else float("inf" if refit else "-inf")
    for number in range(resumed.phase if resumed else 0, len(recipe.phases)):
        point = resumed if resumed and resumed.phase == number else None
        if point:  # also before a cache is made: its key is of the backbone as it is now
            load_weights(network, point.file, loss)
        if point and not point.batches and (point.stopped or point.epoch >= recipe.phases[number].epochs):
            continue  # the phase had ended
        best = _fit_phase(recipe, sources, network, loss, run, number, point, best, resume_command)
    last = refit or recipe.training.refit
    load_weights(network, Run(run).last_checkpoint if last else Run(run).best_checkpoint, loss)


def _fit_phase(
    recipe: Recipe,
    sources: Sources,
    network: Network,
    loss: MultiTaskLoss,
    run: Path,
    number: int,
    point: ResumePoint | None,
    best: float,
    resume_command: str,
) -> float:
    """One phase; returns the best validation score so far."""
    phase = recipe.phases[number]
    network.backbone.set_trainable(phase.train, phase.freeze_batch_norm)
    train, validate = sources.loaders(number)
    batches = train.batch_sampler
    assert isinstance(batches, EpochBatches)
    if point:
        batches.skip = point.batches
        batches.set_epoch(point.epoch)  # workers read ahead before Lightning does it
    module = ReadingModule(network, loss, recipe, number, batches)
    checkpoints = Checkpoints(Run(run), number, best)
    stop = GracefulStop(checkpoints, resume_command)
    log = EpochLog(Run(run).metrics_file, len(recipe.phases), number, batches.count, sources.refit)
    trainer = _trainer(recipe, number, run, [log, checkpoints, stop])
    network.train()  # reading features for the cache left it in evaluation mode, and Lightning keeps what it finds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice to developers
        trainer.fit(module, train, validate, ckpt_path=point.file if point else None, weights_only=False)
    asked = trainer.strategy.reduce_boolean_decision(stop.asked, all=False)
    more = number + 1 < len(recipe.phases) or (recipe.training.refit and not sources.refit)
    if asked and more:  # during the last validation of the phase
        raise StoppedError(f"stopped; nothing is lost, go on with: {resume_command}")
    return checkpoints.best


def _trainer(recipe: Recipe, number: int, run: Path, callbacks: list[Callback]) -> pl.Trainer:
    """Lightning's trainer for one phase; our callbacks do what its own bars and checkpoints would."""
    training, device = recipe.training, best_device()
    if training.patience:
        # at validation, so that the epoch's checkpoint holds whether it ended the phase
        options = {"mode": "max", "check_on_train_epoch_end": False}
        callbacks = [*callbacks, EarlyStopping("val_score", patience=training.patience, **options)]  # type: ignore[arg-type]
    if training.ema:
        callbacks = [WeightAveraging(device=device, avg_fn=partial(_average, training.ema)), *callbacks]
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its news, and an advertisement
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=training.devices,
        max_epochs=recipe.phases[number].epochs,
        precision=_PLUGIN[choose_precision(training.precision, device)],  # type: ignore[arg-type]
        gradient_clip_val=training.clip,
        accumulate_grad_batches=training.accumulate,
        callbacks=callbacks,
        logger=TensorBoardLogger(run, name="tensorboard", version=f"phase-{number + 1}"),
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )


def _average(decay: float, mean: Tensor, now: Tensor, count: object) -> Tensor:
    """Exponential moving average, in a form that does not move at all where the weights do not."""
    return now + decay * (mean - now)


def find_resume_point(run: Path) -> ResumePoint | None:
    """Where ``last.ckpt`` stands; None where there is none yet."""
    file = Run(run).last_checkpoint
    if not file.exists():
        say(f"{run}: no checkpoint yet; starting from the beginning")
        return None
    saved = _read(file)
    progress = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    ready, completed = (int(progress["current"][name]) for name in ("ready", "completed"))
    done = completed if completed < ready else 0  # equal at the end of an epoch
    epoch = int(saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    own = saved["morelli"]
    return ResumePoint(file, int(own["phase"]), epoch, done, float(own["best"]), bool(own.get("stopped")))


def load_weights(network: Network, file: Path, loss: MultiTaskLoss) -> None:
    """Network, but for its components, and loss out of a checkpoint (the averaged weights where the run averages)."""
    state = _read(file)["state_dict"]
    try:
        _fill(network, _under(state, "network."))
        loss.load_state_dict(_under(state, "loss."))
    except RuntimeError:
        raise RunError(f"{file}: does not fit this recipe; give the recipe that made it") from None


def load_before_refit(network: Network, run: Path) -> None:
    """Into the network of a refitted run the weights that it had when it had not learned its validation works."""
    file = Run(run).last_checkpoint
    if not file.exists():
        raise RunError(
            f"{file}: missing, and the run's own weights have learned its validation works; train it again"
        )
    _fill(network, _under(_read(file)["state_dict"], "network."))


def _fill(network: Network, state: dict[str, Tensor]) -> None:
    """Raises RuntimeError where anything but components is missing, or does not fit."""
    missing, strange = network.load_state_dict(state, strict=False)
    if strange or any(not name.startswith("components.") for name in missing):
        raise RuntimeError(f"missing {missing}, strange {strange}")


def _under(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}


def _read(file: Path) -> dict[str, Any]:
    try:
        # a checkpoint of one's own run holds Python objects of Lightning's loops
        return torch.load(file, map_location="cpu", weights_only=False)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "damaged"
        option = "with" if Run(file.parent.parent).is_refit else "without"  # the run before a refit is whole
        raise RunError(f"{file}: cannot be read ({why}); delete it and train {option} --resume") from None

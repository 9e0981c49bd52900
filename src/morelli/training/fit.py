"""Fitting a recipe to a collection, phase by phase."""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from morelli.collection.collection import Collection
from morelli.console import say
from morelli.errors import RunError
from morelli.network.loss import MultiTaskLoss
from morelli.network.network import Network
from morelli.prediction.device import best_device, choose_precision
from morelli.recipe import Recipe
from morelli.training.callbacks import Checkpoints, EpochLog, GracefulStop
from morelli.training.module import ReadingModule
from morelli.training.samplers import EpochBatches, class_counts
from morelli.training.sources import Sources

_PLUGIN = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Place:
    """Where a resumed run goes on: its checkpoint, phase, epoch, and batches of that epoch already done."""

    file: Path
    phase: int
    epoch: int
    batches: int
    best: float


def fit(
    recipe: Recipe, collection: Collection, network: Network, run: Path, resume: bool, how_to_go_on: str
) -> None:
    """Trains ``network`` in place and leaves it with the weights of the best epoch.

    Writes ``checkpoints/best.ckpt``, ``checkpoints/last.ckpt``, ``metrics.csv`` and TensorBoard events in
    ``run``. With ``resume`` goes on from ``last.ckpt`` with the numbers of an uninterrupted run (on one kind of
    machine). Raises :class:`RunError` for a checkpoint that cannot be read and :class:`StoppedError` on Ctrl-C.
    """
    sources = Sources(recipe, collection, network)
    counts: dict[str, Any] = {
        task: class_counts(sources.train_labels[:, column].numpy(), len(network.vocabularies[task]))
        for column, task in enumerate(recipe.tasks)
    }
    loss = MultiTaskLoss(recipe.tasks, recipe, counts)
    place = find_place(run) if resume else None
    best = place.best if place else float("-inf")
    for number in range(place.phase if place else 0, len(recipe.phases)):
        here = place if place and place.phase == number else None
        best = _fit_phase(recipe, sources, network, loss, run, number, here, best, how_to_go_on)
    load_weights(network, run / "checkpoints" / "best.ckpt")


def _fit_phase(
    recipe: Recipe,
    sources: Sources,
    network: Network,
    loss: MultiTaskLoss,
    run: Path,
    number: int,
    place: Place | None,
    best: float,
    how_to_go_on: str,
) -> float:
    """One phase; returns the best validation score so far."""
    phase, training = recipe.phases[number], recipe.training
    network.backbone.set_trainable(phase.train, phase.freeze_batch_norm)
    if place:  # the cache's key is made of the backbone as it is now
        load_weights(network, place.file)
    train, validate = sources.loaders(number)
    batches = train.batch_sampler
    assert isinstance(batches, EpochBatches)
    if place:
        batches.skip = place.batches
    module = ReadingModule(network, loss, recipe, number, batches)
    checkpoints = Checkpoints(run / "checkpoints", number, best)
    callbacks: list[Callback] = [
        EpochLog(run / "metrics.csv", len(recipe.phases), number, batches.count),
        checkpoints,
        GracefulStop(checkpoints, how_to_go_on),
    ]
    if training.patience:
        callbacks.append(
            EarlyStopping("val_score", mode="max", patience=training.patience, check_finite=True)
        )
    if training.ema:
        callbacks.insert(0, EMAWeightAveraging(decay=training.ema))
    device = best_device()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its news, and an advertisement
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1 if training.devices == "auto" and device.type != "cuda" else training.devices,
        max_epochs=phase.epochs,
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
    network.train()  # reading features for the cache left it in evaluation mode, and Lightning keeps what it finds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice to developers
        trainer.fit(module, train, validate, ckpt_path=place.file if place else None, weights_only=False)
    return checkpoints.best


def find_place(run: Path) -> Place | None:
    """Where ``last.ckpt`` stands; None where there is none yet."""
    file = run / "checkpoints" / "last.ckpt"
    if not file.exists():
        say(f"{run}: no checkpoint yet; starting from the beginning")
        return None
    saved = _read(file)
    progress = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    ready, completed = (int(progress["current"][name]) for name in ("ready", "completed"))
    done = completed if completed < ready else 0  # equal at the end of an epoch
    own = saved["morelli"]
    return Place(file, int(own["phase"]), int(saved["epoch"]), done, float(own["best"]))


def load_weights(network: Network, file: Path) -> None:
    """The network's weights out of a checkpoint (the averaged ones where the run averages)."""
    state = _read(file)["state_dict"]
    own = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
    try:
        network.load_state_dict(own)
    except RuntimeError:
        raise RunError(f"{file}: does not fit this recipe; give the recipe that made it") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        # a checkpoint of one's own run holds Python objects of Lightning's loops
        return torch.load(file, map_location="cpu", weights_only=False)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "damaged"
        raise RunError(f"{file}: cannot be read ({why}); delete it and train without --resume") from None

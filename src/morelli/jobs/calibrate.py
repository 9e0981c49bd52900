"""What validation is for once a network is trained: painters, temperature, prior, the thresholds of prediction sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morelli import recipe as recipes
from morelli.collection.collection import Collection
from morelli.jobs.evaluate import BEFORE_REFIT, predict_rows
from morelli.jobs.reading import read_rows
from morelli.judgement.calibration import apply_temperature, fit_temperature, fit_temperature_and_prior
from morelli.judgement.conformal import fit_thresholds
from morelli.judgement.painters import fit_painters, habits
from morelli.judgement.predictions import write
from morelli.network.network import Network
from morelli.network.painters import PAINTER, ThroughPainters
from morelli.prediction.model import Model
from morelli.training.samplers import class_counts


def calibrated(network: Network, recipe: recipes.Recipe, collection: Collection) -> Model:
    """The model of a trained network, calibrated on the validation split.

    The thresholds of the prediction sets are fitted to the calibrated readings of the very works that gave the
    temperature; what that costs in coverage is seen on the test split.
    """
    facts: dict[str, Any] = {
        "architecture": network.describe(),
        "backbone_weights": network.backbone.weights_used,
        "images_fingerprint": collection.fingerprint,
        "prepared_size": collection.info["size"],
    }
    model = Model(network, recipe, network.vocabularies, *network.colours, facts=facts)
    rows, training = collection.rows("val"), collection.rows("train")
    every = replace(model, vocabularies=network.learned)
    chances = read_rows(every, collection, rows, "calibrating").probabilities
    model.facts["conformal"] = {}
    for task, names in model.vocabularies.items():
        labels = collection.labels(task, names)
        counts = None
        if recipe.training.calibration != "temperature":
            counts = class_counts(labels[training], len(names))
        if network.painters:
            chances[task] = _hear_painters(network, task, collection, chances, counts)
        logits = _logarithms(chances[task])
        if counts is None:
            model.temperature[task] = fit_temperature(logits, labels[rows])
        else:
            model.temperature[task], _, shift = fit_temperature_and_prior(logits, labels[rows], counts)
            model.shift[task] = shift.tolist()
        calibrated = apply_temperature(chances[task], model.temperature[task], model.shift.get(task))
        model.facts["conformal"][task] = fit_thresholds(labels[rows], calibrated)
    return model


def refitted(model: Model, network: Network, collection: Collection, out: Path) -> Model:
    """``network``, which learned from the training and validation works, with the calibration of ``model``, which had
    not seen the latter; its predictions for them are kept, for whatever is chosen on validation.

    Both learned for as long, the one from fewer works; whether the calibration still fits is seen on the test split.
    """
    held_out = collection.rows("val")
    write(predict_rows(model, collection, held_out, "reading val"), out / BEFORE_REFIT)
    seen = np.concatenate([collection.rows("train"), held_out])
    for task in model.vocabularies if network.painters else ():
        before, after = (each.through[task] for each in (model.network, network))
        assert isinstance(before, ThroughPainters) and isinstance(after, ThroughPainters)
        after.load_state_dict(before.state_dict())
        after.habits.copy_(torch.from_numpy(_habits(network, task, collection, seen)))
    return replace(model, network=network, facts={**model.facts, "refit": True})


def _hear_painters(
    network: Network,
    task: str,
    collection: Collection,
    chances: dict[str, np.ndarray],
    counts: np.ndarray | None,
) -> np.ndarray:
    """Sets how ``task`` is answered through the painters, by the ``chances`` of the validation works; these as they are
    after that."""
    labels, rows = collection.labels(task, network.vocabularies[task]), collection.rows("val")
    table = _habits(network, task, collection, collection.rows("train"))
    own, painters = _logarithms(chances[task]), _logarithms(chances[PAINTER])
    voice = fit_painters(own, painters, table, labels[rows], counts)
    through = network.through[task]
    assert isinstance(through, ThroughPainters)
    through.load_state_dict(
        {
            "habits": torch.from_numpy(table),
            "weight": torch.tensor(voice.weight),
            "sharpness": torch.tensor(voice.sharpness),
        }
    )
    device = through.habits.device
    heard = through(torch.from_numpy(own).to(device), torch.from_numpy(painters).to(device))
    return heard.softmax(dim=1).cpu().numpy()


def _habits(network: Network, task: str, collection: Collection, rows: np.ndarray) -> np.ndarray:
    """(P, K): what each of the network's painters painted of the classes of ``task`` in ``rows``."""
    labels = collection.labels(task, network.vocabularies[task])[rows]
    painted = collection.painted_by(network.painters)[rows]
    return habits(painted, labels, len(network.painters), len(network.vocabularies[task]))


def _logarithms(chances: np.ndarray) -> np.ndarray:
    return np.log(np.clip(chances, 1e-12, None))

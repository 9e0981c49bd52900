"""What validation is for after training: artist prior, temperature, class prior, thresholds of prediction sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morelli import recipe as recipes
from morelli.collection.collection import Collection
from morelli.evaluation.calibration.artist_prior import class_given_artist, fit_artist_prior
from morelli.evaluation.calibration.conformal import fit_thresholds
from morelli.evaluation.calibration.temperature import (
    apply_temperature,
    fit_temperature,
    fit_temperature_and_prior,
)
from morelli.evaluation.predictions import write
from morelli.jobs.runner import predict_rows, read_rows
from morelli.network.artist_prior import PRIOR_ARTIST, ArtistPrior
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.run import Run
from morelli.training.samplers import class_counts


def calibrated(network: Network, recipe: recipes.Recipe, collection: Collection) -> Model:
    """The model of a trained network, calibrated on the validation split.

    The thresholds of the prediction sets are fitted to the calibrated readings of the very works that gave the
    temperature; the test split shows what that costs in coverage.
    """
    facts: dict[str, Any] = {
        "architecture": network.describe(),
        "backbone_weights": [each.weights_used for each in network.backbone.each()],
        "images_fingerprint": collection.fingerprint,
        "prepared_size": collection.info["size"],
    }
    model = Model(network, recipe, network.vocabularies, *network.colours, facts=facts)
    rows, training = collection.rows("val"), collection.rows("train")
    every = replace(model, vocabularies=network.learned)
    probabilities = read_rows(every, collection, rows, "calibrating").probabilities
    model.facts["conformal"] = {}
    for task, names in model.vocabularies.items():
        labels = collection.labels(task, names)
        counts = None
        if recipe.training.calibration != "temperature":
            counts = class_counts(labels[training], len(names))
        if network.artists:
            probabilities[task] = _fit_artist_prior(network, task, collection, probabilities, counts)
        logits = _logarithms(probabilities[task])
        if counts is None:
            model.temperature[task] = fit_temperature(logits, labels[rows])
        else:
            model.temperature[task], _, shift = fit_temperature_and_prior(logits, labels[rows], counts)
            model.shift[task] = shift.tolist()
        calibrated = apply_temperature(probabilities[task], model.temperature[task], model.shift.get(task))
        model.facts["conformal"][task] = fit_thresholds(labels[rows], calibrated)
    return model


def refitted(model: Model, network: Network, collection: Collection, out: Path) -> Model:
    """``network``, which learned from the training and validation works, with the calibration of ``model``, which had
    not seen the latter; its predictions for them are kept, for whatever is chosen on validation.

    Both learned for as long, the one from fewer works; the test split shows whether the calibration still fits.
    """
    held_out = collection.rows("val")
    write(predict_rows(model, collection, held_out, "reading val"), Run(out).before_refit_file)
    learned = np.concatenate([collection.rows("train"), held_out])
    for task in model.vocabularies if network.artists else ():
        before, after = (each.artist_prior[task] for each in (model.network, network))
        assert isinstance(before, ArtistPrior) and isinstance(after, ArtistPrior)
        after.load_state_dict(before.state_dict())
        after.class_given_artist.copy_(
            torch.from_numpy(_class_given_artist(network, task, collection, learned))
        )
    return replace(model, network=network, facts={**model.facts, "refit": True})


def _fit_artist_prior(
    network: Network,
    task: str,
    collection: Collection,
    probabilities: dict[str, np.ndarray],
    counts: np.ndarray | None,
) -> np.ndarray:
    """Fits the artist prior of ``task`` to the ``probabilities`` of the validation works, and sets it in the network.

    Returns the task's probabilities (N, K) with the prior added.
    """
    labels, rows = collection.labels(task, network.vocabularies[task]), collection.rows("val")
    table = _class_given_artist(network, task, collection, collection.rows("train"))
    own, artists = _logarithms(probabilities[task]), _logarithms(probabilities[PRIOR_ARTIST])
    fitted = fit_artist_prior(own, artists, table, labels[rows], counts)
    prior = network.artist_prior[task]
    assert isinstance(prior, ArtistPrior)
    prior.load_state_dict(
        {
            "class_given_artist": torch.from_numpy(table),
            "weight": torch.tensor(fitted.weight),
            "sharpness": torch.tensor(fitted.sharpness),
        }
    )
    device = prior.weight.device
    scores = prior(torch.from_numpy(own).to(device), torch.from_numpy(artists).to(device))
    return scores.softmax(dim=1).cpu().numpy()


def _class_given_artist(network: Network, task: str, collection: Collection, rows: np.ndarray) -> np.ndarray:
    """P(class | artist) (A, K) of ``task`` for the artists of the network, from the works ``rows``."""
    labels = collection.labels(task, network.vocabularies[task])[rows]
    artists = collection.artist_labels(network.artists)[rows]
    return class_given_artist(artists, labels, len(network.artists), len(network.vocabularies[task]))


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, 1e-12, None))

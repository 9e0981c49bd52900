"""A trace, the score that a map explains and the prediction are one answer, whatever comes after the embedding.

The truth here is computed by hand, in NumPy and from the raw outputs of the heads: members' mean probabilities, the
artist prior, temperature and class prior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax
from tiny import BASE, neck_settings
from torch import Tensor, nn

from morelli.network.artist_prior import PRIOR_ARTIST
from morelli.network.necks.neck import NECKS
from morelli.network.necks.scan import rows_as_tokens, scan
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.prediction.saliency import _Reading
from morelli.prediction.spatial_view import spatial_view
from morelli.prediction.trace import read_trace, step_probabilities
from morelli.recipe import parse

SIDE = 32
NAMES = {"artist": ["a", "b", "c"], "style": ["s", "t"], "genre": ["g", "h", "i", "j"]}
ARTISTS = ["ann", "bob", "cyd", "dee"]
TEMPERATURE = {"artist": 0.6, "style": 1.7, "genre": 1.0}
SHIFT = {"artist": [0.4, -0.1, -0.3], "style": [-0.5, 0.5], "genre": [0.0, 0.3, 0.0, -0.3]}

FIRST = {"name": "resnet18", "stage": [1, 2], "weights": "none"}
SECOND = {"name": "mobilenetv2_050", "weights": "none"}
MAP: dict[str, Any] = {"backbones": [{"name": "resnet18", "stage": 1, "weights": "none", "grid": 4}]}
ONE_CELL: dict[str, Any] = {"backbones": [MAP["backbones"][0] | {"grid": 1}]}


def statistics_of(*backbones: dict[str, Any], **features: Any) -> dict[str, Any]:
    return {"backbones": list(backbones), "features": {"readout": "statistics"} | features}


MOMENTS = {"statistics": ["moments", "gram"], "projections": 4, "fused": 10}
POOLED = {"kind": "statistics"} | MOMENTS
HIDDEN = {"kind": "mlp", "fused": 10}

MAP_NECKS: dict[str, dict[str, Any]] = {
    kind: neck_settings(kind, width=6, fused=10) for kind in NECKS if kind != "mlp"
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    kind: (MAP, neck) for kind, neck in MAP_NECKS.items()
}
CASES |= {
    f"{kind}, both directions, attention": (
        MAP,
        {"kind": kind, "width": 6, "bidirectional": True, "pool": "attention"},
    )
    for kind in ("lstm", "gru", "mingru", "convlstm")
}
CASES |= {
    "rows as tokens": (MAP, {"kind": "lstm", "width": 6, "tokens": "rows"}),
    "snake": (MAP, {"kind": "gru", "width": 6, "scan": "snake", "pool": "mean"}),
    "row and column means side by side": (
        MAP,
        {"kind": "rowcol", "width": 6, "projection": 5, "line_mean": True, "fuse": "concat"},
    ),
    "fused with statistics": (MAP, {"kind": "gru", "width": 6} | MOMENTS),
    "members of statistics": (MAP, POOLED | {"members": 3}),
    "hidden layer": (ONE_CELL, HIDDEN),
    "members of hidden layers": (ONE_CELL, HIDDEN | {"members": 3}),
    "maps of two backbones": ({"backbones": [MAP["backbones"][0], SECOND]}, {"kind": "gru", "width": 6}),
    "statistics": (statistics_of(FIRST), POOLED),
    "statistics, flipped, members": (statistics_of(FIRST, flip_average=True), POOLED | {"members": 2}),
    "statistics of two backbones": (statistics_of(FIRST, SECOND), POOLED),
    "components": (statistics_of(FIRST, components=8), HIDDEN),
    "components of two backbones, flipped, members": (
        statistics_of(FIRST, SECOND, components=8, flip_average=True),
        HIDDEN | {"members": 3},
    ),
}


def built(sections: dict[str, Any], neck: dict[str, Any]) -> Model:
    """A network of random weights with everything that can stand between an embedding and an answer."""
    torch.manual_seed(0)
    base = {name: section for name, section in BASE.items() if name != "backbone"}
    settings = parse(base | {"image": {"size": SIDE}, "neck": neck, "artist_prior": 2} | sections, "test")
    network = Network(settings, NAMES, artists=ARTISTS)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for number, (task, names) in enumerate(NAMES.items()):
        prior = network.artist_prior[task]
        prior.class_given_artist.copy_(torch.rand(len(ARTISTS), len(names)).softmax(dim=1) ** 3)
        prior.weight.fill_(1.5 + number)
        prior.sharpness.fill_(4.0)
    if network.components is not None:
        network.components.scale.uniform_(0.5, 1)
        network.components.basis.normal_()
    return Model(network, settings, NAMES, *network.colours, temperature=dict(TEMPERATURE), shift=dict(SHIFT))


def painting() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def head_scores(network: Network, name: str, embedding: Tensor) -> np.ndarray:
    """Log-probabilities (T, K) of one head, or of the mean probabilities of its members."""
    head, members = network.heads[name], network.recipe.neck.members
    if members == 1:
        return log_softmax(head(embedding).double().numpy(), axis=1)
    parts = embedding.chunk(members, dim=1)
    each = [
        log_softmax(one(part).double().numpy(), axis=1) for one, part in zip(head.members, parts, strict=True)
    ]
    return logsumexp(each, axis=0) - np.log(members)


def truth(network: Network, task: str, embedding: Tensor) -> np.ndarray:
    """Calibrated probabilities (T, K) of embeddings (T, D), by hand."""
    prior = network.artist_prior[task]
    artists = softmax(4.0 * head_scores(network, PRIOR_ARTIST, embedding), axis=1)
    given = np.log(artists @ prior.class_given_artist.double().numpy() + 1e-6)
    scores = head_scores(network, task, embedding) + float(prior.weight) * given
    return softmax(scores / TEMPERATURE[task] + np.array(SHIFT[task]), axis=1)


def without_prior(network: Network, task: str, embedding: Tensor) -> np.ndarray:
    scores = head_scores(network, task, embedding)
    return softmax(scores / TEMPERATURE[task] + np.array(SHIFT[task]), axis=1)


def prefixes(model: Model, features: Tensor) -> Tensor:
    """The embeddings (T, D) of the painting cut off after each token or row, one call of the neck for each."""
    neck, settings = model.network.neck, model.recipe.neck
    if settings.kind in ("lstm", "gru", "mingru") and not settings.statistics:
        tokens = rows_as_tokens(features) if settings.tokens == "rows" else scan(features, settings.scan)
        return torch.cat([neck.embed(tokens[:, :t]) for t in range(1, tokens.shape[1] + 1)])
    return torch.cat([neck(features[:, :, :t]) for t in range(1, features.shape[2] + 1)])


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_trace_explained_score_and_prediction_are_the_same_answer(case: str) -> None:
    model = built(*CASES[case])
    answer = model.predict(painting())[0]
    inside, features = spatial_view(model, painting())
    steps = step_probabilities(inside, features)
    embeddings = prefixes(inside, features)
    assert set(steps) == set(NAMES)
    for task in NAMES:
        explained = inside.calibrated(task, _Reading(inside.network, task)(features))
        near = {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(answer[task], truth(model.network, task, embeddings[-1:]), **near)
        np.testing.assert_allclose(explained, answer[task], **near)
        # as computed, before the trace takes the answer itself for its last row; and no other row jumps either
        np.testing.assert_allclose(steps[task], truth(model.network, task, embeddings), **near)
        np.testing.assert_allclose(steps[task][-1:], answer[task], **near)
        heads_alone = without_prior(model.network, task, embeddings)
        assert np.abs(heads_alone - steps[task].numpy()).max() > 0.02, "or the prior would not be tested"
    trace = read_trace(inside, features)
    for task in NAMES:
        np.testing.assert_array_equal(trace.probabilities[task][:-1], steps[task][:-1])
        np.testing.assert_allclose(trace.probabilities[task][-1], steps[task][-1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["gru", "members of statistics", "components of two backbones, flipped, members"]
)
def test_a_gradient_is_of_the_artist_prior_too(case: str) -> None:
    """A map explains the answer: the gradient of its score is that of the prior's as well."""
    model = built(*CASES[case])
    inside, features = spatial_view(model, painting())
    features = features.clone().requires_grad_()
    _Reading(inside.network, "style")(features)[0, 1].backward()
    whole, features.grad = features.grad, None
    inside.network.heads["style"](inside.network.neck(features))[0, 1].backward()
    assert whole is not None and features.grad is not None
    assert (whole - features.grad).abs().max() > 0.02 * whole.abs().max()

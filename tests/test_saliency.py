"""Maps of where the network looked, against networks whose maps are known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from tiny import neck_settings
from torch import nn

from morelli.errors import UsageError
from morelli.network.backbone.backbone import build_backbone
from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.network.necks.neck import NECKS
from morelli.network.necks.scan import SCANS
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.prediction.saliency import (
    GRADIENT_METHODS,
    METHODS,
    attention_map,
    gradient_map,
    has_attention,
    occlusion_map,
    over_painting,
    saliency,
    seen_box,
)
from morelli.preprocessing.pixels import square
from morelli.recipe import Backbone, Image, Neck, Phase, Recipe, Training

VOCABULARIES = {"artist": ["a", "b", "c"], "style": ["d", "e"]}
SIDE = 32


@cache
def backbone() -> FeatureExtractor:
    torch.manual_seed(0)
    made = build_backbone(Backbone(name="resnet18", stage=1, weights="none"), SIDE)
    return FeatureExtractor([made], SIDE)


def model(neck: Neck, **image: str) -> Model:
    """A network of random weights, the same whichever test comes first, that sees 32 pixels as 8 × 8 cells."""
    below = backbone()
    torch.manual_seed(1)
    recipe = Recipe(
        name="test",
        tasks=list(VOCABULARIES),
        phases=[Phase(epochs=1)],
        image=Image(size=SIDE, **image),
        neck=neck,
        training=Training(precision="fp32"),
    )
    network = Network(recipe, VOCABULARIES, below)
    return Model(network, recipe, VOCABULARIES, *network.colours)


def painting(seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


class Linear(nn.Module):
    """Σ over cells of weight[class, channel] · place[cell] · feature: its gradient is known everywhere."""

    def __init__(self, place: torch.Tensor) -> None:
        super().__init__()
        self.place = place

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features * self.place).sum(dim=(2, 3))


def linear_model(place: torch.Tensor, weight: torch.Tensor) -> Model:
    made = model(Neck(kind="mean"))
    head = nn.Linear(*weight.shape[::-1], bias=False)
    head.weight.data = weight
    made.network.neck = Linear(place)  # type: ignore[assignment]
    made.network.heads["style"] = head
    return made


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize("target", [0, 1])
def test_the_map_of_a_linear_network_is_what_its_method_says_by_hand(method: str, target: int) -> None:
    generator = torch.Generator().manual_seed(3)
    place = torch.rand(3, 4, generator=generator) - 0.3
    weight = torch.randn(2, 5, generator=generator)
    features = torch.rand(1, 5, 3, 4, generator=generator)
    maps, slope = features[0].double().numpy(), weight[target].double().numpy()
    gradient = slope[:, None, None] * place.double().numpy()
    if method == "grad-cam":
        wanted = (gradient.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0)
    elif method == "grad-cam++":
        share = gradient**2 / (2 * gradient**2 + maps.sum(axis=(1, 2))[:, None, None] * gradient**3 + 1e-6)
        weights = (np.maximum(gradient, 0) * share).sum(axis=(1, 2))
        wanted = (weights[:, None, None] * maps).sum(axis=0)
    else:
        wanted = (np.maximum(gradient, 0) * maps).sum(axis=0)
    wanted = np.maximum(wanted, 0)
    wanted -= wanted.min()
    assert wanted.max() > 0, "a map of zeros would prove nothing"
    found = gradient_map(linear_model(place, weight), features, "style", target, method)
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-4)


def test_the_map_is_of_the_chosen_task_and_class() -> None:
    place = torch.ones(3, 4)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    features = torch.zeros(1, 2, 3, 4)
    features[0, 0, 0, 0] = features[0, 1, 2, 3] = 1
    made = linear_model(place, weight)
    for target, cell in ((0, (0, 0)), (1, (2, 3))):
        found = gradient_map(made, features, "style", target, "grad-cam")
        assert np.argwhere(found > 0.5).tolist() == [list(cell)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(set(NECKS) - {"mlp"}))  # which reads no map
def test_every_neck_gives_every_map_and_keeps_its_weights(kind: str, method: str) -> None:
    made = model(Neck(**neck_settings(kind, width=6, pool="attention")))
    made.network.requires_grad_(False)
    made.network.heads.requires_grad_(True)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    if method == "attention" and kind in ("mean", "statistics"):
        with pytest.raises(UsageError, match=rf"--method attention: this run's neck \({kind}\)"):
            saliency(made, painting(), "artist", 2, method)
        return
    found = saliency(made, painting(), "artist", 2, method)
    assert found.shape == ((SIDE, SIDE) if method == "occlusion" else (8, 8))
    assert found.dtype == np.float32 and found.min() >= 0 and 0.99 < found.max() <= 1
    assert len(np.unique(found)) > 5
    assert all(torch.equal(before[name], value) for name, value in made.network.state_dict().items())
    assert all(p.grad is None for p in made.network.parameters()), "no gradient may be left behind"


@pytest.mark.parametrize("tokens", ["cells", "rows"])
def test_a_bidirectional_reading_over_two_layers_has_gradients_too(tokens: str) -> None:
    neck = Neck(kind="lstm", width=6, layers=2, bidirectional=True, tokens=tokens)
    found = saliency(model(neck), painting(), "style", 1, "layer-cam")
    assert found.shape == (8, 8) and found.max() > 0.99


def test_gradient_times_feature_says_nothing_before_a_normalisation() -> None:
    """Why HiResCAM is not offered: in every cell the gradient is orthogonal to the features."""
    made = model(Neck(kind="lstm", width=6))
    features = made.features(painting()[None]).clone().requires_grad_()
    made.network.heads["style"](made.network.neck(features))[0, 1].backward()
    assert features.grad is not None
    product = features.grad * features.detach()
    assert (product.sum(dim=1).abs() < 1e-3 * product.abs().sum(dim=1)).all()


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UsageError, match="--method smoke: must be one of grad-cam"):
        saliency(model(Neck(kind="mean")), painting(), "style", 0, "smoke")


class SeesOneSquare(Model):
    """Says class 1 of ``style`` the surer, the redder rows 8–15, columns 20–27 are."""

    def predict(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        red = images[:, 0, 8:16, 20:28].float().mean(dim=(1, 2)) / 255
        return {"style": torch.stack([1 - red, red], dim=1)}, torch.zeros(len(images), 1)


def watcher() -> SeesOneSquare:
    made = model(Neck(kind="mean"))
    return SeesOneSquare(made.network, made.recipe, made.vocabularies, made.mean, made.std)


def test_occlusion_finds_the_planted_square_and_nothing_else() -> None:
    pixels = torch.full((3, SIDE, SIDE), 60, dtype=torch.uint8)
    pixels[0, 8:16, 20:28] = 250
    found = occlusion_map(watcher(), pixels, "style", 1, patch=4, stride=2)
    assert found[8:16, 20:28].min() > 0.3 and found.max() == 1
    away = np.ones_like(found, dtype=bool)
    away[8 - 4 : 16 + 4, 20 - 4 : 28 + 4] = False
    assert found[away].max() == 0


def test_occlusion_shows_nothing_where_covering_only_helps() -> None:
    pixels = torch.full((3, SIDE, SIDE), 60, dtype=torch.uint8)
    pixels[0, 8:16, 20:28] = 250
    assert not occlusion_map(watcher(), pixels, "style", 0).any()


def test_occlusion_falls_are_those_of_the_log_probability_by_hand() -> None:
    made, pixels = model(Neck(kind="gru", width=6)), painting()
    half = SIDE // 2
    blank = pixels.float().mean(dim=(1, 2)).round().to(torch.uint8)
    base = made.predict(pixels[None])[0]["artist"][0, 1].log()
    falls = np.zeros((SIDE, SIDE))
    for top in (0, half):
        for left in (0, half):
            covered = pixels.clone()
            covered[:, top : top + half, left : left + half] = blank[:, None, None]
            fall = base - made.predict(covered[None])[0]["artist"][0, 1].log()
            falls[top : top + half, left : left + half] = max(float(fall), 0)
    assert falls.max() > 0
    found = occlusion_map(made, pixels, "artist", 1, patch=half, stride=half)
    np.testing.assert_allclose(found, falls / falls.max(), atol=1e-3)


@pytest.mark.parametrize("scan", SCANS)
def test_attention_lies_on_the_cells_that_were_read(scan: str) -> None:
    made = model(Neck(kind="gru", width=6, scan=scan, pool="attention"))
    features = made.features(painting()[None])
    neck, wanted = made.network.neck, np.zeros(64)
    order = SCANS[scan](8, 8)
    with torch.no_grad():
        hidden, states = None, []
        for cell in order:  # one at a time, carrying the state on
            token = neck.norm(features[0].flatten(1)[:, cell])
            _, hidden = neck.rnn(token[None, None], hidden)
            states.append(hidden[-1, 0])
        scores = neck.pool.score(neck.pool.project(torch.stack(states)).tanh())[:, 0]
    wanted[order] = scores.softmax(0)
    wanted = wanted.reshape(8, 8)
    np.testing.assert_allclose(attention_map(made, features), wanted / wanted.max(), atol=1e-5)


def test_attention_without_recurrence_is_that_of_each_cell_alone() -> None:
    made = model(Neck(kind="attention"))
    features = made.features(painting()[None])
    neck = made.network.neck
    with torch.no_grad():
        # cell by cell, in no order at all
        cells = neck.norm(features[0].permute(1, 2, 0))
        scores = neck.pool.score(neck.pool.project(cells).tanh())[..., 0]
    wanted = scores.flatten().softmax(0).view(8, 8).numpy()
    np.testing.assert_allclose(attention_map(made, features), wanted / wanted.max(), atol=1e-5)


def test_attention_of_rows_and_columns_is_the_mean_of_both_on_the_grid() -> None:
    made = model(Neck(kind="rowcol", width=6))
    features = made.features(painting()[None])
    neck = made.network.neck
    with torch.no_grad():
        cells = neck.norm(features.permute(0, 2, 3, 1))[0]
        rows = torch.stack([neck.rows(cells[row][None])[0][0] for row in range(8)])
        columns = torch.stack([neck.columns(cells[:, column][None])[0][0] for column in range(8)], dim=1)
        parts = [
            pool.weights(states.reshape(1, 64, -1)).view(8, 8)
            for pool, states in ((neck.row_pool, rows), (neck.column_pool, columns))
        ]
    wanted = (sum(parts) / 2).numpy()
    np.testing.assert_allclose(attention_map(made, features), wanted / wanted.max(), atol=1e-5)


def test_attention_to_rows_is_one_value_a_row() -> None:
    made = model(Neck(kind="gru", width=6, tokens="rows", pool="attention"))
    found = attention_map(made, made.features(painting()[None]))
    assert found.shape == (8, 8) and (found == found[:, :1]).all() and len(np.unique(found)) > 4


@pytest.mark.parametrize(("pool", "there"), [("last", False), ("mean", False), ("attention", True)])
def test_only_a_neck_that_pools_by_attention_says_so(pool: str, there: bool) -> None:
    assert has_attention(model(Neck(kind="convlstm", width=6, pool=pool))) is there


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (64, 64), (61, 333)])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_map_lies_where_the_network_saw_it_on_the_painting(fit: str, width: int, height: int) -> None:
    """A painting white in one cell of the square that the network sees: its map is strong there."""
    from PIL import Image as PIL

    left, top, right, bottom = seen_box(width, height, fit)
    x, y = (left + right) / 2 + (right - left) / 16, (top + bottom) / 2 + (bottom - top) / 16
    pixels = np.zeros((height, width, 3), np.uint8)
    dx, dy = (right - left) / 16, (bottom - top) / 16
    pixels[round(y - dy) : round(y + dy), round(x - dx) : round(x + dx)] = 255
    seen = np.asarray(square(PIL.fromarray(pixels), Image(size=SIDE, fit=fit)))[..., 0] > 128
    cells = seen.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert cells[4, 4] > 0.6, "the white square fell on another cell"
    found = over_painting(cells.astype(np.float32), width, height, fit)
    assert found.shape == (height, width) and 0 <= found.min() <= found.max() <= 1
    strong = np.argwhere(found > 0.9 * found.max()).mean(axis=0)
    np.testing.assert_allclose(strong, [y - 0.5, x - 0.5], atol=max(dx, dy) / 2)


def test_what_a_crop_leaves_out_is_zero_and_the_rest_is_smooth() -> None:
    found = over_painting(np.ones((7, 7), np.float32), 300, 200, "crop")
    assert (found[:, :50] == 0).all() and (found[:, 250:] == 0).all() and (found[:, 50:250] > 0.99).all()
    ramp = over_painting(np.tile(np.linspace(0, 1, 7, dtype=np.float32), (7, 1)), 280, 280)
    assert np.abs(np.diff(ramp, axis=1)).max() < 0.02

"""Statistics of several maps as what the neck reads, and a second backbone beside the first."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from shared import figures_left_blank
from tiny import BASE, morelli, painted_collection, recipe_file
from torch import nn

from morelli.collection.collection import Collection
from morelli.errors import RecipeError
from morelli.network.backbone.backbone import build_backbone
from morelli.network.backbone.feature_extractor import FeatureExtractor, build_extractor
from morelli.network.backbone.map_statistics import (
    MapStatistics,
    StatisticsLayout,
    deviations,
    parts_of,
    symmetric_index,
)
from morelli.network.necks.statistics import Gram, Statistics, _Mixed
from morelli.network.network import Network
from morelli.prediction.model import Model, load_model, save_model
from morelli.prediction.saliency import saliency
from morelli.prediction.spatial_view import spatial_view
from morelli.prediction.trace import read_trace
from morelli.recipe import Backbone, parse
from morelli.training.crossfit import pooled_statistics
from morelli.training.features import FeatureFile
from morelli.training.sources import backbone_features

SIDE = 64
FIRST = {"name": "resnet18", "stage": [1, 2], "weights": "none"}
SECOND = {"name": "mobilenetv2_050", "weights": "none"}
TWO = [FIRST, SECOND]
STATISTICS = {"readout": "statistics"}
READER = {key: value for key, value in BASE.items() if key != "backbone"} | {
    "image": {"size": SIDE},
    "backbones": TWO,
    "features": STATISTICS,
    "neck": {"kind": "statistics", "statistics": ["moments", "gram"], "projections": 6, "fused": 16},
}
NAMES = {"artist": ["a", "b", "c"], "style": ["s", "t"], "genre": ["g", "h"]}


def maps(*shapes):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, *shape, generator=generator) * 3 + 1 for shape in shapes]


def extractor(backbones: list[dict[str, Any]], features: dict[str, Any]) -> FeatureExtractor:
    tree = {"image": {"size": SIDE}, "backbones": backbones, "features": features, "phases": [{"epochs": 1}]}
    return build_extractor(parse(tree | {"name": "test"}, "test"))


def painting(seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def reader(**changes) -> Model:
    torch.manual_seed(3)
    settings = parse(READER | changes, "test")
    network = Network(settings, NAMES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # of a network that has seen something
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return Model(network, settings, NAMES, *network.colours)


def test_a_readout_has_means_and_covariances_of_each_map_and_of_wide_ones_variances():
    given = maps((5, 4, 6), (300, 2, 3))
    read = MapStatistics([5, 300])
    (mean, second), (wide_mean, wide_second) = parts_of(read(given), read.parts)
    for work in range(2):
        cells = given[0][work].flatten(1).double().numpy()
        np.testing.assert_allclose(mean[work], cells.mean(axis=1), atol=1e-5)
        wanted = np.cov(cells, bias=True)[np.triu_indices(5)]
        np.testing.assert_allclose(second[work], wanted, atol=1e-4)
        np.testing.assert_allclose(deviations(read.parts[0], second)[work], cells.std(axis=1), atol=1e-4)
        wide = given[1][work].flatten(1).double().numpy()
        np.testing.assert_allclose(wide_mean[work], wide.mean(axis=1), atol=1e-5)
        np.testing.assert_allclose(wide_second[work], wide.var(axis=1), atol=1e-3)
    assert read(given).shape == (2, 5 + 15 + 600, 1, 1)


def test_autocast_does_not_touch_the_products():
    given = maps((5, 40, 40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = MapStatistics([5])(given)
    torch.testing.assert_close(half, MapStatistics([5])(given), rtol=0, atol=0)


def test_a_gram_matrix_is_that_of_the_mixed_channels():
    torch.manual_seed(0)
    gram = Gram(StatisticsLayout(5), 3)
    (given,) = maps((5, 4, 6))
    mixed = torch.einsum("pc,bct->bpt", gram.mix.weight, given.flatten(2)).detach().double().numpy()
    wanted = np.stack([np.cov(work, bias=True)[np.triu_indices(3)] for work in mixed])
    wanted = torch.from_numpy(np.sign(wanted) * np.sqrt(np.abs(wanted) + 1e-6)).float()
    (found,) = parts_of(MapStatistics([5])([given]), [StatisticsLayout(5)])
    square = found[1][:, symmetric_index(5)].view(-1, 5, 5)
    torch.testing.assert_close(gram(square), gram.norm(wanted), rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_gram_matrix_is_that_of_plain_products():
    torch.manual_seed(0)
    square = torch.randn(3, 5, 5, dtype=torch.float64)
    square, weight = square + square.transpose(1, 2), torch.randn(2, 5, dtype=torch.float64)
    parts = [[each.clone().requires_grad_() for each in (square, weight)] for _ in range(2)]
    outer = torch.randn(3, 2, 2, dtype=torch.float64)
    (_Mixed.apply(*parts[0]) * outer).sum().backward()
    (parts[1][1] @ parts[1][0] @ parts[1][1].t() * outer).sum().backward()
    for ours, plain in zip(*parts, strict=True):
        torch.testing.assert_close(ours.grad, plain.grad)


def test_a_wide_part_has_no_gram_and_a_narrow_one_no_more_mixtures_than_channels():
    made = Statistics(["moments", "gram"], [StatisticsLayout(4), StatisticsLayout(300)], 64)
    assert [type(part).__name__ for part in made.parts] == ["Moments", "Gram", "Moments"]
    assert made.dim == 2 * 4 + 10 + 2 * 300


def test_maps_of_several_stages_are_joined_on_the_grid_of_the_last():
    torch.manual_seed(0)
    joined = extractor([{"stage": [1, 2, 3], "weights": "none"}], {}).eval()
    images = torch.randn(1, 3, SIDE, SIDE)
    fine, middle, last = joined.maps(images)
    found = joined(images)
    assert (joined.channels, joined.grid) == (64 + 128 + 256, (4, 4))
    torch.testing.assert_close(found[:, 192:], last)
    torch.testing.assert_close(found[0, 3, 1, 2], fine[0, 3, 4:8, 8:12].mean())
    torch.testing.assert_close(found[0, 64 + 3, 1, 2], middle[0, 3, 2:4, 4:6].mean())


def test_inner_stages_and_the_last_are_those_of_two_cuts():
    torch.manual_seed(0)
    both = build_backbone(Backbone(name="mobilenetv2_050", stage=[2, 3, "last"], weights="none"), SIDE).eval()
    cut = build_backbone(Backbone(name="mobilenetv2_050", stage=[2, 3], weights="none"), SIDE).eval()
    own = both.trunk.state_dict()
    cut.trunk.load_state_dict({key: own[key] for key in cut.trunk.state_dict()})
    images = torch.randn(1, 3, SIDE, SIDE)
    found = both(images)
    assert len(found) == 3
    for one, two in zip(found, cut(images), strict=False):
        torch.testing.assert_close(one, two)
    torch.testing.assert_close(found[2], both.trunk.forward_features(images))


def test_a_coarser_map_beside_is_repeated_and_sees_its_own_colours():
    both = extractor([{"stage": 2, "weights": "none"}, SECOND], {}).eval()
    second = both.backbones[1]
    second.mean, second.std = (0.5, 0.5, 0.5), (0.25, 0.5, 0.5)
    both.expect((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    pixels = torch.rand(1, 3, SIDE, SIDE)

    def as_seen_by(mean, std):
        return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    found = both(as_seen_by((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    (own,) = second(as_seen_by(second.mean, second.std))
    assert own.shape[2:] == (2, 2) and both.grid == (8, 8)
    torch.testing.assert_close(
        found[:, 128:], own.repeat_interleave(4, 2).repeat_interleave(4, 3), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("readout", ["map", "statistics"])
def test_an_image_and_its_mirror_image_are_read_alike(readout):
    torch.manual_seed(0)
    both = extractor(TWO, {"readout": readout, "flip_average": True}).eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    found = both(images)
    torch.testing.assert_close(both(images.flip(3)).flip(3), found)
    both.flip_average = False
    wanted = (both(images) + both(images.flip(3)).flip(3)) / 2
    torch.testing.assert_close(found, wanted)
    assert (found - both(images)).abs().max() > 0.01


def test_the_second_backbone_learns_only_where_all_of_the_first_does():
    both = extractor(TWO, STATISTICS)
    second = both.backbones[1]
    for train, wanted in (("all", True), (1, False), ("none", False)):
        both.set_trainable(train)
        assert {p.requires_grad for p in second.parameters()} == {wanted}
        assert second.train().trunk.training is True
        assert both.train().backbones[1].trunk.bn1.training is wanted


def test_a_saved_reader_answers_as_before_even_where_its_weights_came_with_other_colours(tmp_path):
    made = reader()
    second = made.network.backbone.backbones[1]
    second.mean = second.std = (0.3, 0.3, 0.3)
    made.network.backbone.expect(*made.network.colours)
    wanted, vector = made.predict(painting()[None])
    (tmp_path / "run").mkdir()
    save_model(made, tmp_path / "run")
    told = json.loads((tmp_path / "run" / "model.json").read_text())
    told["recipe"]["backbones"][1]["weights"] = "a-file-that-is-elsewhere.safetensors"
    (tmp_path / "run" / "model.json").write_text(json.dumps(told))
    again = load_model(tmp_path / "run")
    found, same = again.predict(painting()[None])
    torch.testing.assert_close(same, vector, rtol=0, atol=0)
    torch.testing.assert_close(found["style"], wanted["style"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"neck": {"kind": "lstm"}}, "neck.kind: lstm reads a map, but features.readout is statistics"),
        ({"backbones": [FIRST | {"stage": [2, 1]}, SECOND]}, r"backbones.0.stage: \[2, 1\] must rise"),
        ({"backbones": [FIRST | {"stage": [1, 9]}]}, "has no stage 9; choose 0 to 4"),
        ({"backbones": [FIRST | {"stage": []}]}, "backbones.0.stage"),
        ({"backbones": [FIRST | {"stage": ["last", 2]}]}, "must rise"),
        ({"backbones": [FIRST | {"stage": [9, "last"]}]}, "has no stage 9; choose 0 to 4"),
        ({"backbones": [FIRST, {"name": "resnet17"}]}, "backbones.1.name: timm has no model resnet17"),
        ({"backbones": []}, "backbones"),
        ({"backbone": FIRST}, "give backbone, or a list of backbones, not both"),
    ],
)
def test_a_mistake_is_one_sentence(changes, why):
    with pytest.raises(RecipeError, match=why):
        reader(**changes)


def test_what_is_pooled_for_the_second_opinion_is_the_moments_of_every_map(tmp_path):
    made = reader()
    images = torch.stack([painting(seed) for seed in range(6)])
    read = made.features(images).numpy().astype(np.float16)

    np.save(tmp_path / "features.npy", read)
    rows = np.arange(6)
    found = pooled_statistics(
        FeatureFile(tmp_path / "features.npy", rows), rows, made.network.backbone.layout
    )
    with torch.inference_mode():
        pixels = (images / 255 - torch.tensor(made.mean).view(3, 1, 1)) / torch.tensor(made.std).view(3, 1, 1)
        given = made.network.backbone.maps(pixels)
    wanted = torch.cat(
        [m.mean(dim=(2, 3)) for m in given] + [m.std(dim=(2, 3), correction=0) for m in given], dim=1
    )
    assert found.shape == wanted.shape
    told = (wanted.std(dim=0) > 0.02).numpy()  # float16 carries these to two digits and more
    assert told.sum() > 100
    wanted = ((wanted - wanted.mean(dim=0)) / wanted.std(dim=0, correction=0)).numpy()
    np.testing.assert_allclose(found[:, told], wanted[:, told], atol=0.1)


@pytest.mark.parametrize("flip_average", [False, True])
def test_an_opened_reader_answers_the_same_and_shows_where_and_when(flip_average):
    made = reader(features=STATISTICS | {"flip_average": flip_average})
    pixels = painting()
    answer = made.predict(pixels[None])[0]["style"]
    inside, features = spatial_view(made, pixels[None])
    assert features.shape[1:] == (128, 8, 8)
    near = 1e-5 if flip_average else 0  # the cells of the mirror image are summed in another order
    torch.testing.assert_close(inside.read(features)[0]["style"], answer, rtol=near, atol=near)
    trace = read_trace(inside, features)
    assert (trace.grid, len(trace), trace.unit, trace.ordered) == ((8, 8), 8, "row", False)
    half = pixels.clone()
    half[:, -4:] = 0
    other = read_trace(*spatial_view(made, half[None]))
    np.testing.assert_allclose(trace.probabilities["style"][-1], answer[0], atol=near)
    assert np.abs(trace.probabilities["style"][-1] - other.probabilities["style"][-1]).max() > 1e-5
    found = saliency(made, pixels, "style", 1, "layer-cam")
    assert found.shape == (8, 8) and len(np.unique(found)) > 5


@pytest.mark.slow
def test_the_whole_way_from_collection_to_report(tmp_path):
    collection = painted_collection(tmp_path, 60)
    small = {"image": {"size": 32}, "augment": {"mixup": 0.4}}
    file = recipe_file(tmp_path, **{key: READER[key] for key in ("backbones", "features", "neck")}, **small)
    run = tmp_path / "run"
    morelli(f"train {file} --data {collection} --out {run}")
    with figures_left_blank():  # those of the report and the explanation are drawn
        morelli(f"evaluate {run}")
        morelli(f"audit {run} --folds 2 --epochs 1")
    morelli(f"report {run}")
    work = next(iter((tmp_path / "p" / "wikiart").glob("*/*.jpg")))
    morelli(f"explain {run} '{work}'")
    assert (run / "report" / "index.html").is_file() and list((run / "explain").glob("*/trace_style.png"))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return Collection.open(painted_collection(tmp_path_factory.mktemp("few"), 40))


def cached(collection, backbones, monkeypatch):
    """The cached features of all works, and how many images each backbone read for them."""
    torch.manual_seed(3)
    recipe = parse(READER | {"backbones": backbones, "image": {"size": 32}}, "test")
    network = Network(recipe, NAMES)
    for module, seed in zip(
        network.backbone.each(), [backbone["name"] for backbone in backbones], strict=True
    ):
        torch.manual_seed(len(seed))  # the same weights whichever backbones stand beside
        for parameter in module.parameters():
            parameter.data.normal_(0, 0.05)
    model, read = Model(network, recipe, NAMES, *network.colours), []
    part = Model.part
    monkeypatch.setattr(Model, "part", lambda self, n, images: read.append(n) or part(self, n, images))
    made = backbone_features(collection, model, collection.rows("all"), recipe)
    monkeypatch.setattr(Model, "part", part)
    return made.read(collection.rows("all")), read


@pytest.mark.slow
def test_features_of_each_backbone_are_cached_apart_and_another_combination_computes_nothing_anew(
    few, monkeypatch
):
    third = {"name": "resnet10t", "stage": 1, "weights": "none"}
    both, read = cached(few, TWO, monkeypatch)
    assert set(read) == {0, 1}
    again, read = cached(few, TWO, monkeypatch)
    assert read == [] and np.array_equal(again, both)
    alone, read = cached(few, [FIRST], monkeypatch)
    assert read == [] and np.array_equal(alone, both[:, : alone.shape[1]])
    more, read = cached(few, [FIRST, SECOND, third], monkeypatch)
    assert set(read) == {2} and np.array_equal(more[:, : both.shape[1]], both)
    with_third, read = cached(few, [FIRST, third], monkeypatch)
    assert read == [] and with_third.shape[1] == alone.shape[1] + more.shape[1] - both.shape[1]

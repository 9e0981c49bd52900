"""The row and column neck with all its options: against a module written apart, plain loops, and its recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morelli import recipe as recipes
from morelli.network.necks.neck import build_neck
from morelli.network.necks.pooling import AttentionPool
from morelli.network.necks.rowcol import Projection, RowColumnNeck
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.prediction.saliency import attention_map
from morelli.recipe import Backbone, Image, Neck, Phase, Recipe, Training

CHANNELS, REDUCED, WIDTH = 12, 7, 5
ALL = {"projection": REDUCED, "line_mean": True, "fuse": "concat", "attention_hidden": 0, "layers": 2}


def built(**options: object) -> RowColumnNeck:
    torch.manual_seed(0)
    neck = build_neck(Neck(kind="rowcol", width=WIDTH, **options), CHANNELS, (4, 3))
    assert isinstance(neck, RowColumnNeck)
    return neck


def maps(batch: int = 3, height: int = 4, width: int = 3) -> Tensor:
    return torch.randn(batch, CHANNELS, height, width, generator=torch.Generator().manual_seed(1)) * 2 + 1


class Reference(nn.Module):
    """The public network between its map and its classifier, from its description, one line at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(CHANNELS, REDUCED, 1, bias=False), nn.BatchNorm2d(REDUCED), nn.ReLU()
        )
        self.across = nn.GRU(REDUCED, WIDTH, 2, batch_first=True, bidirectional=True)
        self.down = nn.GRU(REDUCED, WIDTH, 2, batch_first=True, bidirectional=True)
        self.score_row, self.score_column = (nn.Linear(2 * WIDTH, 1, bias=False) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        small = self.reduce(features)
        vectors = []
        for work, full in zip(small, features, strict=True):
            rows = [self.across(work[:, y].t()[None])[0][0].mean(0) for y in range(work.shape[1])]
            columns = [self.down(work[:, :, x].t()[None])[0][0].mean(0) for x in range(work.shape[2])]
            parts = []
            for lines, score in ((rows, self.score_row), (columns, self.score_column)):
                exponents = torch.stack([score(line).exp() for line in lines])
                shares = exponents / exponents.sum()
                parts.append(sum(share * line for share, line in zip(shares, lines, strict=True)))
            vectors.append(torch.cat([*parts, full.flatten(1).mean(1)]))
        return torch.stack(vectors)

    def take(self, neck: RowColumnNeck) -> Reference:
        assert neck.projection is not None
        pairs = [
            (self.reduce[0], neck.projection.mix),
            (self.reduce[1], neck.projection.norm),
            (self.across, neck.rows),
            (self.down, neck.columns),
            (self.score_row, neck.row_pool.score),
            (self.score_column, neck.column_pool.score),
        ]
        for mine, its in pairs:
            mine.load_state_dict(its.state_dict())
        assert sum(p.numel() for p in self.parameters()) == sum(p.numel() for p in neck.parameters())
        return self


@pytest.mark.parametrize("training", [True, False])
def test_with_all_its_options_the_neck_is_the_public_network(training: bool) -> None:
    neck = built(**ALL)
    assert neck.projection is not None
    neck.projection.norm.running_mean = torch.linspace(-1, 1, REDUCED)
    neck.projection.norm.running_var = torch.linspace(0.5, 2, REDUCED)
    reference = Reference().take(neck)
    neck.train(training), reference.train(training)
    mine, its = maps().requires_grad_(), maps().requires_grad_()
    torch.testing.assert_close(neck(mine), reference(its))
    neck(mine).square().sum().backward()
    reference(its).square().sum().backward()
    torch.testing.assert_close(mine.grad, its.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(neck.projection.norm.running_mean, reference.reduce[1].running_mean)
    torch.testing.assert_close(neck.projection.norm.running_var, reference.reduce[1].running_var)


def test_a_lines_mean_is_weighed_and_not_its_cells() -> None:
    neck = built(line_mean=True).eval()
    cells = neck.norm(maps(1).permute(0, 2, 3, 1))[0]  # (4, 3, C)
    rows = torch.stack([neck.rows(cells[y][None])[0].mean(dim=1)[0] for y in range(4)])
    columns = torch.stack([neck.columns(cells[:, x][None])[0].mean(dim=1)[0] for x in range(3)])
    parts = [neck.row_pool(rows[None]), neck.column_pool(columns[None]), cells.mean(dim=(0, 1))[None]]
    torch.testing.assert_close(neck(maps(1)), neck.fuse(torch.cat(parts, dim=1)))


def test_concatenated_parts_stand_beside_the_mean_of_the_map() -> None:
    neck = built(fuse="concat").eval()
    assert neck.dim == 4 * WIDTH + CHANNELS and neck(maps()).shape == (3, neck.dim)
    cells = neck.norm(maps().permute(0, 2, 3, 1))
    torch.testing.assert_close(neck(maps())[:, 4 * WIDTH :], cells.mean(dim=(1, 2)))
    raw = built(fuse="concat", projection=REDUCED).eval()
    torch.testing.assert_close(raw(maps())[:, 4 * WIDTH :], maps().mean(dim=(2, 3)))


def test_attention_without_a_hidden_layer_scores_the_states_themselves() -> None:
    torch.manual_seed(0)
    pool, states = AttentionPool(6, 0), torch.randn(2, 5, 6)
    assert [name for name, _ in pool.named_parameters()] == ["score.weight"]
    wanted = (states @ pool.score.weight[0]).softmax(dim=1)
    torch.testing.assert_close(pool.weights(states), wanted)


@pytest.mark.parametrize(("layer_dropout", "between"), [(None, 0.4), (0.2, 0.2), (0.0, 0.0)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "mingru", "rowcol"])
def test_dropout_between_layers_may_differ_from_that_of_the_vector(
    kind: str, layer_dropout: float | None, between: float
) -> None:
    settings = Neck(kind=kind, width=WIDTH, layers=2, dropout=0.4, layer_dropout=layer_dropout)
    neck = build_neck(settings, CHANNELS, (4, 3))
    recurrent = [neck.rows, neck.columns] if kind == "rowcol" else [neck.rnn]
    rates = [rnn.dropout.p if kind == "mingru" else rnn.dropout for rnn in recurrent]
    assert neck.dropout.p == 0.4 and set(rates) == {between}


def test_a_projection_of_one_cell_trains_and_leaves_the_running_statistics() -> None:
    torch.manual_seed(0)
    projection = Projection(CHANNELS, REDUCED).train()
    cell = maps(1, 1, 1)
    torch.testing.assert_close(projection(cell), projection.eval()(cell))
    assert projection.norm.num_batches_tracked == 0
    projection.train()(maps(2, 1, 1))
    assert projection.norm.num_batches_tracked == 1


def test_in_training_what_is_projected_has_no_scale() -> None:
    projection = Projection(CHANNELS, REDUCED).train()
    torch.testing.assert_close(projection(1000 * maps()), projection(maps()), rtol=1e-3, atol=1e-4)


def test_attention_to_lines_is_shared_by_their_cells() -> None:
    torch.manual_seed(0)
    recipe = Recipe(
        name="test",
        tasks=["style"],
        image=Image(size=32),
        backbone=Backbone(name="resnet18", stage=1, weights="none"),
        neck=Neck(kind="rowcol", width=6, line_mean=True),
        phases=[Phase(epochs=1)],
        training=Training(precision="fp32"),
    )
    network = Network(recipe, {"style": ["a", "b"]}).eval()
    made = Model(network, recipe, network.vocabularies, *network.colours)
    features = torch.randn(1, 64, 5, 3)
    neck = network.neck
    assert isinstance(neck, RowColumnNeck)
    wanted = np.zeros((5, 3))
    with torch.no_grad():
        cells = neck.norm(features.permute(0, 2, 3, 1))[0]
        rows = torch.stack([neck.rows(cells[y][None])[0][0].mean(0) for y in range(5)])
        columns = torch.stack([neck.columns(cells[:, x][None])[0][0].mean(0) for x in range(3)])
        of_rows, of_columns = neck.row_pool.weights(rows[None])[0], neck.column_pool.weights(columns[None])[0]
    for y in range(5):
        for x in range(3):
            wanted[y, x] = (of_rows[y] / 3 + of_columns[x] / 5) / 2
    assert wanted.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(attention_map(made, features), wanted / wanted.max(), atol=1e-5)


@pytest.mark.parametrize(("task", "trained"), [("style", [6, 14]), ("genre", [10]), ("artist", [10])])
def test_the_public_recipes_build_the_public_network(task: str, trained: list[int]) -> None:
    recipe = recipes.load(f"karvy-singh-{task}", ["backbone.weights=none", "image.size=64"])
    network = Network(recipe, {task: list("abc")})
    assert network.dim == 512 + 512 + 2048 == 3072
    assert [type(part).__name__ for part in network.heads[task]] == ["Dropout", "Linear"]
    assert network.heads[task][0].p == 0.4 and network.neck.dropout.p == 0
    assert [phase.epochs for phase in recipe.phases] == trained
    for phase in recipe.phases:
        network.backbone.set_trainable(phase.train)
        (trunk,) = [each.trunk for each in network.backbone.modules() if hasattr(each, "trunk")]
        frozen = [name for name, p in trunk.named_parameters() if not p.requires_grad]
        stem = ["conv1.weight", "bn1.weight", "bn1.bias"]
        assert frozen == ([] if phase.train == "all" else stem)
    assert recipe.sampler.balance == [task] and recipe.sampler.power == 1

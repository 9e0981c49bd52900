"""One contract over every neck, scan, pool, direction and head, and over the network they make."""

from __future__ import annotations

import copy
import itertools
from typing import get_args

import pytest
import torch
from jaxtyping import TypeCheckError
from tiny import neck_settings
from torch import nn

from morelli.errors import RecipeError, UsageError
from morelli.network.backbone.backbone import build_backbone
from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.network.head import build_head
from morelli.network.loss import MultiTaskLoss
from morelli.network.necks.neck import NECKS, build_neck
from morelli.network.necks.pooling import AttentionPool
from morelli.network.necks.scan import SCANS
from morelli.network.network import Network
from morelli.recipe import Backbone, Head, Image, Neck, Phase, Recipe

CHANNELS, WIDTH, CLASSES = 12, 8, 5
OPTIONS = ("projection", "line_mean", "fuse", "attention_hidden", "layer_dropout")
POOLS = get_args(Neck.model_fields["pool"].annotation)
RECURRENT = [
    Neck(kind=kind, scan=scan, width=WIDTH, pool=pool, bidirectional=both, layers=2 if both else 1)
    for kind, scan, pool, both in itertools.product(["lstm", "gru", "mingru"], SCANS, POOLS, [False, True])
]
ROWS = [
    Neck(kind="convlstm", width=WIDTH, pool=pool, bidirectional=both)
    for pool, both in itertools.product(POOLS, [False, True])
]
OTHERS = ROWS + [
    Neck(kind=kind, scan=scan, width=WIDTH, layers=2)
    for kind in ["rowcol", "mean", "attention"]
    for scan in SCANS
]
OTHERS += [
    Neck(kind=kind, width=WIDTH, statistics=statistics, projections=5, fused=9)
    for kind in ["lstm", "rowcol", "statistics"]
    for statistics in (["moments"], ["gram"], ["moments", "gram"])
]
ROWCOLS = [
    {"projection": 7},
    {"line_mean": True},
    {"fuse": "concat"},
    {"attention_hidden": 0},
    {"projection": 7, "line_mean": True, "fuse": "concat", "attention_hidden": 0, "layer_dropout": 0.2},
    {"projection": 7, "fuse": "concat", "statistics": ["moments"], "fused": 9},
]
OTHERS += [Neck(kind="rowcol", width=WIDTH, layers=2, **options) for options in ROWCOLS]
OTHERS += [
    Neck(kind=kind, width=WIDTH, pool="attention", attention_hidden=0) for kind in ["lstm", "convlstm"]
]
HEADS = [Head(), Head(kind="mlp", widths=[7, 6]), Head(kind="residual-se", widths=[16, 6])]


def name_of(settings):
    if isinstance(settings, Head):
        return settings.kind
    return (
        f"{settings.kind}-{settings.scan}-{settings.pool}-{'both' if settings.bidirectional else 'one'}"
        + "".join(f"-{kind}" for kind in settings.statistics)
        + "".join(f"-{option}" for option in OPTIONS if getattr(settings, option) != getattr(Neck(), option))
    )


every_neck = pytest.mark.parametrize("settings", RECURRENT + OTHERS, ids=name_of)
every_head = pytest.mark.parametrize("head", HEADS, ids=name_of)


def built(settings, head=None):
    torch.manual_seed(0)
    neck = build_neck(settings, CHANNELS, (4, 3))
    return neck, build_head(head or Head(), neck.dim, CLASSES)


def maps(batch=3, height=4, width=3):
    generator = torch.Generator().manual_seed(1)
    return 40 * torch.randn(batch, CHANNELS, height, width, generator=generator) + 10


def test_every_kind_of_neck_a_recipe_allows_is_here():
    assert {settings.kind for settings in RECURRENT + OTHERS} == set(NECKS) - {"mlp"}  # it reads no map
    assert set(NECKS) == set(get_args(Neck.model_fields["kind"].annotation))


@every_neck
@every_head
def test_gradient_reaches_the_feature_map_and_every_parameter(settings, head):
    neck, classify = built(settings, head)
    features = maps().requires_grad_()
    logits = classify(neck(features))
    assert logits.shape == (3, CLASSES)
    logits.square().sum().backward()
    # every cell, not only the last one read
    assert (features.grad.abs().sum(dim=1) > 0).all()
    parameters = [*neck.named_parameters(), *classify.named_parameters()]
    assert [name for name, p in parameters if p.grad is None or p.grad.abs().sum() == 0] == []


@every_neck
@pytest.mark.parametrize("grid", [(5, 3), (1, 1), (7, 4)])
def test_a_batch_of_one_trains_on_any_grid(settings, grid):
    neck, classify = built(settings.model_copy(update={"dropout": 0.3}), HEADS[2])
    features = maps(1, *grid).requires_grad_()
    embedding = neck.train()(features)
    assert embedding.shape == (1, neck.dim)
    classify.train()(embedding).square().sum().backward()
    assert features.grad.isfinite().all()


@every_neck
def test_evaluation_is_deterministic_and_takes_each_work_by_itself(settings):
    neck, classify = built(settings.model_copy(update={"dropout": 0.5}))
    neck.eval(), classify.eval()
    with torch.no_grad():
        once, again = classify(neck(maps())), classify(neck(maps()))
        alone = torch.cat([classify(neck(one[None])) for one in maps()])
    assert torch.equal(once, again)
    torch.testing.assert_close(alone, once)


@pytest.mark.parametrize("settings", [s for s in RECURRENT + OTHERS if not s.projection], ids=name_of)
def test_the_scale_of_the_features_does_not_matter(settings):
    neck = built(settings)[0].eval()
    torch.testing.assert_close(neck(1000 * maps()), neck(maps()), rtol=1e-3, atol=1e-4)


TORCHS = [
    s for s in RECURRENT if s.pool == "last" and s.kind != "mingru"
]  # whose last state torch gives as well


@pytest.mark.parametrize("settings", TORCHS, ids=name_of)
def test_last_is_the_final_hidden_state_torch_returns(settings):
    neck = built(settings)[0].eval()
    order = SCANS[settings.scan](4, 3)
    tokens = neck.norm(maps().flatten(2).transpose(1, 2)[:, order])
    final = neck.rnn(tokens)[1]
    final = final[0] if settings.kind == "lstm" else final
    wanted = torch.cat([final[-2], final[-1]], dim=1) if settings.bidirectional else final[-1]
    torch.testing.assert_close(neck(maps()), wanted)


@pytest.mark.parametrize("scan", SCANS)
def test_a_scan_is_the_row_scan_of_a_map_laid_out_in_its_order(scan):
    neck = built(Neck(kind="gru", width=WIDTH, scan=scan))[0]
    plain = copy.deepcopy(neck)
    plain.scan = "row"
    laid_out = maps().flatten(2)[:, :, SCANS[scan](4, 3)].unflatten(2, (4, 3))
    torch.testing.assert_close(neck(maps()), plain(laid_out))


@pytest.mark.parametrize("kind", ["mean", "attention"])
@pytest.mark.parametrize("scan", SCANS)
def test_necks_without_recurrence_do_not_care_for_the_order(kind, scan):
    one, other = built(Neck(kind=kind))[0], built(Neck(kind=kind, scan=scan))[0]
    torch.testing.assert_close(one(maps()), other(maps()))


def test_the_row_column_neck_reads_each_row_and_column_by_itself():
    neck = built(Neck(kind="rowcol", width=WIDTH))[0].eval()
    cells = neck.norm(maps(1).permute(0, 2, 3, 1))[0]
    rows = torch.cat([neck.rows(cells[row][None])[0][0] for row in range(4)])
    columns = torch.cat([neck.columns(cells[:, column][None])[0][0] for column in range(3)])
    parts = [neck.row_pool(rows[None]), neck.column_pool(columns[None]), cells.mean(dim=(0, 1))[None]]
    torch.testing.assert_close(neck(maps(1)), neck.fuse(torch.cat(parts, dim=1)))


def conv_lstm_by_hand(neck, rows):
    """The states of each row (w, W) by the equations of the gates, one cell at a time."""
    enter, carry = neck.enter.weight, neck.carry.weight  # (4W, C, 1, 3), (4W, W, 3)
    width = rows.shape[1]
    hidden, memory, states = torch.zeros(width, WIDTH), torch.zeros(width, WIDTH), []
    for row in rows:
        new_hidden, new_memory = hidden.clone(), memory.clone()
        for column in range(width):
            gates = neck.enter.bias.clone()
            for step in (-1, 0, 1):
                if 0 <= column + step < width:
                    gates = gates + enter[:, :, 0, step + 1] @ row[column + step]
                    gates = gates + carry[:, :, step + 1] @ hidden[column + step]
            put, forget, new, out = gates.split(WIDTH)
            new_memory[column] = forget.sigmoid() * memory[column] + put.sigmoid() * new.tanh()
            new_hidden[column] = out.sigmoid() * new_memory[column].tanh()
        hidden, memory = new_hidden, new_memory
        states.append(hidden)
    return torch.stack(states)


def test_each_hidden_layer_of_a_head_has_its_own_dropout():
    head = build_head(Head(kind="mlp", widths=[8, 6, 4], dropout=[0.3, 0.2, 0.1]), WIDTH, CLASSES)
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.2, 0.1]


@pytest.mark.parametrize("pool", POOLS)
def test_the_convolutional_lstm_reads_down_and_up_as_its_equations_say(pool):
    neck = built(Neck(kind="convlstm", width=WIDTH, bidirectional=True, pool=pool))[0].eval()
    cells = neck.norm(maps(1).permute(0, 2, 3, 1))[0]  # (4, 3, C)
    down, up = conv_lstm_by_hand(neck.down, cells), conv_lstm_by_hand(neck.up, cells.flip(0)).flip(0)
    both = torch.cat([down, up], dim=-1)  # (4, 3, 2W)
    ends = torch.cat([down[-1].mean(0), up[0].mean(0)])
    wanted = {"last": ends, "mean": both.mean(dim=(0, 1))}.get(pool)
    wanted = neck.pool(both.flatten(0, 1)[None])[0] if wanted is None else wanted
    torch.testing.assert_close(neck(maps(1))[0], wanted, rtol=1e-4, atol=1e-5)


def test_rows_as_tokens_read_a_map_as_a_sequence_of_its_flattened_rows():
    neck = built(Neck(kind="gru", width=WIDTH, tokens="rows"))[0].eval()
    tokens = torch.stack([maps()[:, :, row].transpose(1, 2).flatten(1) for row in range(4)], dim=1)
    assert tokens.shape == (3, 4, 3 * CHANNELS)
    torch.testing.assert_close(neck(maps()), neck.states(tokens)[:, -1])


def test_rows_as_tokens_are_refused_by_a_neck_that_reads_no_sequence():
    with pytest.raises(RecipeError, match=r"neck\.tokens: rows is for lstm, gru and mingru, not for rowcol"):
        built(Neck(kind="rowcol", tokens="rows"))


def test_attention_weights_are_positive_and_sum_to_one():
    torch.manual_seed(0)
    pool, states = AttentionPool(CHANNELS), torch.randn(2, 7, CHANNELS)
    weights = pool.weights(states)
    assert (weights > 0).all() and weights.sum(1).tolist() == pytest.approx([1, 1])
    by_hand = torch.stack([weights[work] @ states[work] for work in range(2)])
    torch.testing.assert_close(pool(states), by_hand)


def test_embedding_a_beginning_is_reading_a_shorter_sequence():
    neck = built(Neck(kind="lstm", width=WIDTH))[0].eval()
    tokens = maps().flatten(2).transpose(1, 2)
    states = neck.states(tokens)
    for length in (1, 5, 12):
        torch.testing.assert_close(neck.embed(tokens[:, :length]), states[:, length - 1])


# the whole network ------------------------------------------------------------------------------------

VOCABULARIES = {"artist": ["a", "b", "c"], "style": ["d", "e"], "genre": ["f", "g", "h", "i"]}


def network(**changes):
    torch.manual_seed(0)
    settings = {
        "backbones": [Backbone(name="resnet18", stage=2, weights="none")],
        "image": Image(size=32),
        "neck": Neck(kind="gru", width=WIDTH),
        "heads": {"default": HEADS[1], "style": HEADS[2]},
    }
    return Network(Recipe(name="test", phases=[Phase(epochs=1)], **(settings | changes)), VOCABULARIES)


def paintings(batch=2):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def labels(**changes):
    return {task: torch.tensor(changes.get(task, [1, 0])) for task in VOCABULARIES}


def counted():
    return {task: torch.ones(len(names)) for task, names in VOCABULARIES.items()}


def test_the_network_is_its_two_halves():
    whole = network().eval()
    embedding, logits = whole.read(whole.features(paintings()))
    assert embedding.shape == (2, whole.dim) == (2, WIDTH)
    assert {task: tuple(scores.shape) for task, scores in logits.items()} == {
        "artist": (2, 3),
        "style": (2, 2),
        "genre": (2, 4),
    }
    assert all(torch.equal(scores, whole(paintings())[task]) for task, scores in logits.items())


def test_the_same_seed_gives_the_same_scores():
    assert torch.equal(network().eval()(paintings())["genre"], network().eval()(paintings())["genre"])


@pytest.mark.parametrize("weights", ["uncertainty", {}])
def test_a_task_unknown_in_the_whole_batch_teaches_its_head_nothing(weights):
    whole = network(task_weights=weights)
    loss = MultiTaskLoss(whole.tasks, whole.recipe, counted())
    total, _ = loss(whole(paintings()), labels(style=[-1, -1]))
    total.backward()
    assert all(p.grad.abs().max() == 0 for p in whole.heads["style"].parameters())
    assert whole.backbone.backbones[0].trunk.conv1.weight.grad.abs().max() > 0


@pytest.mark.parametrize("kind", sorted(set(NECKS) - {"mlp"}))
def test_half_precision_and_channels_last_train_with_finite_numbers(kind):
    whole = network(neck=Neck(**neck_settings(kind, width=WIDTH))).to(memory_format=torch.channels_last)
    loss = MultiTaskLoss(whole.tasks, whole.recipe, counted())
    with torch.autocast("cpu", torch.bfloat16):
        logits = whole(paintings().contiguous(memory_format=torch.channels_last))
        total, losses = loss(logits, labels())
    total.backward()
    assert total.dtype == torch.float32 and all(one.isfinite() for one in losses.values())
    assert all(p.grad.isfinite().all() for p in whole.parameters())
    exact = loss(network(neck=Neck(**neck_settings(kind, width=WIDTH)))(paintings()), labels())[0]
    assert total.item() == pytest.approx(exact.item(), rel=0.1)


def test_the_description_counts_every_parameter_and_gives_the_shapes_that_flow():
    whole = network(tasks=["style", "genre"])
    told = whole.describe()
    parts = [*told["backbones"], told["neck"], *told["heads"].values()]
    assert sum(part["parameters"] for part in parts) == sum(p.numel() for p in whole.parameters())
    channels, *grid = whole.features(paintings()).shape[1:]
    assert (told["features"]["channels"], told["features"]["grid"]) == (channels, grid)
    assert told["neck"]["tokens"] == grid[0] * grid[1] and told["neck"]["dim"] == WIDTH
    assert {task: head["classes"] for task, head in told["heads"].items()} == {"style": 2, "genre": 4}


def test_a_backbone_given_is_used_as_it_is():
    made = build_backbone(Backbone(name="resnet18", stage=1, weights="none"), 32)
    backbone = FeatureExtractor([made], 32)
    recipe = Recipe(name="test", phases=[Phase(epochs=1)])  # its own backbone would need the hub
    whole = Network(recipe, VOCABULARIES, backbone)
    assert whole.backbone is backbone and whole.neck.norm.normalized_shape == (64,)


def test_tasks_beyond_the_recipe_get_no_head():
    assert list(network(tasks=["style"])(paintings())) == ["style"]


def test_a_task_without_classes_is_named():
    with pytest.raises(UsageError, match=r"genre has no classes"):
        Network(network().recipe, {**VOCABULARIES, "genre": []})


def test_images_without_colour_are_caught_by_their_shape():
    with pytest.raises(TypeCheckError):
        network()(torch.zeros(2, 1, 32, 32))


def test_a_network_survives_a_copy_and_a_reload():
    whole = network()
    twin = copy.deepcopy(whole)
    fresh = network(neck=Neck(kind="gru", width=WIDTH))
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    fresh.load_state_dict(whole.state_dict())
    for other in (twin, fresh):
        assert torch.equal(other.eval()(paintings())["artist"], whole.eval()(paintings())["artist"])

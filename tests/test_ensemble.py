"""Members answer together, learn apart, and differ."""

from __future__ import annotations

import json

import pytest
import torch
from test_map_statistics import NAMES, READER
from tiny import morelli, painted_collection, recipe_file

from morelli.errors import RecipeError
from morelli.network.network import Network
from morelli.recipe import parse

NECK = {"kind": "statistics", "statistics": ["moments", "gram"], "projections": 6, "fused": 16, "members": 3}


def network() -> Network:
    torch.manual_seed(0)
    return Network(parse(READER | {"neck": NECK}, "test"), NAMES)


def read_by(made: Network, number: int, features: torch.Tensor, task: str) -> torch.Tensor:
    return made.heads[task].members[number](made.neck.members[number](features))


def test_the_answer_is_the_mean_of_the_members_probabilities() -> None:
    made = network().eval()
    features = torch.rand(4, made.backbone.channels, 1, 1)
    vector, logits = made.read(features)
    assert vector.shape == (4, 48) == (4, made.dim)
    for task in NAMES:
        each = torch.stack([read_by(made, number, features, task).softmax(dim=1) for number in range(3)])
        assert (each[0] - each[1]).abs().max() > 1e-3, "members that agree would prove nothing"
        torch.testing.assert_close(logits[task].softmax(dim=1), each.mean(dim=0))
        torch.testing.assert_close(logits[task].exp(), each.mean(dim=0))


def test_in_training_each_member_has_its_own_logits_and_gradient() -> None:
    made = network().train()
    for module in made.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    features = torch.rand(4, made.backbone.channels, 1, 1)
    logits = made.read(features)[1]["style"]
    assert logits.shape == (12, 2)
    for number in range(3):
        torch.testing.assert_close(
            logits[4 * number : 4 * number + 4], read_by(made, number, features, "style")
        )
    logits[4:8].sum().backward()
    learned = [
        any(p.grad is not None and p.grad.abs().sum() > 0 for p in neck.parameters())
        for neck in made.neck.members
    ]
    assert learned == [False, True, False]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("contrastive", [None, {"tasks": ["style"], "projection": 8}])
def test_members_are_trained_and_evaluated(tmp_path, contrastive) -> None:
    collection = painted_collection(tmp_path, 90)
    changes = {
        "image": {"size": 32},
        "backbones": READER["backbones"],
        "features": READER["features"],
        "neck": NECK,
        "contrastive": contrastive,
    }
    changes |= {} if contrastive else {"augment": {"mixup": 0.4}}
    run = tmp_path / "run"
    morelli(f"train {recipe_file(tmp_path, **changes)} --data {collection} --out {run}")
    morelli(f"evaluate {run}")
    assert json.loads((run / "scores-test.json").read_text())["tasks"]["style"]["accuracy"] > 0.3


def test_members_of_another_neck_are_refused() -> None:
    with pytest.raises(RecipeError, match="members are for kinds statistics and mlp, not for lstm"):
        parse(READER | {"neck": {"kind": "lstm", "members": 2}}, "test")

"""Folding batch norms into convolutions: the same map, no norm left that could go, and none gone that could not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morelli.network.backbone.backbone import Backbone
from morelli.network.network import Network
from morelli.prediction import fuse_batch_norm
from morelli.prediction.fuse_batch_norm import fuse_batch_norms
from morelli.recipe import parse

NAMES = {"style": ["a", "b"]}


def network(
    backbone: str = "resnet18", stage: Any = 1, size: int = 64, flip_average: bool = False, **more: Any
) -> Network:
    """With norms whose statistics are not those of a new one."""
    settings = {"name": backbone, "stage": stage, "weights": "none", **more}
    phases = [{"epochs": 1}]
    tree = {"name": "t", "tasks": ["style"], "image": {"size": size}, "backbone": settings, "phases": phases}
    tree["features"] = {"flip_average": flip_average}
    torch.manual_seed(0)
    made = Network(parse(tree, "test"), NAMES)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return made.eval()


@torch.inference_mode()
def maps(backbone: nn.Module, images: Tensor) -> Tensor:
    return backbone(images)


def norms(made: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in made.modules())


@pytest.mark.parametrize(
    ("backbone", "stage", "size", "left"),
    [
        ("resnet18", 3, 64, 0),
        ("efficientnet_b0", 2, 64, 0),  # norms that bring their activation along
        ("mobilenetv3_small_050", 2, 64, 0),
        ("regnety_002", 2, 64, 0),
        ("convnext_atto", 1, 64, 0),  # has none
    ],
)
def test_the_map_is_the_same(backbone: str, stage: int, size: int, left: int) -> None:
    made = network(backbone, stage, size)
    images = torch.randn(3, 3, size, size)
    before, count = maps(made.backbone, images), norms(made)
    folded = fuse_batch_norms(made)
    assert norms(folded) == left
    assert norms(made) == count  # the network itself can still be trained and saved
    for after in (maps(folded, images), maps(made.backbone, images)):
        assert (after - before).abs().max() < 1e-4 * before.abs().max()


def test_a_norm_before_its_convolution_stays() -> None:
    made = network("resnetv2_50", 1)
    images = torch.randn(2, 3, 64, 64)
    folded = fuse_batch_norms(made)
    assert 0 < norms(folded) < norms(made)
    torch.testing.assert_close(maps(folded, images), maps(made.backbone, images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("more", [{"patches": 2}, {"flip_average": True}])
def test_several_passes_for_an_image_are_read_as_before(more: dict[str, Any]) -> None:
    made = network("resnet18", 1, 64, **more)
    images = torch.randn(2, 3, 64, 64)
    folded = fuse_batch_norms(made)
    assert norms(folded) == 0
    torch.testing.assert_close(maps(folded, images), maps(made.backbone, images), rtol=1e-3, atol=1e-4)


class Twice(nn.Module):
    """One convolution, whose output two norms take."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        made = self.conv(images)
        return self.one(made) + self.other(made)


def test_a_convolution_that_two_norms_take_is_left() -> None:
    _, pairs = fuse_batch_norm._conv_norm_pairs(Twice().eval(), torch.rand(1, 3, 8, 8))
    assert pairs == []


def test_a_backbone_that_would_read_otherwise_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()

    def wrong(backbone: Backbone, conv: str, norm: str) -> None:
        fuse_batch_norm._put(backbone, norm, nn.Identity())

    monkeypatch.setattr(fuse_batch_norm, "_fold", wrong)
    assert fuse_batch_norms(made) is made.backbone

"""Backbones: one contract over timm's families, and every way a recipe can be wrong."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from morelli.errors import RecipeError
from morelli.network.backbone.backbone import build_backbone
from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.recipe import Backbone

# name, stage, pixels, channels, side of the grid
FAMILIES = [
    ("resnet18", 1, 64, 64, 16),
    ("resnet18", 2, 64, 128, 8),
    ("resnet18", 3, 64, 256, 4),
    ("resnet18", 4, 64, 512, 2),
    ("resnet18", "last", 64, 512, 2),
    ("mobilenetv2_100", "last", 64, 1280, 2),
    ("mobilenetv2_100", 2, 64, 32, 8),
    ("efficientnet_b0", "last", 64, 1280, 2),
    ("efficientnet_b0", 3, 64, 112, 4),
    ("vgg11_bn", "last", 64, 512, 2),
    ("vgg11_bn", 3, 64, 512, 8),
    ("swin_tiny_patch4_window7_224", "last", 64, 768, 2),
    ("swin_tiny_patch4_window7_224", 1, 64, 192, 8),
    ("vit_tiny_patch16_224", "last", 64, 192, 4),
    ("vit_tiny_patch16_224", 5, 64, 192, 4),
    ("vit_tiny_patch16_224", "last", 224, 192, 14),
    ("convnext_atto", "last", 64, 320, 2),
    ("convnext_atto", 2, 64, 160, 4),
]


def random(name="resnet18", stage="last", size=64, **settings):
    torch.manual_seed(0)
    made = build_backbone(Backbone(name=name, stage=stage, weights="none", **settings), size)
    return FeatureExtractor([made], size)


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: "-".join(map(str, family[:3])))
def built(request):
    name, stage, size, channels, side = request.param
    return random(name, stage, size), size, channels, side


def images(size, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


# every family -----------------------------------------------------------------------------------------


def test_the_feature_map_has_the_announced_shape(built):
    backbone, size, channels, side = built
    assert (backbone.channels, backbone.grid) == (channels, (side, side))
    assert backbone.eval()(images(size)).shape == (2, channels, side, side)
    assert backbone.backbones[0].weights_used == "none"


def test_stages_hold_every_parameter_once(built):
    backbone = built[0]
    ids = [id(p) for stage in backbone.stages() for p in stage.parameters()]
    assert sorted(ids) == sorted(id(p) for p in backbone.parameters())
    assert len(backbone.stages()) > 1 and all(list(stage.parameters()) for stage in backbone.stages())


def test_gradient_reaches_the_images_and_every_parameter(built):
    backbone, size, *_ = built
    backbone.train().zero_grad()
    pixels = images(size).requires_grad_()
    torch.manual_seed(0)
    backbone(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_stages_are_in_the_order_the_image_passes_them(built):
    backbone, size, *_ = built
    started, handles = [], []
    for position, stage in enumerate(backbone.stages()):
        for module in stage.modules():
            if not isinstance(module, nn.ModuleList | nn.ParameterList):
                note = lambda *_, at=position: started.append(at)  # noqa: E731
                handles.append(module.register_forward_pre_hook(note))
    backbone.eval()(images(size, 1))
    for handle in handles:
        handle.remove()
    assert started == sorted(started)
    assert set(started) == set(range(len(backbone.stages())))


def test_only_the_last_stages_learn_and_the_frozen_ones_stay_fixed(built):
    backbone, size, *_ = built
    backbone.set_trainable(1)
    backbone.train()
    *frozen, last = backbone.stages()
    assert not any(p.requires_grad for stage in frozen for p in stage.parameters())
    assert all(p.requires_grad for p in last.parameters())
    before = {
        key: value.clone()
        for stage in frozen
        for key, value in stage.state_dict(prefix=f"{id(stage)}").items()
    }
    backbone(images(size))
    after = {key: value for stage in frozen for key, value in stage.state_dict(prefix=f"{id(stage)}").items()}
    assert all(torch.equal(before[key], after[key]) for key in before)
    backbone.set_trainable("all")
    assert all(p.requires_grad for p in backbone.parameters()) and all(m.training for m in backbone.modules())


# one family, in depth ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("stage", [1, "last"])
def test_the_map_is_timms_own_forward_intermediates(name, stage):
    """timm computes the same maps along another path; the cut model must be the beginning of the whole."""
    whole = timm.create_model(name, num_classes=0, **({} if name == "resnet18" else {"img_size": 64})).eval()
    backbone, weights = random(name, stage).eval(), whole.state_dict()
    for key, own in backbone.backbones[0].trunk.state_dict().items():
        own.copy_(weights[key.removeprefix("model.").replace("layers_", "layers.")])
    options = {"output_fmt": "NCHW", "intermediates_only": True, "norm": stage == "last"}
    with torch.no_grad():
        wanted = whole.forward_intermediates(images(64), indices=[1] if stage == 1 else 1, **options)[-1]
        torch.testing.assert_close(backbone(images(64)), wanted)


def test_grid_averages_the_map():
    whole, pooled = random(stage=3).eval(), random(stage=3, grid=2).eval()
    assert pooled.grid == (2, 2)
    quarters = whole(images(64)).unflatten(3, (2, 2)).unflatten(2, (2, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(pooled(images(64)), quarters)


def test_patches_are_seen_apart_and_laid_side_by_side():
    backbone = random(size=96, patches=3, grid=2).eval()
    assert (backbone.channels, backbone.grid) == (512, (6, 6))
    pictures = images(96)
    whole = backbone(pictures)
    for row in range(3):
        for column in range(3):
            piece = pictures[:, :, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            own = backbone.backbones[0]
            alone = own.pool(own.trunk.forward_features(piece))
            mine = whole[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            torch.testing.assert_close(mine, alone, rtol=1e-4, atol=1e-5)
    assert random(size=96, patches=3).grid == (3, 3)  # one token a patch where no grid is given


def test_channels_last_images_give_the_same_map():
    backbone = random(stage=3).eval()
    expected = backbone(images(64))
    backbone = backbone.to(memory_format=torch.channels_last)
    actual = backbone(images(64).contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train,learning", [("none", 0), (0, 0), (2, 2), ("all", 5)])
def test_batch_norm_of_frozen_stages_stays_in_evaluation_mode(train, learning):
    backbone = random()
    backbone.set_trainable(train)
    backbone.eval()
    backbone.train()
    modes = [{m.training for m in s.modules() if isinstance(m, nn.BatchNorm2d)} for s in backbone.stages()]
    assert modes == [{False}] * (5 - learning) + [{True}] * learning


def test_freeze_batch_norm_holds_the_statistics_of_learning_stages_too():
    backbone = random()
    backbone.set_trainable("all", freeze_batch_norm=True)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.named_buffers()}
    backbone(images(64))
    assert all(torch.equal(before[key], value) for key, value in backbone.named_buffers())
    assert backbone.backbones[0].trunk.layer4.training and all(p.requires_grad for p in backbone.parameters())
    backbone.set_trainable("all")
    assert all(m.training for m in backbone.modules())


def test_more_stages_than_there_are_is_an_error_that_counts_them():
    with pytest.raises(RecipeError, match=r"train=9.* 5 stages"):
        random().set_trainable(9)


def test_a_backbone_built_where_no_gradient_is_kept_is_whole():
    settings = Backbone(name="mobilenetv2_100", stage=[2, "last"], weights="none")
    with torch.no_grad():
        built = build_backbone(settings, 64)
    expected = build_backbone(settings, 64)
    assert list(built.state_dict()) == list(expected.state_dict())


def test_the_same_seed_gives_the_same_network():
    one, two = random("convnext_atto"), random("convnext_atto")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


# recipes that are wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"name": "resnet81"}, r"no model resnet81; did you mean .*resnet\d"),
        ({"name": "resnet18.nonsense"}, r"resnet18 has no weights tagged nonsense"),
        ({"stage": 5}, r"no stage 5; choose 0 to 4 .*3: 256, 4: 512"),
        ({"stage": -1}, r"no stage -1; choose 0 to 4"),
        ({"name": "mobilenetv2_100", "stage": 9}, r"no stage 9; choose 0 to 4 .*4: 320"),
        ({"name": "vit_tiny_patch16_224", "stage": 12}, r"no stage 12; choose 0 to 11"),
        ({"name": "swin_tiny_patch4_window7_224", "stage": 4}, r"no stage 4; choose 0 to 3"),
        ({"options": {"colour": 3}}, r"backbone\.options: colour is not an option of resnet18"),
        ({"options": {"num_classes": 3}}, r"num_classes is set by Morelli"),
        ({"options": {"block_args": 3}}, r"correct backbone\.options"),
    ],
)
def test_a_wrong_recipe_is_one_sentence_that_names_the_setting(settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        build_backbone(Backbone(weights="none", **settings), 64)
    assert "\n" not in str(caught.value)


def test_an_image_too_small_for_the_model_names_the_size():
    with pytest.raises(RecipeError, match=r"image\.size: .*16 pixels"):
        random("inception_v3", size=16)
    assert isinstance(random("resnet18", size=16), FeatureExtractor)


def test_a_model_with_several_last_maps_is_refused_in_a_sentence():
    with pytest.raises(RecipeError, match=r"coat_tiny .*several maps; choose a stage by number"):
        random("coat_tiny")

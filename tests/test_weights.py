"""Weights of a backbone: files whole and cut, lists of choices, and a hub out of reach."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from morelli.errors import WeightsError
from morelli.network.backbone.backbone import build_backbone
from morelli.recipe import Backbone

REAL = os.environ.get("MORELLI_REAL_DATA")
real_data = pytest.mark.skipif(not REAL, reason="needs the weight files of MORELLI_REAL_DATA")


FAMILIES = [
    ("resnet18", 2),
    ("mobilenetv2_100", "last"),
    ("mobilenetv2_100", 2),
    ("efficientnet_b0", 3),
    ("vgg11_bn", "last"),
    ("vgg11_bn", 3),
    ("swin_tiny_patch4_window7_224", "last"),
    ("swin_tiny_patch4_window7_224", 1),
    ("vit_tiny_patch16_224", "last"),
    ("vit_tiny_patch16_224", 5),
    ("convnext_atto", "last"),
    ("convnext_atto", 2),
    ("densenet121", 2),
]


def write(folder: Path, name="resnet18", file="w.safetensors", drop=(), metadata=None, **options) -> dict:
    torch.manual_seed(7)
    tensors = timm.create_model(name, **options).state_dict()
    tensors = {key: value for key, value in tensors.items() if not key.startswith(tuple(drop))}
    if file.endswith(".safetensors"):
        save_file(tensors, folder / file, metadata=metadata)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in tensors.items()}}, folder / file)
    return tensors


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth", "w.pt"])
def test_a_file_cut_behind_the_stage_fills_the_cut_network(tmp_path, file):
    tensors = write(tmp_path, file=file, drop=("layer4", "fc"))
    backbone = build_backbone(Backbone(stage=3, weights=file), 64, [tmp_path / "nowhere", tmp_path])
    assert all(torch.equal(value, tensors[key]) for key, value in backbone.trunk.state_dict().items())
    digits = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()[:12]
    assert backbone.weights_used == f"{file} sha256:{digits}"


@pytest.mark.slow
@pytest.mark.parametrize("name,stage", FAMILIES)
def test_a_whole_models_file_fills_every_cut_of_every_family(tmp_path, name, stage):
    # without vgg's hidden classifier layers: half a gigabyte that no cut needs
    tensors = write(tmp_path, name, drop=("pre_logits",), **({"img_size": 64} if "patch" in name else {}))
    backbone = build_backbone(Backbone(name=name, stage=stage, weights=str(tmp_path / "w.safetensors")), 64)
    stored = {(value.shape, value.double().sum().item()) for value in tensors.values()}
    assert {(p.shape, p.double().sum().item()) for p in backbone.parameters()} <= stored


def test_position_embeddings_of_another_image_size_are_resampled(tmp_path):
    tensors = write(tmp_path, "vit_tiny_patch16_224")
    backbone = build_backbone(
        Backbone(name="vit_tiny_patch16_224", weights=str(tmp_path / "w.safetensors")), 64
    )
    assert backbone.trunk.pos_embed.shape == (1, 17, 192)
    torch.testing.assert_close(backbone.trunk.pos_embed[:, 0], tensors["pos_embed"][:, 0])


def test_environment_variables_in_a_file_name_are_expanded(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setenv("PAINTED_WEIGHTS", str(tmp_path))
    backbone = build_backbone(Backbone(weights="$PAINTED_WEIGHTS/w.safetensors"), 64)
    assert backbone.weights_used.startswith("w.safetensors sha256:")


def test_mean_and_std_of_the_files_metadata_replace_timms(tmp_path):
    write(tmp_path, metadata={"mean": "0.5", "std": "0.1, 0.2, 0.3"})
    backbone = build_backbone(Backbone(weights=str(tmp_path / "w.safetensors")), 64)
    assert (backbone.mean, backbone.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    untouched = build_backbone(Backbone(weights="none"), 64)
    assert (untouched.mean, untouched.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_weights_made_with_another_padding_are_refused(tmp_path):
    write(tmp_path, "mobilenetv2_100", metadata={"arch": "mobilenetv2_100", "pad_type": "same"})
    file = str(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"set backbone\.options\.pad_type=same"):
        build_backbone(Backbone(name="mobilenetv2_100", weights=file), 64)
    same = Backbone(name="mobilenetv2_100", weights=file, options={"pad_type": "same"})
    assert build_backbone(same, 64).weights_used.startswith("w.safetensors")


def test_a_missing_key_is_named_with_its_file(tmp_path):
    write(tmp_path, drop=("layer3.1.conv2",))
    with pytest.raises(WeightsError, match=r"w\.safetensors: holds no layer3\.1\.conv2\.weight"):
        build_backbone(Backbone(stage=3, weights=str(tmp_path / "w.safetensors")), 64)


@pytest.mark.slow
def test_a_key_of_another_shape_is_named_with_both_shapes(tmp_path):
    write(tmp_path, stem_type="deep", stem_width=16)
    settings = Backbone(weights=str(tmp_path / "w.safetensors"), options={"stem_type": "deep"})
    with pytest.raises(
        WeightsError, match=r"conv1\.0\.weight is \(16, 3, 3, 3\), but resnet18 needs \(64, 3, 3, 3\)"
    ):
        build_backbone(settings, 64)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_a_damaged_file_is_one_sentence(tmp_path, file):
    (tmp_path / file).write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match=f"{file}: cannot be read as weights"):
        build_backbone(Backbone(weights=str(tmp_path / file)), 64)


def test_a_torch_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        build_backbone(Backbone(weights=str(tmp_path / "trap.pth")), 64)
    assert not (tmp_path / "sprung").exists()


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))


def test_a_hub_out_of_reach_is_one_sentence_with_the_way_out(no_hub):
    with pytest.raises(WeightsError) as caught:
        build_backbone(Backbone(weights="pretrained"), 64)
    message = str(caught.value)
    assert "resnet18" in message and "hub" in message and "\n" not in message
    assert "backbone.weights=FILE" in message and "none" in message


@pytest.mark.slow
def test_a_list_of_weights_is_tried_in_order(no_hub, tmp_path):
    write(tmp_path)
    choices = ["absent.safetensors", "pretrained", "w.safetensors", "none"]
    assert build_backbone(Backbone(weights=choices), 64, [tmp_path]).weights_used.startswith("w.safetensors")
    assert build_backbone(Backbone(weights=choices), 64).weights_used == "none"


def test_a_list_that_fails_says_what_was_tried(no_hub):
    with pytest.raises(WeightsError, match=r"none of absent\.safetensors, pretrained can be had"):
        build_backbone(Backbone(weights=["absent.safetensors", "pretrained"]), 64)


def test_a_model_timm_never_trained_says_so():
    untrained = next(
        name for name in timm.list_models() if not timm.models.is_model_pretrained(name) and "atto" in name
    )
    with pytest.raises(WeightsError, match=f"no pretrained weights for {untrained}"):
        build_backbone(Backbone(name=untrained, weights="pretrained"), 64)


@real_data
def test_the_real_resnet_file_fills_a_network_cut_after_layer_three():
    settings = Backbone(stage=3, weights="resnet18-to-layer3.safetensors")
    backbone = build_backbone(settings, 224, [Path(REAL) / "weights"])
    assert [each.shape[1:] for each in backbone(torch.zeros(1, 3, 224, 224))] == [(256, 14, 14)]
    assert backbone.mean == (0.485, 0.456, 0.406)
    with pytest.raises(WeightsError, match=r"holds no layer4\."):
        build_backbone(settings.model_copy(update={"stage": 4}), 64, [Path(REAL) / "weights"])


@real_data
def test_the_real_mobilenet_file_fills_the_whole_network():
    file = "mobilenetv2_100-same-padding.safetensors"
    settings = Backbone(name="mobilenetv2_100", weights=file, options={"pad_type": "same"})
    backbone = build_backbone(settings, 224, [Path(REAL) / "weights"])
    assert [each.shape[1:] for each in backbone.eval()(torch.zeros(1, 3, 224, 224))] == [(1280, 7, 7)]
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)

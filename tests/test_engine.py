"""The quicker backbone: the same map whichever way it is computed, and PyTorch where another way fails."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morelli.network.network import Network
from morelli.prediction import engine
from morelli.prediction.engine import MIN_IMAGES_FOR_ONNX, MIN_IMAGES_TO_FUSE, use_fast_backbone
from morelli.prediction.model import Model
from morelli.recipe import parse

NAMES = {"style": ["a", "b"]}
SECOND = {"name": "mobilenetv2_050", "weights": "none"}
IMAGES = torch.randint(0, 256, (18, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def model(backbone: str = "resnet18", stage: Any = 1, **more: Any) -> Model:
    features = more.pop("features", {})
    settings = {"name": backbone, "stage": stage, "weights": "none", **more}
    backbones = [settings, SECOND] if features else [settings]
    tree = {"name": "t", "tasks": ["style"], "image": {"size": 64}, "backbones": backbones}
    tree |= {"phases": [{"epochs": 1}], "training": {"precision": "fp32"}, "features": features}
    if features:
        tree["neck"] = {"kind": "statistics"}
    torch.manual_seed(0)
    made = Network(parse(tree, "test"), NAMES)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that are not those of a new one
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return Model(made, made.recipe, NAMES, (0.5,) * 3, (0.25,) * 3, device=torch.device("cpu"))


def far(made: Tensor, expected: Tensor) -> float:
    return float((made - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "stage", "more"),
    [
        ("resnet18", 3, {}),
        ("resnet18", 2, {"grid": 4}),
        ("resnet18", 1, {"patches": 2}),
        ("efficientnet_b0", 2, {}),
        ("convnext_atto", 1, {}),
        ("test_vit", "last", {}),
        (
            "resnet18",
            [1, 2],
            {"features": {"readout": "statistics", "flip_average": True}},
        ),
    ],
)
def test_onnx_runtime_reads_the_same_map(
    backbone: str, stage: Any, more: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs morelli[fast]")
    pytest.importorskip("onnx", reason="needs morelli[fast]")
    made = model(backbone, stage, **more)
    before = made.features(IMAGES)
    use_fast_backbone(made, MIN_IMAGES_FOR_ONNX)
    assert f"backbone by ONNX Runtime {onnxruntime.__version__}" in capsys.readouterr().err
    after = made.features(IMAGES)  # more images than a piece, and a number that pieces do not divide
    assert after.shape == before.shape and far(after, before) < 1e-3
    assert far(made.features(IMAGES[:1]), before[:1]) < 1e-3


def test_few_images_are_read_by_the_network_itself() -> None:
    made = model()
    use_fast_backbone(made, MIN_IMAGES_TO_FUSE - 1)
    assert made.fast_parts is None
    use_fast_backbone(made, MIN_IMAGES_FOR_ONNX - 1)
    assert by_pytorch(made), "too few to pay for another engine"


def by_pytorch(made: Model) -> bool:
    return made.fast_parts is not None and all(isinstance(part, nn.Module) for part in made.fast_parts)


def folded_by_pytorch(made: Model) -> bool:
    before = made.features(IMAGES)
    use_fast_backbone(made, MIN_IMAGES_FOR_ONNX)
    assert far(made.features(IMAGES), before) < 1e-3
    return by_pytorch(made)


def test_pytorch_reads_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert folded_by_pytorch(model())


def test_pytorch_reads_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORELLI_ENGINE", "torch")
    assert folded_by_pytorch(model())


def test_pytorch_reads_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_by_onnx_runtime", lambda *_: pytest.fail("asked for"))
    made = model()
    made.precision = "bf16"
    use_fast_backbone(made, MIN_IMAGES_FOR_ONNX)
    assert by_pytorch(made)


class Wrong(nn.Module):
    """Exports what it does not compute."""

    def __init__(self, right: nn.Module) -> None:
        super().__init__()
        self.right = right

    def forward(self, images: Tensor) -> Tensor:
        made = self.right(images)
        return made + 1 if torch.jit.is_tracing() else made


class Unknown(Wrong):
    """Asks for an operator that ONNX has not."""

    def forward(self, images: Tensor) -> Tensor:
        return self.right(images) + torch.special.bessel_j0(images).sum()


@pytest.mark.parametrize(("kind", "why"), [(Wrong, "reads another map"), (Unknown, "cannot compute it")])
def test_pytorch_reads_where_the_other_way_fails(
    kind: type[Wrong], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs morelli[fast]")
    pytest.importorskip("onnx", reason="needs morelli[fast]")
    made = model()
    monkeypatch.setattr(engine, "Part", lambda extractor, number: kind(extractor).eval())
    use_fast_backbone(made, MIN_IMAGES_FOR_ONNX)
    assert made.fast_parts is not None and isinstance(made.fast_parts[0], kind)
    assert why in capsys.readouterr().err

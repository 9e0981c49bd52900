"""Importing timm leaves most of torchvision and PyTorch's compiler alone, and both are there when they are wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys

import pytest
import morelli.network.network
assert "timm" in sys.modules
for name in ("torch._dynamo", "torch.onnx", "torchvision.models.resnet", "torchvision.ops.roi_align"):
    assert name not in sys.modules, name + " was imported"
{then}
"""


def run(then: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(then=then)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_compiler_and_torchvision_can_be_used_afterwards() -> None:
    run(
        "import torch, torchvision, timm\n"
        "twice = torch.compile(lambda x: 2 * x, backend='eager')\n"
        "assert twice(torch.ones(2)).tolist() == [2, 2]\n"
        "boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])\n"
        "assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]\n"
        "assert torchvision.models.resnet18().fc.out_features == 1000\n"
        "from torchvision.transforms import v2\n"
        "assert v2.CenterCrop(2)(torch.ones(1, 4, 4)).shape == (1, 2, 2)\n"
        "from torchvision.models import feature_extraction\n"
        "from torchvision.ops.misc import FrozenBatchNorm2d\n"
        "assert timm.layers.norm_act.FrozenBatchNorm2d is FrozenBatchNorm2d is torchvision.ops.FrozenBatchNorm2d\n"
        "whole = timm.create_model('resnet18')\n"
        "cut = timm.layers.create_feature_extractor(whole, {'layer1': 'map'})\n"
        "assert cut(torch.zeros(1, 3, 32, 32))['map'].shape == (1, 64, 8, 8)\n"
    )


@pytest.mark.slow
def test_what_is_not_there_is_still_an_attribute_error() -> None:
    run(
        "import torchvision\n"
        "for module in (torchvision, torchvision.ops, torchvision.models):\n"
        "    assert not hasattr(module, 'no_such_thing') and module.__spec__.name == module.__name__\n"
        "assert torchvision.__version__\n"
    )


@pytest.mark.slow
def test_what_asked_to_be_left_out_of_compilation_is() -> None:
    run(
        "import torch\n"
        "from morelli.network.lazy_timm import _disable\n"
        "seen = []\n"
        "def inner(x):\n"
        "    seen.append(torch.compiler.is_compiling())\n"
        "    return x + 1\n"
        "wrapped = _disable(inner)\n"
        "assert wrapped.__name__ == 'inner' and wrapped(torch.zeros(1)).item() == 1\n"
        "whole = torch.compile(lambda x: wrapped(x) * 2, backend='eager')\n"
        "assert whole(torch.zeros(1)).item() == 2 and seen == [False, False], seen\n"
    )

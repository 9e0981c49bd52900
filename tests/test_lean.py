"""Importing timm leaves PyTorch's compiler alone, and what timm was handed instead still reaches it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import morelli.network.network
assert "timm" in sys.modules and "torchvision" in sys.modules
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
{then}
"""


def run(then: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(then=then)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_compiler_is_not_imported_and_can_be_afterwards() -> None:
    run(
        "import torch\n"
        "twice = torch.compile(lambda x: 2 * x, backend='eager')\n"
        "assert twice(torch.ones(2)).tolist() == [2, 2]\n"
        "import torch._dynamo.utils\n"
        "from torchvision.ops import roi_align as module\n"
        "boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])\n"
        "assert module(torch.ones(1, 1, 8, 8), boxes, 2).shape == (1, 1, 2, 2)\n"
        "assert sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu') in (True, False)\n"
    )


def test_what_asked_to_be_left_out_of_compilation_is() -> None:
    run(
        "import torch\n"
        "from morelli.network.lean import _disable\n"
        "seen = []\n"
        "def inner(x):\n"
        "    seen.append(torch.compiler.is_compiling())\n"
        "    return x + 1\n"
        "wrapped = _disable(inner)\n"
        "assert wrapped.__name__ == 'inner' and wrapped(torch.zeros(1)).item() == 1\n"
        "whole = torch.compile(lambda x: wrapped(x) * 2, backend='eager')\n"
        "assert whole(torch.zeros(1)).item() == 2 and seen == [False, False], seen\n"
    )

"""Importing timm without PyTorch's compiler.

torchvision and three functions of timm ask for ``torch._dynamo`` when they are imported, though nothing of it is called
before something is compiled. That import takes as long as PyTorch itself, and every command would pay for it. So a
stand-in answers while timm is imported, and goes; what was handed out calls the compiler when it is first called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

_REAL = "torch._dynamo"


def import_timm() -> None:
    """Imports timm; as ever where the compiler or torchvision is there already, or the stand-in does not do."""
    if _REAL in sys.modules or "torchvision" in sys.modules:
        return
    package, utilities = ModuleType(_REAL), ModuleType(f"{_REAL}.utils")
    package.__path__ = []
    package.utils, package.disable = utilities, _disable  # type: ignore[attr-defined]
    utilities.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    names = {_REAL: package, f"{_REAL}.utils": utilities}
    sys.modules.update(names)
    try:
        import timm  # noqa: F401
    except (ImportError, AttributeError):  # another version asks for more: the next import takes the long way
        for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
    finally:
        for name in names:
            del sys.modules[name]


def _is_compile_supported(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device))


def _disable(function: Callable[..., Any], recursive: bool = True, **why: Any) -> Callable[..., Any]:
    """As ``torch.compiler.disable``, asked for at the first call."""

    @cache
    def real() -> Callable[..., Any]:
        import torch

        return torch.compiler.disable(function, recursive, **why)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return real()(*arguments, **named)

    return call

"""Importing timm without what it does not need: most of torchvision, and PyTorch's compiler.

timm imports all of torchvision for a few classes, and marks five functions as none of the compiler's, for which the
whole of it is imported; that takes longer than PyTorch itself, and every command would pay for it. So torchvision's
packages run their own code only when something is asked of them that they do not have yet, while their modules can be
imported; and those functions are marked for the compiler when they are first called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGES = ("torchvision", "torchvision.models", "torchvision.ops")


def import_lazily() -> None:
    """Imports timm; as ever where torchvision is there already, or another version of it does not stand the delay."""
    if "torchvision" in sys.modules:
        return
    import torch.compiler

    disable = torch.compiler.disable
    torch.compiler.disable = _disable  # type: ignore[assignment]
    try:
        for name in _PACKAGES:
            _delay(name)
        # first, for ``from torchvision import transforms`` would have the package run otherwise
        import torchvision.transforms  # noqa: F401  # isort: skip
        import timm  # noqa: F401
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
    finally:
        torch.compiler.disable = disable


class _Delayed(ModuleType):
    """A package that is imported when it is first asked for what none of its imported modules is."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _delay(name: str) -> None:
    spec = find_spec(name)
    if spec is None:
        raise ImportError(name)
    package = sys.modules[name] = module_from_spec(spec)
    package.__class__ = _Delayed
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, package)


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

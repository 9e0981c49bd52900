"""Fills the pages ``reference/ROOM`` with every module of that room, so that a moved module needs no other page."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from sphinx.application import Sphinx

FOLDER = "reference/"


def setup(sphinx: Sphinx) -> dict[str, Any]:
    sphinx.connect("source-read", append_modules)
    return {"parallel_read_safe": True}


def append_modules(_: Sphinx, page: str, source: list[str]) -> None:
    """Appends the modules of a room to the page that introduces it."""
    room = page.removeprefix(FOLDER)
    if page.startswith(FOLDER) and room not in ("index", "python"):
        source[0] += "\n" + "\n".join(_section(name) for name in modules(f"morelli.{room}"))


def modules(name: str) -> list[str]:
    """The module ``name`` and, where it is a package, all modules inside it that say what they are for."""
    module = importlib.import_module(name)
    inside = pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}.")
    found = [name, *sorted(each.name for each in inside)]
    return [each for each in found if (importlib.import_module(each).__doc__ or "").strip()]


def _section(name: str) -> str:
    """An empty package is its first sentence; ``:members:`` come from conf.py's defaults."""
    return f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"

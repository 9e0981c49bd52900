"""Fills the pages of the reference from the code: ``reference/python`` with the public names of ``morelli``, and
``reference/ROOM`` with every module of that room, so that a moved module needs no other page."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

import morelli

FOLDER = "reference/"
PUBLIC = "python"
LISTED = ("report", "synthetic")  # many small modules that draw: a sentence for each, and no members


def setup(sphinx: Sphinx) -> dict[str, Any]:
    sphinx.connect("source-read", append_reference)
    sphinx.connect("autodoc-process-signature", shorten_arrays)
    sphinx.connect("autodoc-process-docstring", read_sections)
    return {"parallel_read_safe": True}


def append_reference(_: Sphinx, page: str, source: list[str]) -> None:
    """Appends to a page of the reference what it introduces."""
    name = page.removeprefix(FOLDER)
    if page == FOLDER + PUBLIC:
        source[0] += "\n" + "\n".join(_public(each) for each in public_names())
    elif page.startswith(FOLDER) and name != "index":
        write = _sentence if name in LISTED else _module
        source[0] += "\n" + "\n".join(write(each) for each in modules(f"morelli.{name}"))


def shorten_arrays(*event: Any) -> tuple[str | None, str | None]:
    """Writes ``NDArray[float64]``, as the code does, for the type that it stands for."""
    *_, arguments, returned = event
    return _shortened(arguments), _shortened(returned)


def read_sections(_: Sphinx, what: str, name: str, described: Any, options: Any, lines: list[str]) -> None:
    """Reads ``Args:`` and ``Returns:``, of functions only: in the docstring of a property, the extension napoleon takes
    what stands before a colon for its type."""
    if what in ("function", "method"):
        lines[:] = GoogleDocstring(list(lines), Config(), what=what, name=name, obj=described).lines()


def public_names() -> list[str]:
    """What ``morelli`` offers, classes first."""
    names = [name for name in morelli.__all__ if not name.startswith("_")]
    return sorted(names, key=lambda name: (not inspect.isclass(getattr(morelli, name)), name))


def modules(name: str) -> list[str]:
    """The module ``name`` and, where it is a package, all modules inside it that say what they are for."""
    package = importlib.import_module(name)
    inside = pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}.")
    found = [name, *sorted(each.name for each in inside)]
    return [each for each in found if (importlib.import_module(each).__doc__ or "").strip()]


def _public(name: str) -> str:
    kind = "autoclass" if inspect.isclass(getattr(morelli, name)) else "autofunction"
    return f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: morelli.{name}\n```\n"


def _sentence(name: str) -> str:
    first = inspect.getdoc(importlib.import_module(name)) or ""
    return f"- `{name}`: {' '.join(first.partition(chr(10) * 2)[0].split())}"


def _module(name: str) -> str:
    return f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def _shortened(signature: str | None) -> str | None:
    return signature and re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]", r"NDArray[\1]", signature)

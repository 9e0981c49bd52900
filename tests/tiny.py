"""A small painted collection and a small recipe, for tests that train."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml
from shared import shared_paintings
from typer.testing import CliRunner

from morelli.cli import app
from morelli.collection.collect import CollectOptions, collect
from morelli.recipe.checks import NECK_KINDS

BASE: dict[str, Any] = {
    "name": "tiny",
    "image": {"size": 32},
    "backbone": {"name": "resnet18", "stage": 1, "weights": "none", "grid": 4},
    "neck": {"kind": "gru", "width": 12, "dropout": 0.2},
    "phases": [{"epochs": 3, "lr": 3e-3}],
    "training": {"batch_size": 16, "workers": 0, "precision": "fp32"},
}


def painted_collection(folder: Path, works: int = 140) -> Path:
    """A collection of painted works at 32 pixels in ``folder / "c"``."""
    shared_paintings(folder / "p", works)
    lists = folder / "p" / "wikiart_csv"
    collect(
        CollectOptions(folder / "p" / "wikiart", folder / "c", lists=lists, size=32, min_works=1, processes=1)
    )
    return folder / "c"


def recipe_file(folder: Path, **changes: Any) -> Path:
    """The small recipe with whole sections changed."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tiny.yaml"
    base = {key: value for key, value in BASE.items() if key != "backbone" or "backbones" not in changes}
    file.write_text(yaml.safe_dump(base | changes))
    return file


def morelli(line: str) -> None:
    """Runs a command line, which must go well."""
    done = CliRunner().invoke(app, shlex.split(line))
    assert done.exit_code == 0, done.stderr


def neck_settings(kind: str, **settings: Any) -> dict[str, Any]:
    """A neck of this kind with those of the ``settings`` that it reads: a recipe refuses the others."""
    return {"kind": kind} | {
        name: value for name, value in settings.items() if kind in NECK_KINDS.get(name, {kind})
    }

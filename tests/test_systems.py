"""docs/systems.md: every recipe, option, key, rule, column and file that it names exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from tiny import painted_collection, recipe_file

from morelli import recipe as recipes
from morelli.cli import app
from morelli.evaluation.audit.rules import RULES, parse_rule
from morelli.jobs.audit import audit
from morelli.jobs.evaluate import evaluate
from morelli.jobs.predict import predict
from morelli.jobs.train import train

PAGE = (Path(__file__).parent.parent / "docs" / "systems.md").read_text(encoding="utf-8")
TABLES = PAGE[PAGE.index("## A:") :]
ROWS = [
    line
    for line in TABLES.splitlines()
    if line.startswith("|") and not line.startswith(("|--", "| feature", "| wish"))
]
OURS = {"demo", "morelli", "morelli-large", "multitask-resnet18-lstm", "multitask-resnet18-statistics"}
SPANS = [span for row in ROWS for span in re.findall(r"`([^`]+)`", row)]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def named(kind: str) -> list[str]:
    return sorted({span.removeprefix(f"{kind}: ") for span in SPANS if span.startswith(f"{kind}: ")})


def test_every_row_says_how_and_every_span_is_of_a_known_kind() -> None:
    assert len(ROWS) > 40
    assert [row for row in ROWS if "`" not in row.split("|")[2]] == []
    kinds = ("recipe: ", "set: ", "run: ", "rule: ", "column: ", "morelli ")
    assert [span for span in SPANS if not span.startswith(kinds)] == []


def test_every_recipe_of_the_systems_is_there_and_on_the_page() -> None:
    assert set(named("recipe")) == set(recipes.shipped()) - OURS


@pytest.mark.parametrize("span", sorted({span for span in SPANS if span.startswith("morelli ")}))
def test_every_command_has_the_options_named(span: str) -> None:
    _, command, *options = span.split()
    there = {option for parameter in COMMANDS[command].params for option in parameter.opts}
    assert set(options) <= there


@pytest.mark.parametrize("change", named("set"))
def test_every_key_is_one_of_a_recipe(change: str, tmp_path: Path) -> None:
    """With its value where one is given, and with others after a semicolon; else with its default value."""
    file = recipe_file(tmp_path, phases=[{"epochs": 1}, {"epochs": 1}], losses={"style": {}, "artist": {}})
    if "=" in change:
        recipes.load(file, change.split("; "))
        return
    value = recipes.load(file).model_dump()
    for part in change.split("."):
        value = value[int(part)] if part.isdigit() else value[part]


def test_every_rule_is_one_of_audit() -> None:
    assert set(named("rule")) <= set(RULES)
    for rule in named("rule"):
        parse_rule(rule)


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_every_file_of_a_run_and_every_column_is_written(tmp_path: Path) -> None:
    data = painted_collection(tmp_path, works=200)
    _give_artists(data, 12)  # the painter has nine, and a matrix of the ten most frequent needs more
    run = tmp_path / "run"
    train(recipe_file(tmp_path), data, run, ["phases.0.epochs=2"])
    evaluate(run)
    for rule in named("rule"):
        audit(run, rule, top=5)
    assert [name for name in named("run") if not (run / name).exists()] == []
    pictures = [next((tmp_path / "p" / "wikiart").rglob("*.jpg"))]
    predict(run, pictures, tmp_path / "labels.parquet")
    assert set(named("column")) <= set(pq.read_schema(tmp_path / "labels.parquet").names)


def _give_artists(data: Path, count: int) -> None:
    table = pd.read_parquet(data / "collection.parquet")
    table["artist"] = (table.index % count).astype("int32")
    table.to_parquet(data / "collection.parquet", index=False)
    info = json.loads((data / "collection.json").read_text())
    info["vocabularies"]["artist"] = [f"painter-{number}" for number in range(count)]
    (data / "collection.json").write_text(json.dumps(info))

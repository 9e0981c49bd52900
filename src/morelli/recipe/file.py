"""A recipe's YAML file: finding, loading with changes, validating in words, writing back complete."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from morelli.errors import RecipeError
from morelli.recipe import network_settings, settings, training_settings
from morelli.recipe.settings import Recipe

_SHIPPED = Path(__file__).parent.parent / "recipes"


def load(path: str | Path, changes: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Reads a recipe and applies ``key.sub=value`` changes (values are YAML; ``phases.0.lr=1e-4`` works).

    Raises :class:`RecipeError` naming the file, the key and, for a misspelt key, the nearest known one.
    """
    given, path = Path(path), find(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.stem, shipped(), n=1)
        known = f"one of the {len(shipped())} in recipes/, such as multitask-resnet18-lstm"
        hint = f"; did you mean {near[0]}?" if near else f"; give a YAML file, or the name of {known}"
        raise RecipeError(f"{path}: no such recipe{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = "is a folder" if path.is_dir() else f"cannot be read ({type(error).__name__})"
        raise RecipeError(f"{path}: {why}; give a recipe's YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        raise RecipeError(f"{path}: not valid YAML at {where}; check the indentation and colons") from None
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values, this file is not")
    tree.setdefault("name", path.stem)
    for change in changes:
        _apply(tree, change)
    return parse(tree, str(given))


def find(path: str | Path) -> Path:
    """A recipe's file: the path itself, or a recipe that comes with the package, by its bare name."""
    given = Path(path)
    ours = _SHIPPED / f"{given.name.removesuffix('.yaml')}.yaml"
    return ours if not given.is_file() and given.parent == Path(".") and ours.exists() else given


def shipped() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(file.stem for file in _SHIPPED.glob("*.yaml"))


def parse(tree: dict[str, Any], source: str) -> Recipe:
    """Validates a mapping; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{source}: {_explain(error)}") from None


def dump(recipe: Recipe) -> str:
    """The complete recipe as YAML; ``load`` of it gives an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(tree: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change}: write key=value, for example training.batch_size=32")
    try:
        value = yaml.safe_load(text)
        # YAML 1.1 reads 1e-3 as a string; people mean a number
        value = float(value) if isinstance(value, str) and "e" in value.lower() else value
    except yaml.YAMLError:
        raise RecipeError(f"--set {change}: the value is not valid YAML; quote it") from None
    except ValueError:
        pass
    *parents, last = _through_list(tree, key.strip().split("."), change)
    if last == "backbones":
        value = value if isinstance(value, list) else [value]
    node: Any = tree
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[int(last) if isinstance(node, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise RecipeError(f"--set {change}: {key} does not lead to a setting of this recipe") from None


def _through_list(tree: dict[str, Any], path: list[str], change: str) -> list[str]:
    """The path of a key, with ``backbone``, which is short for a list of one, led into the list."""
    if "backbone" in tree and path[0] in ("backbone", "backbones"):
        tree["backbones"] = [tree.pop("backbone")]
    if path[0] != "backbone":
        return path
    if len(path) == 1:
        return ["backbones"]
    several = len(tree.setdefault("backbones", [{}]))
    if several > 1:
        rest = ".".join(path[1:])
        raise RecipeError(
            f"--set {change}: the recipe has {several} backbones; write backbones.0.{rest} for the first"
        )
    return ["backbones", "0", *path[1:]]


def _explain(error: ValidationError) -> str:
    """The first problem in words, with the nearest known key for an unknown one."""
    problems = error.errors(include_url=False)
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"]) or "the recipe"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), sorted(_known_keys()), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; remove it"
        return f"unknown key {where}{hint}{more}"
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    if first["type"] == "value_error":  # a whole sentence of our own
        own = first["msg"].removeprefix("Value error, ")
        return f"{where}: {own}{more}" if first["loc"] else f"{own}{more}"
    message = first["msg"]
    return f"{where}: {message[0].lower()}{message[1:]}, not {first['input']!r:.60}{more}"


def _known_keys() -> set[str]:
    named = [
        value for module in (settings, network_settings, training_settings) for value in vars(module).values()
    ]
    models = [each for each in named if isinstance(each, type) and issubclass(each, BaseModel)]
    return {name for model in models for name in model.model_fields}

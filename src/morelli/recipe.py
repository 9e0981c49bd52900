"""Recipes: one YAML file an experiment, validated strictly (an unknown key is an error with a suggestion).

``load("recipes/demo.yaml", ["training.batch_size=32"])`` gives a :class:`Recipe`; ``dump`` writes it back,
complete, so that a run directory holds every setting that made it.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from morelli.errors import RecipeError

Task = Literal["artist", "style", "genre"]
_SHIPPED = Path(__file__).parent / "recipes"
TASKS: tuple[Task, ...] = get_args(Task)
Scan = Literal["row", "row-reverse", "column", "column-reverse", "snake", "snake-reverse"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Strict):
    """What the network sees of a painting: ``size`` in pixels, how a rectangle becomes a square, and the mean
    and deviation that normalise a channel (0–1), where they are not those of the backbone."""

    size: int = Field(224, ge=16, le=2048)
    fit: Literal["squash", "crop", "pad"] = "squash"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


class Backbone(_Strict):
    """Any timm model, cut after ``stage`` (timm's feature index; ``last`` is the whole trunk).

    ``weights`` is ``pretrained`` (timm's hub), ``none`` (random), or a safetensors file; a list is tried in
    order. ``grid`` averages the feature map to grid × grid tokens. ``options`` go to ``timm.create_model``.
    """

    name: str = "resnet18"
    stage: int | Literal["last"] = "last"
    weights: str | list[str] = "pretrained"
    grid: int | None = Field(None, ge=1, le=64)
    options: dict[str, Any] = {}


class Neck(_Strict):
    """How the tokens become one vector.

    ``lstm`` and ``gru`` read the tokens along ``scan``; ``rowcol`` reads rows and columns with two
    bidirectional GRUs; ``mean`` and ``attention`` pool without recurrence (the honest baselines). ``scan``,
    ``bidirectional`` and ``pool`` matter to ``lstm`` and ``gru`` alone, ``width`` and ``layers`` also to
    ``rowcol``.
    """

    kind: Literal["lstm", "gru", "rowcol", "mean", "attention"] = "lstm"
    scan: Scan = "row"
    width: int = Field(256, ge=1, le=8192)
    layers: int = Field(1, ge=1, le=8)
    bidirectional: bool = False
    pool: Literal["last", "mean", "attention"] = "last"
    dropout: float = Field(0.0, ge=0, lt=1)


class Head(_Strict):
    """From the neck's vector to class scores: one linear layer, an MLP, or a residual block with
    squeeze-excitation; ``widths`` are the hidden layers of the latter two."""

    kind: Literal["linear", "mlp", "residual-se"] = "linear"
    widths: list[int] = []
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _widths_fit(self) -> Head:
        if self.kind == "linear" and self.widths:
            raise ValueError("a linear head has no widths; choose kind mlp or residual-se")
        if self.kind != "linear" and not self.widths:
            raise ValueError(f"a {self.kind} head needs widths, for example [512]")
        if any(w < 1 for w in self.widths):
            raise ValueError("widths must be positive")
        return self


class Loss(_Strict):
    """One task's loss; unknown labels (−1) never contribute."""

    kind: Literal["cross-entropy", "focal", "balanced-softmax", "logit-adjustment"] = "cross-entropy"
    smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    gamma: float = Field(2.0, ge=0)
    alpha: float | None = Field(None, gt=0, le=1)
    tau: float = Field(1.0, gt=0)


class Augment(_Strict):
    """Random changes to training images. ``crop`` is the smallest share of the area kept (1 = none),
    ``colour`` the strength of brightness, contrast and saturation jitter, ``rotation`` in degrees,
    ``erasing`` a probability, ``mixup`` and ``cutmix`` the α of their Beta. ``views`` is how many
    augmented versions of each work a cache of frozen features holds.

    A picture is shared by all tasks of a network, and so is its augmentation; for another one for each task,
    train one network a task, each with its own recipe."""

    flip: bool = False
    crop: float = Field(1.0, gt=0, le=1)
    colour: float = Field(0.0, ge=0, le=1)
    rotation: float = Field(0.0, ge=0, le=180)
    erasing: float = Field(0.0, ge=0, le=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    views: int = Field(1, ge=1, le=64)

    @property
    def changes_pixels(self) -> bool:
        """Whether a training image differs from the evaluation image."""
        return self.flip or self.crop < 1 or bool(self.colour or self.rotation or self.erasing)


class Sampler(_Strict):
    """Weighted sampling: weight ∝ class count ** −power, averaged over the tasks in ``balance``
    (power 1 draws classes equally often, 0.5 is the square root, an empty list is plain shuffling)."""

    balance: list[Task] = []
    power: float = Field(1.0, ge=0, le=1)


class Optimizer(_Strict):
    kind: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(0.01, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)


class Schedule(_Strict):
    """Learning-rate schedule of one phase. ``warmup`` is in epochs; ``gamma`` is the exponential's factor
    an epoch; ``factor`` and ``patience`` (epochs) belong to plateau; ``floor`` is the lowest share of the
    rate."""

    kind: Literal["constant", "cosine", "exponential", "plateau", "one-cycle"] = "cosine"
    warmup: float = Field(0.0, ge=0)
    gamma: float = Field(0.95, gt=0, le=1)
    factor: float = Field(0.1, gt=0, lt=1)
    patience: int = Field(3, ge=0)
    floor: float = Field(0.0, ge=0, lt=1)


class Phase(_Strict):
    """A stretch of training. ``train`` says which part of the backbone learns: ``none``, ``all`` or the
    last N stages; each stage further from the neck has its rate multiplied by ``decay``."""

    epochs: int = Field(ge=1)
    train: int | Literal["none", "all"] = "none"
    lr: float = Field(1e-3, gt=0)
    backbone_lr: float | None = Field(None, gt=0)
    decay: float = Field(1.0, gt=0, le=1)
    freeze_batch_norm: bool = False
    schedule: Schedule = Schedule()
    augment: Augment | None = None


class Training(_Strict):
    """How phases are run. ``devices`` is a number of GPUs or, on a CPU, of processes; more than one starts the
    whole command once for each. ``workers`` load images; ``patience`` is early stopping's, in epochs; ``ema``
    the decay of averaged weights; ``cache`` keeps a frozen backbone's features."""

    batch_size: int = Field(64, ge=1)
    accumulate: int = Field(1, ge=1)
    clip: float | None = Field(1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema: float | None = Field(None, gt=0, lt=1)
    patience: int | None = Field(None, ge=1)
    monitor: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    cache: bool = True
    workers: int = Field(2, ge=0, le=64)
    devices: int = Field(1, ge=1)


class Recipe(_Strict):
    """One experiment, complete."""

    name: str
    seed: int = Field(0, ge=0, lt=2**31)
    tasks: list[Task] = list(TASKS)
    image: Image = Image()
    backbone: Backbone = Backbone()
    neck: Neck = Neck()
    heads: dict[Literal["default", "artist", "style", "genre"], Head] = {}
    losses: dict[Literal["default", "artist", "style", "genre"], Loss] = {}
    task_weights: Literal["uncertainty"] | dict[Task, float] = {}
    augment: Augment = Augment()
    sampler: Sampler = Sampler()
    optimizer: Optimizer = Optimizer()
    phases: list[Phase] = Field(min_length=1)
    training: Training = Training()

    @model_validator(mode="after")
    def _tasks_fit(self) -> Recipe:
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks must name at least one task, each once")
        if isinstance(self.task_weights, dict) and any(w < 0 for w in self.task_weights.values()):
            raise ValueError("task_weights must not be negative")
        strangers = [t for t in self.sampler.balance if t not in self.tasks]
        if strangers:
            raise ValueError(f"sampler.balance names {strangers[0]}, which is not among the tasks")
        return self

    def head(self, task: str) -> Head:
        """The head of ``task``: its own, else the default, else one linear layer."""
        return self.heads.get(task) or self.heads.get("default") or Head()  # type: ignore[call-overload]

    def loss(self, task: str) -> Loss:
        """The loss of ``task``: its own, else the default, else plain cross entropy."""
        return self.losses.get(task) or self.losses.get("default") or Loss()  # type: ignore[call-overload]


def load(path: str | Path, changes: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Reads a recipe and applies ``key.sub=value`` changes (values are YAML; ``phases.0.lr=1e-4`` works).

    Raises :class:`RecipeError` naming the file, the key and, for a misspelt key, the nearest known one.
    """
    given, path = Path(path), find(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.stem, shipped(), n=1)
        hint = (
            f"; did you mean {near[0]}?" if near else f"; give a YAML file, or one of {', '.join(shipped())}"
        )
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
    *parents, last = key.strip().split(".")
    node: Any = tree
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[int(last) if isinstance(node, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise RecipeError(f"--set {change}: {key} does not lead to a setting of this recipe") from None


def _explain(error: ValidationError) -> str:
    """The first problem in words, with the nearest known key for an unknown one."""
    problems = error.errors(include_url=False)
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"]) or "the recipe"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), sorted(_known_keys(Recipe)), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; remove it"
        return f"unknown key {where}{hint}{more}"
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}, not {first['input']!r:.60}{more}"


def _known_keys(model: type[BaseModel]) -> set[str]:
    names = set(model.model_fields)
    for part in (Image, Backbone, Neck, Head, Loss, Augment, Sampler, Optimizer, Schedule, Phase, Training):
        names |= set(part.model_fields)
    return names

"""What a recipe may say: pydantic models, strict (an unknown key is an error) and frozen.

Settings that are valid one by one and have no effect together, or a misleading one, are refused
(:mod:`morelli.recipe.checks`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from morelli.recipe import checks
from morelli.recipe.network_settings import TASKS, Backbone, Features, Head, Image, Neck, Strict, Task
from morelli.recipe.training_settings import (
    Augment,
    Contrastive,
    Loss,
    Optimizer,
    Phase,
    Sampler,
    Training,
)


class Recipe(Strict):
    """One experiment, complete.

    ``backbones`` are one or several, whose features are joined; ``backbone: {…}`` is short for a list of one. Of
    several only the first learns in part; the others learn where all of it does.

    ``artist_prior: N`` adds a head that predicts every artist of N training works or more, class or not. Its
    probabilities, combined with each artist's share of classes in training, are added to the scores of every task
    with a weight that is fitted on validation (``morelli.evaluation.calibration.artist_prior``)."""

    name: str
    seed: int = Field(0, ge=0, lt=2**31)
    tasks: list[Task] = Field(list(TASKS))
    artist_prior: int | None = Field(None, ge=2)
    image: Image = Image()
    backbones: list[Backbone] = Field([Backbone()], min_length=1)
    features: Features = Features()
    neck: Neck = Neck()
    heads: dict[Literal["default", "artist", "style", "genre"], Head] = Field({})
    losses: dict[Literal["default", "artist", "style", "genre"], Loss] = Field({})
    task_weights: Literal["uncertainty"] | dict[Task, float] = Field({})
    contrastive: Contrastive | None = None
    augment: Augment = Augment()
    sampler: Sampler = Sampler()
    optimizer: Optimizer = Optimizer()
    phases: list[Phase] = Field(min_length=1)
    training: Training = Training()

    @model_validator(mode="before")
    @classmethod
    def _one_backbone_is_a_list_of_one(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or "backbone" not in tree:
            return tree
        if "backbones" in tree:
            raise ValueError("give backbone, or a list of backbones, not both")
        return {("backbones" if key == "backbone" else key): value for key, value in tree.items()} | {
            "backbones": [tree["backbone"]]
        }

    @model_validator(mode="after")
    def _tasks_fit(self) -> Recipe:
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks must name at least one task, each once")
        if isinstance(self.task_weights, dict) and any(w < 0 for w in self.task_weights.values()):
            raise ValueError("task_weights must not be negative")
        contrastive = self.contrastive.tasks if self.contrastive else []
        for key, named in (("sampler.balance", self.sampler.balance), ("contrastive.tasks", contrastive)):
            strangers = [t for t in named if t not in self.tasks]
            if strangers:
                raise ValueError(f"{key} names {strangers[0]}, which is not among the tasks")
        plateau = any(phase.schedule.kind == "plateau" for phase in self.phases)
        if self.training.refit and (self.training.patience or plateau):
            raise ValueError(
                "training.refit needs a length that no validation decides; leave out training.patience and "
                "schedules of kind plateau, or set training.refit=false"
            )
        for backbone in self.backbones:
            if backbone.patches and self.image.size % backbone.patches:
                raise ValueError(
                    f"image.size {self.image.size} is no multiple of backbone.patches {backbone.patches}"
                )
        return self

    @model_validator(mode="after")
    def _settings_go_together(self) -> Recipe:
        problem = checks.first_problem(self)
        if problem:
            raise ValueError(problem)
        return self

    def head(self, task: str) -> Head:
        """The head of ``task``: its own, else the default, else one linear layer."""
        return self.heads.get(task) or self.heads.get("default") or Head()  # type: ignore[call-overload]

    def loss(self, task: str) -> Loss:
        """The loss of ``task``: its own, else the default, else plain cross entropy."""
        return self.losses.get(task) or self.losses.get("default") or Loss()  # type: ignore[call-overload]

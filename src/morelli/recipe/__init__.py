"""Recipes: one YAML file an experiment, validated strictly (an unknown key is an error with a suggestion).

``load("recipes/demo.yaml", ["training.batch_size=32"])`` gives a :class:`Recipe`; ``dump`` writes it back,
complete, so that a run directory holds every setting that made it.
"""

from morelli.recipe.file import dump, find, load, parse, shipped
from morelli.recipe.network_settings import TASKS, Backbone, Features, Head, Image, Neck, Scan, Task
from morelli.recipe.settings import Recipe
from morelli.recipe.training_settings import (
    Augment,
    ColourJitter,
    Contrastive,
    Loss,
    Optimizer,
    Phase,
    Sampler,
    Schedule,
    Training,
)

__all__ = [
    "TASKS",
    "Augment",
    "Backbone",
    "ColourJitter",
    "Contrastive",
    "Features",
    "Head",
    "Image",
    "Loss",
    "Neck",
    "Optimizer",
    "Phase",
    "Recipe",
    "Sampler",
    "Scan",
    "Schedule",
    "Task",
    "Training",
    "dump",
    "find",
    "load",
    "parse",
    "shipped",
]

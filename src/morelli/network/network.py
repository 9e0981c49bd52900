"""The network: images → backbone → neck → one head a task.

The two halves can be called apart: ``features`` is what a feature cache keeps while the backbone is frozen,
``read`` goes on from there. Between backbone and neck there may be principal components of the backbone's statistics;
then the neck reads those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from morelli.errors import RecipeError, UsageError
from morelli.network.artist_prior import PRIOR_ARTIST, ArtistPrior
from morelli.network.backbone.components import Components
from morelli.network.backbone.feature_extractor import FeatureExtractor, build_extractor
from morelli.network.contrastive import ProjectionHead
from morelli.network.head import build_head
from morelli.network.necks.ensemble import Members, MembersHead
from morelli.network.necks.neck import Neck, build_neck
from morelli.recipe import Head, Recipe
from morelli.recipe.checks import one_cell_problems


class Network(nn.Module):
    """The network that a recipe describes, with random neck and heads.

    ``vocabularies`` is {task: class names}, the order of the logits. A ``backbone`` given, and its ``components``, are
    used as they are; otherwise they are built from the recipe (see
    :func:`~morelli.network.backbone.feature_extractor.build_extractor`, also for ``weights_dirs`` and the errors). An
    extra head predicts the ``artists``, where there are any; their probabilities give every task a prior
    (:class:`~morelli.network.artist_prior.ArtistPrior`). Call ``torch.manual_seed`` before, for the same numbers
    again.

    Raises :class:`UsageError` if a task of the recipe has no classes, and :class:`RecipeError` if the backbone gives a
    map of one cell to a neck or an augmentation that needs several.
    """

    def __init__(
        self,
        recipe: Recipe,
        vocabularies: Mapping[str, Sequence[str]],
        backbone: FeatureExtractor | None = None,
        weights_dirs: Sequence[str | Path] = (),
        artists: Sequence[str] = (),
        components: Components | None = None,
    ) -> None:
        super().__init__()
        empty = [task for task in recipe.tasks if not vocabularies.get(task)]
        if empty:
            raise UsageError(f"tasks: {empty[0]} has no classes here; leave it out of the recipe's tasks")
        self.recipe = recipe
        self.tasks: list[str] = list(recipe.tasks)
        self.vocabularies = {task: list(vocabularies[task]) for task in self.tasks}
        self.backbone = backbone or build_extractor(recipe, weights_dirs)
        if backbone is None:
            self.backbone.expect(*self.colours)
        self.components = components
        if components is None and recipe.features.components:
            assert self.backbone.layout is not None  # the recipe has made sure of it
            self.components = Components(self.backbone.layout, recipe.features.components)
        self._check_cells()
        self.neck = self._build_neck()
        self.artists = list(artists)
        self.heads = nn.ModuleDict(
            {name: self._build_head(name, len(names)) for name, names in self.learned.items()}
        )
        priors = {
            task: ArtistPrior(len(self.artists), len(names)) for task, names in self.vocabularies.items()
        }
        self.artist_prior = nn.ModuleDict(priors if self.artists else {})
        contrastive = recipe.contrastive
        self.projection = ProjectionHead(self.neck.dim, contrastive.projection) if contrastive else None

    def _check_cells(self) -> None:
        """Refuses what has no meaning where a map of images of this size has one cell, which no recipe shows."""
        if self.components is None and self.backbone.layout is None and self.backbone.grid == (1, 1):
            size = f"image.size={self.recipe.image.size}"
            problem = next(one_cell_problems(self.recipe, size), None)
            if problem:
                raise RecipeError(problem)

    def _build_neck(self) -> Neck:
        backbone, settings = self.backbone, self.recipe.neck

        def build() -> Neck:
            if self.components is not None:
                return build_neck(settings, self.components.width, (1, 1))
            return build_neck(settings, backbone.channels, backbone.grid, backbone.layout)

        return build() if settings.members == 1 else Members(settings.members, build)

    def _build_head(self, name: str, classes: int) -> nn.Module:
        members, settings = self.recipe.neck.members, self._head_settings(name)

        def build() -> nn.Module:
            return build_head(settings, self.neck.dim // members, classes)

        return build() if members == 1 else MembersHead(members, build)

    def _head_settings(self, name: str) -> Head:
        """The extra head of the artist prior is built as the task artist's."""
        return self.recipe.head("artist" if name == PRIOR_ARTIST else name)

    @property
    def learned(self) -> dict[str, list[str]]:
        """The class names of every head: the tasks' ``vocabularies`` and, last, the artists of the prior."""
        return self.vocabularies | ({PRIOR_ARTIST: self.artists} if self.artists else {})

    @property
    def dim(self) -> int:
        """D, the length of the embedding."""
        return self.neck.dim

    @property
    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) of the pixels it expects: the recipe's where it gives them, else the backbone's."""
        image = self.recipe.image
        return image.mean or self.backbone.mean, image.std or self.backbone.std

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """What the neck reads of normalised images (see :attr:`colours`): the backbone's feature map, or components of
        its statistics."""
        return self.condense(self.backbone(images))

    def condense(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B _ _ _"]:
        """What the neck reads of what the backbone gives: the same, or its components once they are fitted."""
        return (
            self.components(features) if self.components is not None and self.components.fitted else features
        )

    def read(
        self, feature_map: Float[Tensor, "B C h w"]
    ) -> tuple[Float[Tensor, "B D"], dict[str, Float[Tensor, "N _"]]]:
        """The embedding (B, D) of a feature map, and the :meth:`logits` of it."""
        embedding = self.neck(feature_map)
        return embedding, self.logits(embedding)

    def logits(
        self, embedding: Float[Tensor, "B D"], tasks: Sequence[str] | None = None
    ) -> dict[str, Float[Tensor, "N _"]]:
        """The logits (B, K) of every head (:attr:`learned`), or of some ``tasks``: the only way from an embedding to
        scores.

        In evaluation mode each task has its artist prior added. In training mode it has not, and with several members
        the logits are (M · B, K), one member's batch after the other's.
        """
        wanted = list(self.learned) if tasks is None else list(tasks)
        logits = {name: self.heads[name](embedding) for name in wanted}
        if self.artists and not self.training:
            artists = logits[PRIOR_ARTIST] if tasks is None else self.heads[PRIOR_ARTIST](embedding)
            for task in self.tasks if tasks is None else tasks:
                logits[task] = self.artist_prior[task](logits[task], artists)
        return logits

    def describe(self) -> dict[str, Any]:
        """What the network is made of, with shapes and parameter counts, as plain values for ``model.json``."""
        recipe, backbone = self.recipe, self.backbone
        rows = recipe.neck.tokens == "rows"
        height, width = backbone.grid
        given = self.components.width if self.components else backbone.channels
        return {
            "image": {"size": recipe.image.size},
            "backbones": [
                {
                    **settings.model_dump(include={"name", "stage", "patches"}),
                    "weights": each.weights_used,
                    "parameters": _count(each),
                }
                for settings, each in zip(recipe.backbones, backbone.each(), strict=True)
            ],
            "features": {
                **recipe.features.model_dump(include={"readout", "flip_average"}),
                "channels": backbone.channels,
                "grid": [height, width],
                "components": self.components and self.components.width,
            },
            "neck": {
                **recipe.neck.model_dump(exclude={"dropout"}),
                "tokens": height if rows else height * width,
                "token_width": given * (width if rows else 1),
                "dim": self.dim,
                "parameters": _count(self.neck),
            },
            "heads": {
                name: {
                    **self._head_settings(name).model_dump(include={"kind", "widths"}),
                    "classes": len(names),
                    "parameters": _count(self.heads[name]),
                }
                for name, names in self.learned.items()
            },
        }

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "N _"]]:
        """Each task's logits of normalised images, as :meth:`read` gives them."""
        return self.read(self.features(images))[1]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())

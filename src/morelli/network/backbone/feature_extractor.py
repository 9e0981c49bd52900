"""From images to features: one backbone or several side by side, as joined feature maps or as statistics of them.

Each backbone's share of the features is computed apart (:meth:`FeatureExtractor.part`), so that a cache can keep it
apart, and another combination of the same backbones computes nothing anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from morelli.errors import RecipeError, WeightsError
from morelli.network.backbone.backbone import Backbone, build_backbone
from morelli.network.backbone.map_statistics import MapStatistics, StatisticsLayout
from morelli.recipe import Recipe


class FeatureExtractor(nn.Module):
    """Images (B, 3, H, W), normalised with the ``mean`` and ``std`` of the first backbone (or those given to
    :meth:`expect`), to features (B, C, h, w).

    The maps of all stages of all ``backbones`` are joined on the grid of the first backbone's last stage; with
    ``statistics`` each map is reduced to the statistics of its channels at its own grid instead
    (:class:`~morelli.network.backbone.map_statistics.MapStatistics`), and the features are one vector (B, L, 1, 1), in
    which ``layout`` gives the place of each map's statistics. With ``flip_average`` they are the mean of those of the
    image and of those of its mirror image, flipped back. ``channels`` is C and ``grid`` (h, w) at ``image_size``.
    """

    recolour: Tensor

    def __init__(
        self,
        backbones: Sequence[Backbone],
        image_size: int,
        statistics: bool = False,
        flip_average: bool = False,
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.flip_average = flip_average
        self.statistics: list[MapStatistics] | None = None
        # kept with the weights: how the colours of the images become those that each backbone expects
        self.register_buffer("recolour", torch.zeros(len(backbones), 2, 3))
        self.expect(backbones[0].mean, backbones[0].std)
        blank = torch.zeros(1, 3, image_size, image_size)
        with torch.no_grad():
            maps = [backbone.eval()(blank) for backbone in self.each()]
            self.deepest = len(maps[0]) - 1  # of all maps, the first backbone's last stage
            self.join_on = (int(maps[0][-1].shape[2]), int(maps[0][-1].shape[3]))
            if statistics:
                self.statistics = [MapStatistics([each.shape[1] for each in own]) for own in maps]
            shape = torch.cat([self._joined(own, number) for number, own in enumerate(maps)], dim=1).shape
        self.train()
        self.channels = int(shape[1])
        self.grid: tuple[int, int] = (int(shape[2]), int(shape[3]))

    def each(self) -> list[Backbone]:
        """The backbones, in order."""
        return list(self.backbones)  # type: ignore[arg-type]

    @property
    def layout(self) -> list[StatisticsLayout] | None:
        """The place of each map's statistics in the vector; None where the result is a map."""
        if self.statistics is None:
            return None
        return [part for statistics in self.statistics for part in statistics.parts]

    @property
    def mean(self) -> tuple[float, float, float]:
        """Red, green, blue (0–1) that the first backbone's weights expect."""
        return self.each()[0].mean

    @property
    def std(self) -> tuple[float, float, float]:
        """As :attr:`mean`, the deviations."""
        return self.each()[0].std

    def expect(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """States with which colours the images come, so that each further backbone gets them with its own."""
        rows = []
        for backbone in self.each():
            numbers = torch.tensor([mean, std, backbone.mean, backbone.std])
            rows.append(torch.stack([numbers[1], numbers[0] - numbers[2]]) / numbers[3])
        self.recolour = torch.stack(rows).to(self.recolour.device)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        parts = [self.part(number, images) for number in range(len(self.backbones))]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def part(self, number: int, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B _ h w"]:
        """The share of backbone ``number`` in the features, channels in order."""
        features = self._joined(self._maps(number, images), number)
        if not self.flip_average:
            return features
        return (features + self._joined(self._maps(number, images.flip(3)), number).flip(3)) / 2

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The map of each stage of each backbone, in order."""
        return [each for number in range(len(self.backbones)) for each in self._maps(number, images)]

    def combine(self, maps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B C h w"]:
        """The features of :meth:`maps`: their statistics, or all of them joined on the grid of the deepest."""
        if self.statistics is not None:
            counts = [len(each.parts) for each in self.statistics]
            owned = [list(maps[sum(counts[:n]) : sum(counts[: n + 1])]) for n in range(len(counts))]
            return torch.cat([each(own) for each, own in zip(self.statistics, owned, strict=True)], dim=1)
        height, width = maps[self.deepest].shape[2:]
        return _on_grid(maps, (height, width))

    def _maps(self, number: int, images: Tensor) -> list[Tensor]:
        if number:  # the first backbone's own colours may be set anew by whoever trains it
            scale, shift = self.recolour[number].view(2, 3, 1, 1)
            images = images * scale + shift
        return self.backbones[number](images)

    def _joined(self, maps: Sequence[Tensor], number: int) -> Tensor:
        return self.statistics[number](maps) if self.statistics else _on_grid(maps, self.join_on)

    def stages(self) -> list[nn.Module]:
        """The units of the first backbone from input to output, see :meth:`Backbone.stages`."""
        return self.each()[0].stages()

    def set_trainable(self, train: int | Literal["none", "all"], freeze_batch_norm: bool = False) -> None:
        """As :meth:`Backbone.set_trainable` of the first backbone; the others learn only where all of it does."""
        first, *others = self.each()
        first.set_trainable(train, freeze_batch_norm)
        for backbone in others:
            backbone.set_trainable("none" if first.frozen else "all", freeze_batch_norm)


def build_extractor(recipe: Recipe, weights_dirs: Sequence[str | Path] = ()) -> FeatureExtractor:
    """The extractor that a recipe's ``backbones`` and ``features`` describe; weights and errors as
    :func:`~morelli.network.backbone.backbone.build_backbone` has them, naming the backbone where there are several."""
    size, backbones = recipe.image.size, []
    for number, settings in enumerate(recipe.backbones):
        try:
            backbones.append(build_backbone(settings, size, weights_dirs))
        except (RecipeError, WeightsError) as error:
            if len(recipe.backbones) == 1:
                raise
            text = str(error).replace("backbone.", f"backbones.{number}.")
            raise type(error)(text) from None
    features = recipe.features
    return FeatureExtractor(backbones, size, features.readout == "statistics", features.flip_average)


def _on_grid(maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    if len(maps) == 1 and tuple(maps[0].shape[2:]) == grid:
        return maps[0]
    return torch.cat([adaptive_avg_pool2d(each, grid) for each in maps], dim=1)

"""The backbone: any timm model, cut after a stage, as a map from images (B, 3, H, W) to (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.modules.batchnorm import _BatchNorm

from morelli import recipe
from morelli.errors import RecipeError, WeightsError
from morelli.network.backbone.map_statistics import MapStatistics, StatisticsLayout
from morelli.network.backbone.trunk import create_trunk, feature_maps, inner_stages, ordered_units
from morelli.network.backbone.weights import ADVICE, find_file, fingerprint, load_file, pretrained_trunk

Colour = tuple[float, float, float]
Make = Callable[[nn.Module], "Backbone"]


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised with ``mean`` and ``std``, to features (B, C, h, w).

    ``channels`` is C and ``grid`` (h, w) at the size it was built for; ``mean`` and ``std`` (red, green,
    blue; of values 0–1) are what its weights expect and may be set anew; ``weights_used`` says where they
    come from: ``pretrained:TAG``, ``none`` or ``FILENAME sha256:…``. With ``patches`` the trunk sees
    patches × patches pieces of the image apart, and their maps, averaged to grid × grid, are laid side by side.

    Maps of several stages, and those of a backbone ``beside`` this one, are joined on the grid of the last stage; with
    ``statistics`` they are read out instead (:class:`~morelli.network.backbone.map_statistics.MapStatistics`), and
    ``layout`` says what stands where in the result (B, L, 1, 1). Where ``flip_average``, the result is the mean of
    that for the image and of that for its mirror image, turned back.
    """

    def __init__(
        self,
        trunk: nn.Module,
        image_size: int,
        grid: int | None = None,
        patches: int | None = None,
        beside: Backbone | None = None,
        statistics: bool = False,
        inner: Sequence[int] = (),
        flip_average: bool = False,
    ) -> None:
        super().__init__()
        self.trunk, self.beside, self.inner, self.flip_average = trunk, beside, list(inner), flip_average
        self.patches = patches or 1
        grid = grid or 1 if patches else grid
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(grid) if grid else nn.Identity()
        config = resolve_model_data_config(trunk)
        self.mean: Colour = tuple(config["mean"])
        self.std: Colour = tuple(config["std"])
        self.weights_used = "none"
        self._frozen = 0
        self._freeze_batch_norm = False
        if beside is not None:  # kept with the weights: it depends on both backbones' colours
            self.register_buffer("recolour", torch.zeros(2, 3, 1, 1))
            self.expect(self.mean, self.std)
        self.readout: MapStatistics | None = None
        with torch.no_grad():
            blank = torch.zeros(1, 3, image_size, image_size)
            own = self.eval()._own_maps(blank)
            self.deepest = len(own) - 1  # of the maps, its own last stage's
            maps = own + self._maps_beside(blank)
            if statistics:
                self.readout = MapStatistics([each.shape[1] for each in maps])
            shape = self.read_out(maps).shape
        self.train()
        self.channels = int(shape[1])
        self.grid: tuple[int, int] = (int(shape[2]), int(shape[3]))

    @property
    def layout(self) -> list[StatisticsLayout] | None:
        """What stands where in a readout; None where the result is a map."""
        return self.readout.parts if self.readout else None

    def expect(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Says with which colours the images come, so that a backbone beside gets them with its own."""
        if self.beside is not None:
            numbers = torch.tensor([mean, std, self.beside.mean, self.beside.std]).view(4, 3, 1, 1)
            self.recolour = torch.stack([numbers[1], numbers[0] - numbers[2]]) / numbers[3]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        features = self.read_out(self.maps(images))
        if not self.flip_average:
            return features
        return (features + self.read_out(self.maps(images.flip(3))).flip(3)) / 2

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The map of each stage, then those of the backbone beside; pooled where a grid is set."""
        return self._own_maps(images) + self._maps_beside(images)

    def _maps_beside(self, images: Tensor) -> list[Tensor]:
        if self.beside is None:
            return []
        scale, shift = self.recolour
        return self.beside.maps(images * scale + shift)

    def _own_maps(self, images: Tensor) -> list[Tensor]:
        n = self.patches
        if n == 1:
            return [self.pool(each) for each in feature_maps(self.trunk, images, self.inner)]
        pieces = images.unflatten(3, (n, -1)).unflatten(2, (n, -1))  # (B, 3, n, H/n, n, W/n)
        pieces = pieces.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return [self._side_by_side(self.pool(each)) for each in feature_maps(self.trunk, pieces, self.inner)]

    def read_out(self, maps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B C h w"]:
        """What the neck reads of :meth:`maps`: their statistics, or all of them joined on one grid."""
        if self.readout is not None:
            return self.readout(maps)
        if len(maps) == 1:
            return maps[0]
        height, width = maps[self.deepest].shape[2:]
        return torch.cat([adaptive_avg_pool2d(each, (height, width)) for each in maps], dim=1)

    def _side_by_side(self, maps: Tensor) -> Tensor:
        n = self.patches
        maps = maps.unflatten(0, (-1, n, n))  # (B, n, n, C, g, g)
        return maps.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def stages(self) -> list[nn.Module]:
        """The trunk's units from input to output; each parameter is in exactly one.

        A unit is a top-level module of the timm model, or a member of its ``blocks``, ``stages``,
        ``layers`` or ``features``; norms and activations belong to the unit before them.
        """
        return [nn.ModuleList(unit) for unit in ordered_units(self.trunk)]

    def set_trainable(self, train: int | Literal["none", "all"], freeze_batch_norm: bool = False) -> None:
        """Lets ``all`` stages learn, ``none``, or the last ``train`` of them.

        Frozen stages stay in evaluation mode through ``train()``, so that neither their batch norm nor their
        dropout moves. ``freeze_batch_norm`` holds the running statistics of the learning stages as well
        (their scale and shift go on learning). Raises :class:`RecipeError` if there are fewer stages.
        """
        stages = self.stages()
        if isinstance(train, int) and not 0 <= train <= len(stages):
            raise RecipeError(
                f"phases: train={train}, but the backbone has {len(stages)} stages; choose 0 to that"
            )
        learning = {"none": 0, "all": len(stages)}.get(train, train) if isinstance(train, str) else train
        self._frozen = len(stages) - int(learning)
        if self.beside is not None:
            self.beside.set_trainable("none" if self._frozen else "all", freeze_batch_norm)
        self._freeze_batch_norm = freeze_batch_norm
        for position, stage in enumerate(stages):
            stage.requires_grad_(position >= self._frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As torch's, except that frozen stages and frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for stage in self.stages()[: self._frozen]:
            stage.eval()
        if self._freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def build_backbone(
    settings: recipe.Backbone, image_size: int, weights_dirs: Sequence[str | Path] = ()
) -> Backbone:
    """The backbone that ``settings`` describes, for square images of ``image_size`` pixels.

    A weight file is looked up as given, then in each of ``weights_dirs``. If it is a safetensors file whose
    metadata have ``mean`` and ``std`` (one number or three), they replace timm's.

    Raises :class:`RecipeError` for an unknown name, option or stage, and :class:`WeightsError` if no choice
    of ``settings.weights`` can be had, or a file does not fit the model.
    """
    choices = [settings.weights] if isinstance(settings.weights, str) else settings.weights
    trunk = create_trunk(settings, image_size // (settings.patches or 1))
    beside = build_backbone(settings.beside, image_size, weights_dirs) if settings.beside else None

    def make(trunk: nn.Module) -> Backbone:
        statistics, inner = settings.readout == "statistics", inner_stages(settings)
        shape = (image_size, settings.grid, settings.patches)
        return Backbone(trunk, *shape, beside, statistics, inner, settings.flip_average)

    failures = []
    for choice in choices:
        if choice == "none":
            return make(trunk)
        if choice == "pretrained":
            try:
                return _pretrained(settings, image_size, make)
            except WeightsError as error:
                failures.append(str(error))
                continue
        path = find_file(choice, weights_dirs)
        if path:
            return _from_file(settings, trunk, path, make)
        places = ", ".join(str(folder) for folder in weights_dirs)
        failures.append(f"backbone.weights: no file {choice}{f', nor in {places}' if places else ''}")
    if len(failures) == 1:
        raise WeightsError(failures[0] if failures[0].endswith(ADVICE) else f"{failures[0]}; {ADVICE}")
    tried = "; ".join(
        failure.removeprefix("backbone.weights: ").removesuffix(f"; {ADVICE}") for failure in failures
    )
    raise WeightsError(
        f"backbone.weights: none of {', '.join(choices) or '(an empty list)'} can be had ({tried}); {ADVICE}"
    )


def _pretrained(settings: recipe.Backbone, image_size: int, make: Make) -> Backbone:
    backbone = make(pretrained_trunk(settings, image_size // (settings.patches or 1)))
    config = getattr(backbone.trunk, "pretrained_cfg", {})
    backbone.weights_used = f"pretrained:{config.get('tag') or settings.name}"
    return backbone


def _from_file(settings: recipe.Backbone, trunk: nn.Module, path: Path, make: Make) -> Backbone:
    metadata = load_file(trunk, path, settings.name)
    padding = metadata.get("pad_type")
    if padding and metadata.get("arch") == settings.name and settings.options.get("pad_type") != padding:
        raise WeightsError(
            f"{path}: was made with pad_type={padding}; set backbone.options.pad_type={padding}"
        )
    backbone = make(trunk)
    backbone.mean = _colour(metadata.get("mean"), backbone.mean, path)
    backbone.std = _colour(metadata.get("std"), backbone.std, path)
    backbone.weights_used = fingerprint(path)
    return backbone


def _colour(text: str | None, default: Colour, path: Path) -> Colour:
    """``0.5`` or ``0.485, 0.456, 0.406`` as three numbers."""
    if text is None:
        return default
    try:
        numbers = [float(part) for part in text.strip("[]() ").replace(",", " ").split()]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        raise WeightsError(
            f"{path}: its metadata's mean or std {text!r} is not one number or three"
        ) from None
    return red, green, blue

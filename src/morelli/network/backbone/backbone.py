"""A backbone: any timm model, cut after one stage or several, from images (B, 3, H, W) to maps (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from morelli import recipe
from morelli.errors import RecipeError, WeightsError
from morelli.network.backbone.trunk import create_trunk, feature_maps, inner_stages, ordered_units
from morelli.network.backbone.weights import ADVICE, find_file, fingerprint, load_file, pretrained_trunk

Colour = tuple[float, float, float]
Make = Callable[[nn.Module], "Backbone"]


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised with ``mean`` and ``std``, to a map (B, C, h, w) of each stage chosen.

    ``mean`` and ``std`` (red, green, blue; of values 0–1) are what its weights expect and may be set anew;
    ``weights_used`` is where they come from: ``pretrained:TAG``, ``none`` or ``FILENAME sha256:…``. With ``grid``
    maps are averaged to grid × grid. With ``patches`` the trunk sees patches × patches pieces of the image apart, and
    their maps, averaged to grid × grid (1 where not given), are laid side by side. ``inner`` are the stages of an uncut
    trunk that are given beside its last.
    """

    def __init__(
        self, trunk: nn.Module, grid: int | None = None, patches: int | None = None, inner: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.trunk, self.inner = trunk, list(inner)
        self.patches = patches or 1
        grid = grid or 1 if patches else grid
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(grid) if grid else nn.Identity()
        config = resolve_model_data_config(trunk)
        self.mean: Colour = tuple(config["mean"])
        self.std: Colour = tuple(config["std"])
        self.weights_used = "none"
        self.frozen = 0  # stages that do not learn, from the input on
        self._freeze_batch_norm = False

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        n = self.patches
        if n == 1:
            return [self.pool(each) for each in feature_maps(self.trunk, images, self.inner)]
        pieces = images.unflatten(3, (n, -1)).unflatten(2, (n, -1))  # (B, 3, n, H/n, n, W/n)
        pieces = pieces.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return [self._side_by_side(self.pool(each)) for each in feature_maps(self.trunk, pieces, self.inner)]

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
        self.frozen = len(stages) - int(learning)
        self._freeze_batch_norm = freeze_batch_norm
        for position, stage in enumerate(stages):
            stage.requires_grad_(position >= self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As torch's, except that frozen stages and frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for stage in self.stages()[: self.frozen]:
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

    def make(trunk: nn.Module) -> Backbone:
        return Backbone(trunk, settings.grid, settings.patches, inner_stages(settings))

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
        searched = ", ".join(str(folder) for folder in weights_dirs)
        failures.append(f"backbone.weights: no file {choice}{f', nor in {searched}' if searched else ''}")
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

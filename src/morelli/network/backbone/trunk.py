"""Trunks: a timm model cut after a stage, checked so that every mistake in ``backbone:`` is one sentence."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from morelli import recipe
from morelli.errors import RecipeError

# what morelli sets itself
RESERVED = {"model_name", "pretrained", "features_only", "out_indices", "num_classes", "in_chans"}
# top-level children that merely hold the stages in order
CONTAINERS = {"blocks", "stages", "layers", "features"}


def create_trunk(settings: recipe.Backbone, image_size: int, pretrained: bool = False) -> nn.Module:
    """The timm model, cut after ``settings.stage`` and without what lies behind the cut.

    A model of fixed input size (ViT, Swin) is made for ``image_size`` pixels. Errors of the hub pass
    through when ``pretrained``. Raises :class:`RecipeError` for an unknown name, option or stage.
    """
    _check(settings)
    options: dict[str, Any] = dict(settings.options)
    if "last" in stages(settings):
        options["num_classes"] = 0
    else:
        options |= {"features_only": True, "out_indices": tuple(inner_stages(settings))}
    fixed = _fixed_size(settings.name)
    if fixed and fixed != image_size:
        options.setdefault("img_size", image_size)
    if pretrained:
        return _prune(timm.create_model(settings.name, pretrained=True, **options), image_size, settings)
    try:
        trunk = timm.create_model(settings.name, **options)
    except (IndexError, AssertionError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise RecipeError(_why_not(settings, error)) from None
    if "last" in stages(settings):
        _check_intermediate(trunk, settings)
    try:
        return _prune(trunk, image_size, settings)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(
            f"image.size: {settings.name} cannot make a map of {image_size} pixels ({reason}); choose "
            "another size or backbone.stage"
        ) from None


def feature_maps(
    trunk: nn.Module, images: Float[Tensor, "B 3 H W"], inner: Sequence[int] = ()
) -> list[Float[Tensor, "B _ _ _"]]:
    """The trunk's output, one (B, C, h, w) for each stage chosen, whether it computes maps, channels last, or tokens.

    Of an uncut trunk these are the maps of the stages ``inner``, then the last. Raises ValueError if an uncut trunk
    gives several last maps at once, or tokens that do not form a square grid.
    """
    if is_cut(trunk):
        return [_as_map(trunk, features) for features in trunk(images)]
    if not inner:
        return [_as_map(trunk, trunk.forward_features(images))]  # type: ignore[operator]
    last, maps = trunk.forward_intermediates(images, indices=list(inner), output_fmt="NCHW")  # type: ignore[operator]
    return [*maps, _as_map(trunk, last)]


def _as_map(trunk: nn.Module, features: Any) -> Tensor:
    if not isinstance(features, Tensor):
        raise ValueError("its features are several maps; choose a stage by number")
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if getattr(trunk, "output_fmt", "NCHW") == "NHWC" else features
    if features.ndim != 3:
        raise ValueError(f"its features have the shape {tuple(features.shape)}")
    # class and register tokens come first; some models do not record how many
    prefix = getattr(trunk, "num_prefix_tokens", None)
    side = math.isqrt(features.shape[1] - (prefix or 0))
    extra = features.shape[1] - side * side
    if prefix is not None and extra != prefix:
        raise ValueError(f"its {features.shape[1]} tokens do not form a square")
    return features[:, extra:].transpose(1, 2).unflatten(2, (side, side))


def is_cut(trunk: nn.Module) -> bool:
    """Whether timm built the trunk with ``features_only`` (then its output is a list of maps)."""
    return hasattr(trunk, "feature_info") and hasattr(trunk.feature_info, "out_indices")


def ordered_units(trunk: nn.Module) -> list[list[nn.Module]]:
    """The trunk's modules from input to output, in units that own parameters; no parameter is in two.

    A norm or a module without parameters belongs to the unit before it, the model's own parameters (class
    token, positions) to the first.
    """
    trunk = _inner(trunk)
    own = list(trunk.parameters(recurse=False))
    units: list[list[nn.Module]] = [[nn.ParameterList(own)] if own else []]
    started = False
    for child in _children(trunk):
        weighty = any(p.ndim > 1 for p in child.parameters())
        if weighty and started:
            units.append([child])
        else:
            units[-1].append(child)
        started |= weighty
    return units


def _inner(trunk: nn.Module) -> nn.Module:
    """Transformers cut by timm sit whole inside a wrapper, as its only child ``model``."""
    children = dict(trunk.named_children())
    return children["model"] if list(children) == ["model"] else trunk


def _children(trunk: nn.Module) -> list[nn.Module]:
    children: list[nn.Module] = []
    for name, child in trunk.named_children():
        expand = name in CONTAINERS and isinstance(child, nn.Sequential | nn.ModuleList)
        children += list(child.children()) if expand else [child]
    return children


def _check(settings: recipe.Backbone) -> None:
    if not timm.is_model(settings.name):
        near = difflib.get_close_matches(settings.name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; timm.list_models() lists them all"
        raise RecipeError(f"backbone.name: timm has no model {settings.name}{hint}")
    try:
        get_pretrained_cfg(settings.name)
    except RuntimeError:
        base, _, tag = settings.name.partition(".")
        raise RecipeError(f"backbone.name: {base} has no weights tagged {tag}; leave out .{tag}") from None
    ours = sorted(RESERVED & set(settings.options))
    if ours:
        raise RecipeError(f"backbone.options: {ours[0]} is set by Morelli itself; remove it")
    inner = inner_stages(settings)
    if any(stage < 0 for stage in inner):
        raise RecipeError(_stages(settings))
    if stages(settings) != [*sorted(set(inner)), *(["last"] if "last" in stages(settings) else [])]:
        raise RecipeError(f"backbone.stage: {settings.stage} must rise, each stage once; order them")


def _check_intermediate(trunk: nn.Module, settings: recipe.Backbone) -> None:
    inner = inner_stages(settings)
    if inner and not hasattr(trunk, "forward_intermediates"):
        raise RecipeError(
            f"backbone.stage: {settings.name} gives its last map or inner ones, not both; choose numbers or last"
        )
    if inner and inner[-1] >= len(getattr(trunk, "feature_info", inner)):
        raise RecipeError(_stages(settings))


def stages(settings: recipe.Backbone) -> list[int | str]:
    """The stages chosen, in order."""
    return list(settings.stage) if isinstance(settings.stage, list) else [settings.stage]


def inner_stages(settings: recipe.Backbone) -> list[int]:
    """Those chosen by number."""
    return [stage for stage in stages(settings) if isinstance(stage, int)]


def _fixed_size(name: str) -> int | None:
    """The pixels a side that a model of fixed input size was made for."""
    config = get_pretrained_cfg(name)
    return config.input_size[-1] if config and config.fixed_input_size else None


def _why_not(settings: recipe.Backbone, error: Exception) -> str:
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown and unknown[1] == "img_size" and "img_size" not in settings.options:
        size = _fixed_size(settings.name)
        return f"image.size: {settings.name} reads images of {size} pixels only; set image.size={size}"
    if unknown:
        return f"backbone.options: {unknown[1]} is not an option of {settings.name}; remove or correct it"
    if inner_stages(settings) and isinstance(error, IndexError | AssertionError):
        return _stages(settings)
    hint = "correct backbone.options" if settings.options else "choose another model or stage"
    return f"backbone: timm cannot build {settings.name} ({type(error).__name__}: {error}); {hint}"


def _stages(settings: recipe.Backbone) -> str:
    """Says which stages there are; ``feature_info`` of the whole model has them all."""
    whole = timm.create_model(settings.name, **settings.options)
    channels = [info["num_chs"] for info in getattr(whole, "feature_info", [])]
    listed = ", ".join(f"{stage}: {width}" for stage, width in enumerate(channels))
    return (
        f"backbone.stage: {settings.name} has no stage {inner_stages(settings)[-1]}; choose 0 to {len(channels) - 1} "
        f"(stage: channels are {listed}) or last"
    )


def _prune(trunk: nn.Module, image_size: int, settings: recipe.Backbone) -> nn.Module:
    """Drops modules that the feature map does not depend on (a classifier's hidden layers, later stages):
    they would cost memory, never learn, and be missed in a weight file that was cut as well."""
    trunk.eval()
    images = torch.zeros(1, 3, image_size, image_size)
    with torch.enable_grad():  # the caller may have none, and would be left without a trunk
        used = _parameters_behind(feature_maps(trunk, images, inner_stages(settings)))
    _drop_unused(_inner(trunk), used)
    return trunk.train()


def _parameters_behind(outputs: list[Tensor]) -> set[int]:
    """The ids of the parameters that autograd's graph of ``outputs`` leads to."""
    visited, waiting, parameters = set(), [output.grad_fn for output in outputs], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if hasattr(node, "variable"):
            parameters.add(id(node.variable))
        waiting += [parent for parent, _ in node.next_functions]
    return parameters


def _drop_unused(module: nn.Module, used: set[int]) -> None:
    for name, child in module.named_children():
        ids = {id(parameter) for parameter in child.parameters()}
        if ids and not ids & used:
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.Sequential | nn.ModuleList):
            _drop_unused(child, used)

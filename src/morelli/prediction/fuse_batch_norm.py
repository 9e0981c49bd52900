"""A network that only reads: batch norms that follow a convolution become part of it.

In evaluation a batch norm is a fixed scale and shift a channel, which the convolution before it can apply at no cost.
The numbers stay the same but for rounding; a ResNet-50 reads about a sixth more images a second on a CPU.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.network.network import Network

_TOLERANCE = 1e-3  # of the largest value of the feature map, in float32


@torch.no_grad()
def fuse_batch_norms(network: Network) -> FeatureExtractor:
    """A copy of the backbone of ``network``, which must be in evaluation mode, without the batch norms that can go.

    Which convolution's output goes into which norm is recorded on one image, and the map compared before and after:
    where it differs, or no norm can go, the result is the backbone itself.
    """
    backbone = network.backbone
    image = probe(network.recipe.image.size).to(next(network.parameters()).device)
    before, pairs = _conv_norm_pairs(backbone, image)
    if not pairs:
        return backbone
    folded = copy.deepcopy(backbone)
    for conv, norm in pairs:
        _fold(folded, conv, norm)
    if not same_map(folded(image), before):
        return backbone
    return folded.to(memory_format=torch.channels_last)


def probe(size: int, images: int = 1) -> Tensor:
    """(images, 3, size, size) of noise, always the same."""
    return torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(0))


def same_map(computed: Tensor, expected: Tensor) -> bool:
    """Whether two maps differ by no more than rounding does."""
    return bool((computed - expected).abs().max() <= _TOLERANCE * expected.abs().max())


def _conv_norm_pairs(backbone: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """The map of ``image``, and the names of each convolution and the norm that takes its output as it is."""
    outputs: list[
        tuple[str, Tensor]
    ] = []  # the tensors too, so that no other one takes their place in memory
    pairs: list[tuple[str, str]] = []
    hooks = []

    def note_input(name: str, tensor: Tensor) -> None:
        pairs.extend((conv, name) for conv, output in outputs if output is tensor)

    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _, __, out, n=name: outputs.append((n, out))))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(lambda _, given, n=name: note_input(n, given[0])))
    try:
        before = backbone(image)
    finally:
        for hook in hooks:
            hook.remove()
    pairs = list(dict.fromkeys(pairs))  # a backbone that reads images mirrored too passes each pair twice
    once = {conv for conv, _ in pairs if sum(conv == other for other, _ in pairs) == 1}
    return before, [(conv, norm) for conv, norm in pairs if conv in once]


def _fold(backbone: nn.Module, conv: str, norm: str) -> None:
    """timm's norms bring their activation along, which stays."""
    before, old = backbone.get_submodule(conv), backbone.get_submodule(norm)
    assert isinstance(before, nn.Conv2d) and isinstance(old, nn.BatchNorm2d)
    _put(backbone, conv, fuse_conv_bn_eval(before, old))
    rest = [getattr(old, name) for name in ("drop", "act") if isinstance(getattr(old, name, None), nn.Module)]
    _put(backbone, norm, nn.Sequential(*rest) if rest else nn.Identity())


def _put(backbone: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(backbone.get_submodule(parent), own, module)

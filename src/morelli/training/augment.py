"""Random changes to training images and batches."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image as PIL
from torch import Tensor
from torchvision.transforms import v2

from morelli import recipe
from morelli.preprocessing.pixels import square, to_tensor


class TrainingView:
    """An RGB image → an augmented (3, S, S) uint8 tensor; draws from PyTorch's global generator."""

    def __init__(self, settings: recipe.Augment, image: recipe.Image) -> None:
        self.image = image
        self.crop = settings.crop < 1
        self.crop_from = settings.crop_from
        steps: list[torch.nn.Module] = []
        if self.crop:
            share = (settings.crop, 1.0)
            steps.append(
                v2.RandomResizedCrop(image.size, scale=share, ratio=settings.crop_ratio, antialias=True)
            )
        if settings.flip:
            steps.append(v2.RandomHorizontalFlip())
        if settings.rotation:
            steps.append(
                v2.RandomRotation(settings.rotation, v2.InterpolationMode.BILINEAR, fill=(124, 116, 104))
            )
        if settings.colour:
            steps.append(v2.ColorJitter(**settings.colour.model_dump()))
        self.steps = v2.Compose(steps) if steps else None
        area = (0.02, settings.erasing_area)
        self.erase = v2.RandomErasing(settings.erasing, area, value=116) if settings.erasing else None

    def __call__(self, picture: PIL.Image) -> Tensor:
        if self.crop_from == "square":
            # a crop is taken from all the pixels there are
            side = max(self.image.size, min(picture.size)) if self.crop else self.image.size
            picture = square(picture, self.image.model_copy(update={"size": side}))
        if self.steps is not None:
            picture = self.steps(picture)
        pixels = to_tensor(picture)
        return self.erase(pixels) if self.erase is not None else pixels


def mix(
    inputs: Tensor, labels: Tensor, settings: recipe.Augment, rng: np.random.Generator
) -> tuple[Tensor, Tensor, float]:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019) of a batch with a permutation of itself; where both
    are asked for, each batch takes one of them by chance, or neither where their probabilities leave a rest.

    Args:
        inputs: (B, C, H, W) images or feature maps.
        labels: (B, tasks).

    Returns:
        The mixed inputs, the permuted labels and λ, the share of the first labels (1 when nothing was mixed).
    """
    kind = _draw_kind(settings, rng) if len(inputs) > 1 else None
    if kind is None:
        return inputs, labels, 1.0
    alpha = getattr(settings, kind)
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
    if kind == "mixup":
        return inputs * share + inputs[order] * (1 - share), labels[order], share
    height, width = inputs.shape[2:]
    side = np.sqrt(1 - share)
    cut_h, cut_w = round(height * side), round(width * side)
    top, left = int(rng.integers(height - cut_h + 1)), int(rng.integers(width - cut_w + 1))
    mixed = inputs.clone()
    box = (..., slice(top, top + cut_h), slice(left, left + cut_w))
    mixed[box] = inputs[order][box]
    return mixed, labels[order], 1 - cut_h * cut_w / (height * width)


def _draw_kind(settings: recipe.Augment, rng: np.random.Generator) -> str | None:
    """Which of MixUp and CutMix changes a batch."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind) > 0]
    if not kinds:
        return None
    shares = [getattr(settings, f"{kind}_probability") for kind in kinds]
    if None in shares:  # the recipe gives all or none
        return kinds[int(rng.integers(len(kinds)))]
    place = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    return [*kinds, None][place]


def mixstyle(maps: Tensor, settings: recipe.Augment, rng: np.random.Generator) -> Tensor:
    """Feature maps (B, C, h, w) with each channel's mean and deviation partly those of another work of the batch.

    A batch is changed with probability ``settings.mixstyle``; each work keeps λ ~ Beta(α, α) of its own
    statistics. At λ = 0 this is AdaIN, the style transfer of Huang and Belongie (ICCV 2017). Source: Zhou et al.,
    "Domain generalization with MixStyle", ICLR 2021; no gradient flows through the statistics.
    """
    if not settings.mixstyle or len(maps) < 2 or rng.random() >= settings.mixstyle:
        return maps
    alpha = settings.mixstyle_alpha
    own = torch.from_numpy(rng.beta(alpha, alpha, len(maps))).to(maps).view(-1, 1, 1, 1)
    order = torch.from_numpy(rng.permutation(len(maps))).to(maps.device)
    mean = maps.mean(dim=(2, 3), keepdim=True).detach()
    spread = (maps.var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-6).sqrt().detach()
    mixed_mean = own * mean + (1 - own) * mean[order]
    mixed_spread = own * spread + (1 - own) * spread[order]
    return (maps - mean) / spread * mixed_spread + mixed_mean

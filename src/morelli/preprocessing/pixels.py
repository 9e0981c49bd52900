"""From an image to the square of pixels that a network sees; the same in training, evaluation and prediction."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as PIL
from PIL import ImageOps
from torch import Tensor

from morelli import recipe


def decode(data: bytes) -> PIL.Image:
    """A prepared JPEG as an RGB image."""
    return PIL.open(io.BytesIO(data)).convert("RGB")


def square(image: PIL.Image, settings: recipe.Image) -> PIL.Image:
    """An RGB image as ``settings.size`` squared: squashed, cropped at the centre, or padded with grey."""
    side = (settings.size, settings.size)
    if image.size == side:
        return image
    if settings.fit == "crop":
        return ImageOps.fit(image, side, PIL.Resampling.BICUBIC)
    if settings.fit == "pad":
        return ImageOps.pad(image, side, PIL.Resampling.BICUBIC, color=(124, 116, 104))
    return image.resize(side, PIL.Resampling.BICUBIC, reducing_gap=2.0)


def to_tensor(image: PIL.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(B, 3, H, W) uint8 → float32, channels last in memory, each channel (x / 255 − mean) / std."""
    shape = (1, 3, 1, 1)
    centre = torch.tensor(mean, device=images.device).view(shape)
    scale = torch.tensor(std, device=images.device).view(shape)
    pixels = images.to(torch.float32, memory_format=torch.channels_last)
    return pixels.div_(255).sub_(centre).div_(scale)

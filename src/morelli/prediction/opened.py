"""A model that reads statistics of several maps, opened for one painting, so that what looks into maps can look in.

Statistics have no places. Maps of where a network looked, and traces of what it believed after each row, go one step
back: they are of the deepest map of the first backbone, with the statistics as part of what follows it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from morelli.network.backbone import FeatureMap
from morelli.network.neck import Neck
from morelli.prediction.device import autocast
from morelli.prediction.model import Model
from morelli.prediction.pixels import normalise


def opened(model: Model, pixels: Tensor) -> tuple[Model, Tensor]:
    """A model whose neck takes a map, and the map (1, C, h, w) of one painting (1, 3, S, S) uint8.

    Where the backbone gives a map anyway these are ``model`` and its feature map. The model is for this painting alone.
    """
    backbone = model.network.backbone
    if not backbone.layout:
        return model, model.features(pixels)
    with torch.inference_mode(), autocast(model.precision, model.device):
        maps = backbone.maps(normalise(pixels.to(model.device), model.mean, model.std))
    network = copy.copy(model.network)
    network._modules = dict(network._modules)
    network.neck = _Opened(model.network.neck, backbone, [each.clone() for each in maps]).eval()
    return replace(model, network=network), maps[backbone.deepest]


class _Opened(Neck):
    """From the first rows of the deepest map to the vector; of the other maps it takes as large a share."""

    def __init__(self, neck: Neck, backbone: FeatureMap, maps: Sequence[Tensor]) -> None:
        super().__init__()
        self.neck, self.backbone, self.maps, self.dim = neck, backbone, list(maps), neck.dim

    def forward(self, features: Tensor) -> Tensor:
        share = features.shape[2] / self.maps[self.backbone.deepest].shape[2]
        maps = [each[:, :, : math.ceil(each.shape[2] * share)] for each in self.maps]
        maps[self.backbone.deepest] = features
        return self.neck(self.backbone.read_out(maps))

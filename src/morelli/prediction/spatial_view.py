"""A spatial view of a model that reads statistics of maps, for one painting, so that maps and traces can be made of it.

Statistics have no cells. Saliency maps and reading traces go one step back: they are of the deepest map of the first
backbone, with the statistics as part of what follows it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from morelli.network.necks.neck import Neck
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.preprocessing.device import autocast
from morelli.preprocessing.pixels import normalise


def spatial_view(model: Model, pixels: Tensor) -> tuple[Model, Tensor]:
    """A model whose neck takes a map, and the map (1, C, h, w) of one painting (1, 3, S, S) uint8.

    Where the backbone gives a map anyway these are ``model`` and its feature map. The model is for this painting alone.
    """
    backbone = model.network.backbone
    if backbone.layout is None:
        return model, model.features(pixels)
    images = normalise(pixels.to(model.device), model.mean, model.std)
    with torch.inference_mode(), autocast(model.precision, model.device):
        maps = backbone.maps(images)
        mirrored = [each.flip(3) for each in backbone.maps(images.flip(3))] if backbone.flip_average else []
    network = copy.copy(model.network)
    network._modules = dict(network._modules)
    network.neck = _FromDeepestMap(model.network, _clones(maps), _clones(mirrored)).eval()
    return replace(model, network=network), maps[backbone.deepest]


def _clones(maps: Sequence[Tensor]) -> list[Tensor]:
    """Outside inference mode, so that gradients may pass beside them."""
    return [each.clone() for each in maps]


class _FromDeepestMap(Neck):
    """From the first rows of the deepest map to the vector; of the other maps it takes as large a share.

    What is changed in the deepest map is changed in that of the mirror image as well. ``mirrored`` are the maps of
    that image, flipped back (none where the backbone does not read it).
    """

    def __init__(self, network: Network, maps: Sequence[Tensor], mirrored: Sequence[Tensor]) -> None:
        super().__init__()
        self.neck, self.backbone, self.components = network.neck, network.backbone, network.components
        self.dim = network.dim
        self.maps, self.mirrored = list(maps), list(mirrored)

    def forward(self, features: Tensor) -> Tensor:
        deepest = self.backbone.deepest
        rows = features.shape[2]
        readout = self._readout(self.maps, features)
        if self.mirrored:
            change = features - self.maps[deepest][:, :, :rows]
            mirror = self._readout(self.mirrored, self.mirrored[deepest][:, :, :rows] + change)
            readout = (readout + mirror) / 2
        return self.neck(self.components(readout) if self.components is not None else readout)

    def _readout(self, maps: Sequence[Tensor], features: Tensor) -> Tensor:
        """Of the maps' rows as far as ``features``, which stands for the deepest, goes."""
        share = features.shape[2] / maps[self.backbone.deepest].shape[2]
        cut = [each[:, :, : math.ceil(each.shape[2] * share)] for each in maps]
        cut[self.backbone.deepest] = features
        return self.backbone.combine(cut)

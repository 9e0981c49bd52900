"""Saliency maps: which parts of a painting raise the score of one task's class.

The Grad-CAM family weighs the cells of the feature map, as the neck receives it, by the gradient of the class's
score, so it needs no gradient of the backbone and serves every backbone, neck and head. Occlusion covers the painting
piece by piece and needs no gradient at all; attention shows the weights of a neck that pools by attention.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from morelli.errors import UsageError
from morelli.network.necks.neck import Neck, TokenNeck
from morelli.network.necks.pooling import AttentionPool
from morelli.network.necks.rowcol import RowColumnNeck
from morelli.network.necks.scan import SCANS
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.prediction.spatial_view import spatial_view

GRADIENT_METHODS = ("grad-cam", "grad-cam++", "layer-cam")
METHODS = (*GRADIENT_METHODS, "occlusion", "attention")
_BATCH = 32


def saliency(model: Model, pixels: Tensor, task: str, target: int, method: str = "grad-cam") -> np.ndarray:
    """The map of one painting (3, S, S) uint8 for class number ``target`` of ``task``.

    ``method`` is one of :data:`METHODS`. Returns a grid in 0–1, float32: the cells of the feature map (h, w), or
    (S, S) for occlusion; all 0 where nothing raises the class's score. See :func:`over_painting` for its enlargement.

    Raises :class:`UsageError` for an unknown method, and for attention where the neck does not pool by it.
    """
    if method not in METHODS:
        raise UsageError(f"--method {method}: must be one of {', '.join(METHODS)}")
    if method == "occlusion":
        return occlusion_map(model, pixels, task, target)
    model, features = spatial_view(model, pixels[None])
    if method == "attention":
        return attention_map(model, features)
    return gradient_map(model, features, task, target, method)


class _Reading(nn.Module):
    """The scores of one task from the feature map on; ``cells`` is where activations and gradients are taken."""

    def __init__(self, network: Network, task: str) -> None:
        super().__init__()
        self.cells, self.network, self.task = nn.Identity(), network, task

    def forward(self, feature_map: Tensor) -> Tensor:
        embedding = self.network.neck(self.cells(feature_map))
        return self.network.logits(embedding, [self.task])[self.task]


def gradient_map(model: Model, feature_map: Tensor, task: str, target: int, method: str) -> np.ndarray:
    """A map (h, w) in 0–1 from a feature map (1, C, h, w), by one of :data:`GRADIENT_METHODS`.

    Sources: Selvaraju et al., "Grad-CAM", ICCV 2017; Chattopadhay et al., "Grad-CAM++", WACV 2018; Jiang et al.,
    "LayerCAM", IEEE TIP 2021. The first two give every cell of a channel the same weight, LayerCAM a weight of its
    own, which a neck that forgets its first tokens needs. HiResCAM, the sum of gradient times feature in each cell,
    is none of them: necks normalise each cell first, which makes that sum zero. Computed in float32.
    """
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = dict(zip(GRADIENT_METHODS, (GradCAM, GradCAMPlusPlus, LayerCAM), strict=True))
    reading = _Reading(model.network, task)
    # cuDNN's recurrences have no gradient outside training mode
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        inputs = feature_map.to(model.device).float().clone().requires_grad_()
        cam = kinds[method](reading, [reading.cells])
        try:
            cells = cam(inputs, [ClassifierOutputTarget(target)])[0]
        finally:
            cam.activations_and_grads.release()
            reading.zero_grad()
    return np.nan_to_num(np.asarray(cells, dtype=np.float32)).clip(0, 1)


def occlusion_map(
    model: Model, pixels: Tensor, task: str, target: int, patch: int | None = None, stride: int | None = None
) -> np.ndarray:
    """A map (S, S) in 0–1: how far the log-probability of the class falls where a square is covered.

    A square of ``patch`` pixels (a sixth of the side) of the painting's mean colour moves by ``stride`` (half a
    patch); a pixel has the mean fall of the squares that cover it, 0 where the probability rather rises. Source:
    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    """
    side = pixels.shape[-1]
    patch = patch or max(1, side // 6)
    starts = [*range(0, side - patch, stride or max(1, patch // 2)), side - patch]
    corners = [(top, left) for top in starts for left in starts]
    blank = pixels.float().mean(dim=(1, 2), keepdim=True).round().to(torch.uint8)
    base = _log_probability(model, pixels[None], task, target)[0]
    total, covered = torch.zeros(side, side), torch.zeros(side, side)
    for begin in range(0, len(corners), _BATCH):
        block = corners[begin : begin + _BATCH]
        images = pixels.repeat(len(block), 1, 1, 1)
        for image, (top, left) in zip(images, block, strict=True):
            image[:, top : top + patch, left : left + patch] = blank
        falls = base - _log_probability(model, images, task, target)
        for fall, (top, left) in zip(falls, block, strict=True):
            total[top : top + patch, left : left + patch] += fall
            covered[top : top + patch, left : left + patch] += 1
    return _of_the_strongest((total / covered).clamp(min=0).numpy())


def attention_map(model: Model, feature_map: Tensor) -> np.ndarray:
    """How much each cell (h, w) counts where the neck pools by attention, as a share of the strongest; the same for
    all tasks and classes. The weights are of the neck's states, which have also read other cells.

    Raises :class:`UsageError` where the neck pools otherwise.
    """
    neck = model.network.neck
    pools = [module for module in neck.modules() if isinstance(module, AttentionPool)]
    if not pools:
        raise UsageError(
            f"--method attention: this run's neck ({model.recipe.neck.kind}) does not pool by attention; "
            "choose another method"
        )
    weights_of_pools: list[Tensor] = []
    handles = [
        pool.register_forward_hook(lambda pool, states, _: weights_of_pools.append(pool.weights(states[0])))
        for pool in pools
    ]
    try:
        model.read(feature_map)
    finally:
        for handle in handles:
            handle.remove()
    height, width = feature_map.shape[-2:]
    grids = [
        _on_grid(neck, weights[0].float().cpu(), n, height, width)
        for n, weights in enumerate(weights_of_pools)
    ]
    return _of_the_strongest(torch.stack(grids).mean(dim=0).numpy())


def has_attention(model: Model) -> bool:
    """Whether the neck pools by attention, so that :func:`attention_map` has something to show."""
    return any(isinstance(module, AttentionPool) for module in model.network.neck.modules())


def seen_box(width: int, height: int, fit: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in pixels of a painting, of the square that the network sees under
    ``image.fit``: all of it (squash), its middle (crop), or more than it (pad)."""
    if fit == "squash":
        return 0.0, 0.0, float(width), float(height)
    half = (min if fit == "crop" else max)(width, height) / 2
    return width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half


def over_painting(cells: np.ndarray, width: int, height: int, fit: str = "squash") -> np.ndarray:
    """A grid in 0–1 enlarged smoothly (bicubic) to the painting, (height, width) float32 in 0–1.

    What the network did not see of a cropped painting is 0.
    """
    left, top, right, bottom = (round(edge) for edge in seen_box(width, height, fit))
    grid = torch.from_numpy(np.ascontiguousarray(cells, dtype=np.float32))[None, None]
    shape = (max(1, bottom - top), max(1, right - left))
    large = functional.interpolate(grid, shape, mode="bicubic", align_corners=False, antialias=True)[0, 0]
    canvas = np.zeros((height, width), dtype=np.float32)
    inside = large[max(0, -top) : height - top, max(0, -left) : width - left].clamp(0, 1).numpy()
    y, x = max(0, top), max(0, left)
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def _log_probability(model: Model, images: Tensor, task: str, target: int) -> Tensor:
    """(B,) of one class, float32 on the CPU; a probability of 0 counts as 1.2e-38."""
    probabilities = model.predict(images)[0][task][:, target]
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()


def _on_grid(neck: Neck, weights: Tensor, number: int, height: int, width: int) -> Tensor:
    """The weights of the neck's pool ``number``, (T,) in the order it was given the states, as (h, w)."""
    if isinstance(neck, RowColumnNeck) and neck.line_mean:  # every cell of a line counts alike
        share = weights / (width if number == 0 else height)
        return (share[:, None] if number == 0 else share[None]).expand(height, width)
    if isinstance(neck, RowColumnNeck):
        return weights.view(height, width) if number == 0 else weights.view(width, height).t()
    if isinstance(neck, TokenNeck) and neck.rows:
        return weights[:, None].expand(height, width)
    if isinstance(neck, TokenNeck):
        cells = torch.empty(height * width)
        cells[SCANS[neck.scan](height, width)] = weights
        return cells.view(height, width)
    return weights.view(height, width)


def _of_the_strongest(grid: np.ndarray) -> np.ndarray:
    top = float(grid.max())
    return (grid / top).astype(np.float32) if top > 0 else np.zeros(grid.shape, dtype=np.float32)

"""Weights of a backbone: from timm's hub, or from a local file in timm's own keys."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from timm.layers import resample_abs_pos_embed
from timm.models import is_model_pretrained
from torch import Tensor, nn

from morelli import recipe
from morelli.errors import WeightsError
from morelli.hub import patience_only_if_reachable
from morelli.network.backbone.trunk import create_trunk

ADVICE = "set backbone.weights=FILE (a safetensors file) or backbone.weights=none"


def pretrained_trunk(settings: recipe.Backbone, image_size: int) -> nn.Module:
    """The trunk with timm's pretrained weights, from the hub or its cache.

    Raises :class:`WeightsError` if there are none, or if they are neither cached nor to be had.
    """
    if not is_model_pretrained(settings.name):
        raise WeightsError(f"backbone.weights: timm has no pretrained weights for {settings.name}; {ADVICE}")
    try:
        with patience_only_if_reachable():
            return create_trunk(settings, image_size, pretrained=True)
    except Exception as error:  # the hub, the network and the cache raise from a dozen trees
        raise WeightsError(
            f"backbone.weights: the hub with the pretrained weights of {settings.name} cannot be reached "
            f"(or refuses: {type(error).__name__}); {ADVICE}"
        ) from None


def find_file(name: str, folders: Sequence[str | Path]) -> Path | None:
    """A weight file as given ($VARIABLES and ~ expanded), else in the first of ``folders`` that has it."""
    given = Path(os.path.expandvars(os.path.expanduser(name)))
    candidates = [given, *(Path(folder) / given for folder in folders)]
    return next((file for file in candidates if file.is_file()), None)


def load_file(trunk: nn.Module, path: Path, name: str) -> dict[str, str]:
    """Fills every parameter and running statistic of ``trunk`` from ``path``; returns the file's metadata.

    What the file holds beyond the trunk (later stages, a classifier) is passed over. Absolute position
    embeddings of another image size are resampled, as timm does. Raises :class:`WeightsError` naming the
    file and the first key that is missing or does not fit; ``name`` is the model's, for that message.
    """
    stored, metadata = read_file(path)
    filled: dict[str, Tensor] = {}
    for key, own in trunk.state_dict().items():
        value = next((stored[alias] for alias in _aliases(key) if alias in stored), None)
        if value is None and key.endswith("num_batches_tracked"):
            continue
        if value is None:
            raise WeightsError(f"{path}: holds no {key}, which {name} needs; choose weights made for it")
        if value.shape != own.shape and key.endswith("pos_embed") and value.ndim == own.ndim == 3:
            value = _resampled(value, own, trunk)
        if value.shape != own.shape:
            shapes = f"{tuple(value.shape)}, but {name} needs {tuple(own.shape)}"
            raise WeightsError(f"{path}: {key} is {shapes}; choose weights made for it")
        filled[key] = value
    trunk.load_state_dict(filled, strict=False)
    return metadata


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file or of a torch one (which has no metadata).

    A torch file is read without running code from it, and may wrap its tensors in ``state_dict`` or
    ``model``. Raises :class:`WeightsError` if it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        tree = torch.load(path, map_location="cpu", weights_only=True)
        tree = next((tree[key] for key in ("state_dict", "model") if isinstance(tree.get(key), dict)), tree)
        tensors = {key.removeprefix("module."): t for key, t in tree.items() if isinstance(t, Tensor)}
    except (
        OSError,
        SafetensorError,
        pickle.UnpicklingError,
        EOFError,
        RuntimeError,
        AttributeError,
    ) as error:
        raise WeightsError(
            f"{path}: cannot be read as weights ({type(error).__name__}); give a .safetensors or .pth file"
        ) from None
    return tensors, {}


def fingerprint(path: Path) -> str:
    """``FILENAME sha256:`` and the first twelve digits."""
    with path.open("rb") as file:
        return f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def _aliases(key: str) -> list[str]:
    """A key as timm's whole model has it, from one of timm's ``features_only`` wrappers, which put
    ``model.`` before it or write the first dot as an underscore (stages_0.weight)."""
    head, dot, rest = key.partition(".")
    underscores = [i for i, letter in enumerate(head) if letter == "_"]
    return [key, key.removeprefix("model."), *(f"{head[:i]}.{head[i + 1 :]}{dot}{rest}" for i in underscores)]


def _resampled(positions: Tensor, own: Tensor, trunk: nn.Module) -> Tensor:
    patches: Any = getattr(trunk, "model", trunk).patch_embed
    prefix = own.shape[1] - patches.num_patches
    return resample_abs_pos_embed(positions, new_size=patches.grid_size, num_prefix_tokens=prefix)

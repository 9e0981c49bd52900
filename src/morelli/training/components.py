"""Principal components of a frozen backbone's readout, fitted to the training works before training begins."""

from __future__ import annotations

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from morelli.collection.collection import Collection
from morelli.console import progress
from morelli.errors import RunError
from morelli.files import atomic_write
from morelli.network.backbone.components import Components, roots
from morelli.prediction.model import Model
from morelli.training.features import FeatureFile, JoinedFeatures, digest_of_rows, feature_key, file_lock
from morelli.training.sources import backbone_features, backbone_keys, rows_of

# works that the axes are fitted to: the time grows with their square, and more hardly turn the axes
_MAX_WORKS = 8192
_POWER_ITERATIONS = 2  # of torch.svd_lowrank
# of a number that is standardised; and, as a share of the largest eigenvalue, of an axis that is kept
_MIN_DEVIATION = 1e-6
_BATCH = 512  # works read at a time


def fit_components(model: Model, collection: Collection) -> None:
    """Fits the components of the model's network to the backbone's readouts of the training works, of at most 8,192.

    Each number is standardised, and each block of them (the means, deviations or covariances of one map) weighs the
    same. Where there are fewer works than components, the rest of these are zero. Takes 2.5 GiB for 50,000 numbers.
    The components are kept beside the cached features, for every run with the same backbone, collection and split.
    Raises :class:`DataError` where there are no training works.
    """
    components = model.network.components
    assert components is not None
    every, rows = collection.rows("all"), rows_of(collection, "train")
    keys = backbone_keys(collection, model, every, model.recipe)
    key = feature_key(*keys, components.width, digest_of_rows(rows))
    path = collection.folder / "features" / f"{key}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.parent / f".{key}.lock"):  # another run may be looking for the same
        if not path.exists():
            file = backbone_features(collection, model, every, model.recipe)
            _fit_axes(components, file, np.sort(np.random.default_rng(0).permutation(rows)[:_MAX_WORKS]))
            with atomic_write(path) as temporary:
                save_file({name: value.cpu() for name, value in components.state_dict().items()}, temporary)
    try:
        components.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError):
        raise RunError(f"{path}: damaged; delete it and train again") from None


def _fit_axes(components: Components, file: FeatureFile | JoinedFeatures, rows: np.ndarray) -> None:
    with progress("principal components", 3, "steps", keep=False) as advance:
        numbers, weights = _numbers(file, rows, components)
        mean = numbers.mean(dim=0)
        numbers -= mean  # in place, for they are many
        scale = weights / numbers.std(dim=0, correction=0).clamp(min=_MIN_DEVIATION)
        numbers *= scale
        advance(1)
        gram = numbers @ numbers.t()
        advance(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            vectors, values, _ = torch.svd_lowrank(
                gram, q=min(components.width, len(rows)), niter=_POWER_ITERATIONS
            )
        axes = torch.where(values > _MIN_DEVIATION * values[0], vectors / values.clamp(min=1e-12).sqrt(), 0.0)
        basis = numbers.t() @ axes
        components.mean.copy_(mean)
        components.scale.copy_(scale)
        components.basis.copy_(torch.nn.functional.pad(basis, (0, components.width - basis.shape[1])))
        advance(1)


def _numbers(
    file: FeatureFile | JoinedFeatures, rows: np.ndarray, components: Components
) -> tuple[Tensor, Tensor]:
    """The :func:`roots` of the readouts of ``rows`` (rows, L'), and what each number weighs (L')."""
    numbers = torch.empty(len(rows), len(components.mean))
    weights = torch.empty(0)
    for start in range(0, len(rows), _BATCH):
        readout = torch.from_numpy(file.read(rows[start : start + _BATCH]))
        blocks = list(roots(readout, components.layout))
        torch.cat(blocks, dim=1, out=numbers[start : start + len(readout)])
        weights = torch.cat([torch.full((block.shape[1],), block.shape[1] ** -0.5) for block in blocks])
    return numbers, weights

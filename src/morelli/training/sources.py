"""What each phase reads: images, or cached features where the backbone is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from morelli.collection.collection import Collection
from morelli.errors import DataError
from morelli.network.network import Network
from morelli.prediction.engine import use_fast_backbone
from morelli.prediction.model import Model
from morelli.recipe import Augment, Recipe
from morelli.recipe.checks import reads_cache
from morelli.training.augment import TrainingView
from morelli.training.data import Batch, Features, Images, label_table, loader
from morelli.training.features import (
    FeatureFile,
    JoinedFeatures,
    cached_features,
    digest_of,
    digest_of_rows,
    feature_key,
)
from morelli.training.samplers import EpochBatches, balancing_weights

_SPLITS = {"train": "training", "val": "validation"}


class Sources:
    """The training and validation loaders of each phase of a recipe.

    With ``refit`` the validation works are among those of training too. Raises :class:`DataError` where a task has no
    training label, fewer than two classes, or a split is empty or without any label.
    """

    def __init__(self, recipe: Recipe, collection: Collection, network: Network, refit: bool = False) -> None:
        self.recipe, self.collection, self.network = recipe, collection, network
        self.train_rows, self.train_labels = self._labelled("train")
        self.val_rows, self.val_labels = self._labelled("val")
        self.refit = refit
        if refit:
            rows = np.concatenate([self.train_rows, self.val_rows])
            order = rows.argsort()
            self.train_rows = rows[order]
            self.train_labels = torch.cat([self.train_labels, self.val_labels])[torch.from_numpy(order)]
        for column, task in enumerate(recipe.tasks):
            classes = len(set(self.train_labels[:, column].tolist()) - {-1})
            if classes < 2:
                raise DataError(
                    f"{collection.folder}: {task} has {classes} class(es) among the training works and needs two; "
                    f"leave it out with --set tasks=[…], or collect with a smaller --min-works"
                )

    def _labelled(self, split: str) -> tuple[np.ndarray, Tensor]:
        """The rows of a split that have a label of any task: the others would teach nothing and cost as much."""
        rows = rows_of(self.collection, split)
        labels = label_table(self.collection, self.network.learned, rows)
        known = (labels >= 0).any(dim=1)
        if not known.any():
            raise DataError(
                f"{self.collection.folder}: no {_SPLITS[split]} work has a label of {', '.join(self.recipe.tasks)}; "
                "collect with another --split"
            )
        return rows[known.numpy()], labels[known]

    def loaders(self, number: int) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
        """(training, validation) loaders of phase ``number``."""
        recipe = self.recipe
        phase = recipe.phases[number]
        augment = phase.augment or recipe.augment
        data_seed = recipe.seed * 1000 + number
        if reads_cache(recipe, phase):
            views = [self._clean()] if not augment.changes_pixels else self._views(augment)
            train: Features | Images = Features(views, self.train_rows, self.train_labels, data_seed)
            validate: Features | Images = Features([self._clean()], self.val_rows, self.val_labels)
        else:
            view = TrainingView(augment, recipe.image) if augment.changes_pixels else None
            args = (self.collection, self.train_rows, self.train_labels, recipe.image, view, data_seed)
            train = Images(*args)
            validate = Images(self.collection, self.val_rows, self.val_labels, recipe.image)
        batches = EpochBatches(len(self.train_rows), recipe.training.batch_size, data_seed, self._weights())
        workers = recipe.training.workers
        return loader(train, batches, workers), loader(validate, recipe.training.batch_size * 2, workers)

    def _weights(self) -> np.ndarray | None:
        labels = self.train_labels.numpy()
        columns = [labels[:, self.recipe.tasks.index(task)] for task in self.recipe.sampler.balance]
        return balancing_weights(columns, self.recipe.sampler.power) if columns else None

    def _clean(self) -> FeatureFile | JoinedFeatures:
        """Features of every work of the collection, as evaluation sees them."""
        rows = self.collection.rows("all")
        return clean_features(self.collection, self._model(), rows, self.recipe)

    def _views(self, augment: Augment) -> list[FeatureFile | JoinedFeatures]:
        """One file of augmented features for each view, of the training works."""
        model = self._model()
        # what changes batches changes no cached view
        batchwise = {"mixup", "cutmix", "mixup_probability", "cutmix_probability"}
        shown = augment.model_dump(exclude={"views", "mixstyle", "mixstyle_alpha"} | batchwise)
        return [self._view(model, augment, number, shown) for number in range(augment.views)]

    def _view(
        self, model: Model, augment: Augment, number: int, shown: object
    ) -> FeatureFile | JoinedFeatures:
        view = TrainingView(augment, self.recipe.image)
        rows, image = self.train_rows, self.recipe.image
        data = Images(self.collection, rows, self.train_labels, image, view, number)
        title = f"caching features, view {number + 1} of {augment.views}"
        if model.network.components is None:
            return _by_backbone(self.collection, model, data, self.recipe, shown, number, title)
        keys = backbone_keys(self.collection, model, rows, self.recipe, shown, number)
        return cached_features(
            self.collection.folder / "features",
            feature_key(*keys, digest_of(model.network.components)),
            rows,
            partial(_rest, data, self.recipe),
            partial(_features, model, len(rows), model.features),
            title,
        )

    def _model(self) -> Model:
        return Model(self.network, self.recipe, self.network.vocabularies, *self.network.colours)


def rows_of(collection: Collection, split: str) -> np.ndarray:
    """The rows of ``train`` or ``val``, which training needs. Raises :class:`DataError` where there are none."""
    rows = collection.rows(split)
    if not len(rows):
        raise DataError(f"{collection.folder}: no {_SPLITS[split]} works; collect with another --split")
    return rows


def backbone_features(
    collection: Collection, model: Model, rows: np.ndarray, recipe: Recipe
) -> FeatureFile | JoinedFeatures:
    """What the backbones give of ``rows`` as evaluation sees them, each backbone's share cached apart; made where it
    is not there yet."""
    data = Images(collection, rows, torch.zeros(len(rows), 1, dtype=torch.int64), recipe.image)
    return _by_backbone(collection, model, data, recipe, "clean", 0, "caching features")


def _by_backbone(
    collection: Collection, model: Model, data: Images, recipe: Recipe, view: object, number: int, title: str
) -> FeatureFile | JoinedFeatures:
    keys, files = backbone_keys(collection, model, data.rows, recipe, view, number), []
    for place, key in enumerate(keys):
        name = f"{title} of {recipe.backbones[place].name}" if len(keys) > 1 else title
        compute = partial(_features, model, len(data.rows), partial(model.part, place))
        batches = partial(_rest, data, recipe)
        files.append(cached_features(collection.folder / "features", key, data.rows, batches, compute, name))
    return files[0] if len(files) == 1 else JoinedFeatures(files)


def clean_features(
    collection: Collection, model: Model, rows: np.ndarray, recipe: Recipe
) -> FeatureFile | JoinedFeatures:
    """As :func:`backbone_features`, but what the neck reads: where there are components, these."""
    if model.network.components is None:
        return backbone_features(collection, model, rows, recipe)
    key = _neck_key(collection, model, rows, recipe)

    def batches(done: int) -> Iterable[tuple[Tensor, Tensor]]:
        raw = backbone_features(collection, model, rows, recipe)
        for start in range(done, len(rows), 256):
            piece = torch.from_numpy(raw.read(rows[start : start + 256]))
            yield piece, piece

    def compute(piece: Tensor) -> Tensor:
        with torch.inference_mode():
            return model.network.condense(piece.to(model.device))

    folder = collection.folder / "features"
    return cached_features(folder, key, rows, batches, compute, "caching components")


def existing_features(collection: Collection, model: Model) -> FeatureFile | JoinedFeatures | None:
    """The cached features of the whole collection that this model's neck reads, if some run has made them."""
    rows, folder = collection.rows("all"), collection.folder / "features"
    if model.network.components is None:
        keys = backbone_keys(collection, model, rows, model.recipe)
    else:
        keys = [_neck_key(collection, model, rows, model.recipe)]
    paths = [folder / f"{key}.npy" for key in keys]
    if not all(path.exists() for path in paths):
        return None
    files = [FeatureFile(path, rows) for path in paths]
    return files[0] if len(files) == 1 else JoinedFeatures(files)


def _features(model: Model, images: int, read: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """The features of a batch out of ``images``; the first batch makes the backbone quicker."""
    use_fast_backbone(model, images)
    return read(batch)


def _rest(data: Images, recipe: Recipe, done: int) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches of a data set in order, from its row ``done`` on."""
    rest = Images(data.collection, data.rows[done:], data.labels[done:], data.image, data.view, data.seed)
    return loader(rest, 64, recipe.training.workers)


def backbone_keys(
    collection: Collection,
    model: Model,
    rows: np.ndarray,
    recipe: Recipe,
    view: object = "clean",
    number: int = 0,
) -> list[str]:
    """The keys of each backbone's share of the features: of all that it depends on, and nothing of the others."""
    extractor = model.network.backbone
    look = (recipe.image.model_dump_json(), model.mean, model.std, model.precision)
    features = recipe.features.model_dump_json(exclude={"components"})
    keys = []
    for place, (settings, backbone) in enumerate(zip(recipe.backbones, extractor.each(), strict=True)):
        own = (settings.model_dump_json(exclude={"weights"}), digest_of(backbone))
        recolour = extractor.recolour[place].flatten().tolist() if place else None
        grid = None if extractor.layout else extractor.join_on
        where = (collection.fingerprint, digest_of_rows(rows), view, number)
        keys.append(feature_key(*own, recolour, grid, features, *look, *where))
    return keys


def _neck_key(collection: Collection, model: Model, rows: np.ndarray, recipe: Recipe) -> str:
    """The key of the components of all backbones' features."""
    assert model.network.components is not None
    keys = backbone_keys(collection, model, rows, recipe)
    return feature_key(*keys, digest_of(model.network.components))

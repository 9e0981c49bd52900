"""A trained model in memory: images in, answers out, and no file written.

>>> import morelli
>>> reader = morelli.load("run")
>>> answer = reader("painting.jpg")
>>> answer["style"].label in reader.classes["style"]
True
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from morelli.collection.images import MAX_PIXELS, open_rgb
from morelli.errors import ImageError, UsageError
from morelli.evaluation.active_learning import labelling_value
from morelli.evaluation.calibration.conformal import prediction_sets
from morelli.prediction.answer import Answer, TaskAnswer
from morelli.prediction.engine import MIN_IMAGES_FOR_ONNX, MIN_IMAGES_TO_FUSE, use_fast_backbone
from morelli.prediction.model import Model, load_model
from morelli.preprocessing.pixels import square, to_tensor

Source: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
BATCH = 64
_SOURCES = (str, os.PathLike, bytes, Image.Image, np.ndarray)
_WANTED = "give a path, bytes, a PIL image, an array (H, W, 3) or (H, W) of uint8, or an iterable of these"


def load(run: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Reader:
    """The trained model of ``run`` in memory, on the best device there is.

    ``run`` is a folder that ``morelli train`` made, or one that holds ``model.json`` and ``model.safetensors``. Images
    of more than ``max_pixels`` pixels are refused. Raises :class:`~morelli.MorelliError` where the folder holds no
    trained model, or a damaged one.

    >>> import morelli
    >>> reader = morelli.load("run")
    >>> reader.tasks
    ('artist', 'style', 'genre')
    """
    return Reader(load_model(Path(run)), str(run), max_pixels)


class Reader:
    """Reads paintings with a trained model. :func:`load` makes one.

    ``reader(image)`` gives one :class:`~morelli.prediction.answer.Answer`; ``reader(images)`` an iterator over the
    answers of an iterable, read in batches as they are asked for and in the same order. An image is a path, the bytes
    of a file, a PIL image, or an array (H, W, 3) in RGB or (H, W) in greys, of uint8. A reader keeps no state between
    calls, so several threads may share it.

    ``tasks`` are the names of what it predicts, ``classes[task]`` the classes in the order of the probabilities,
    ``coverage[task]`` the share of works (0–1) whose prediction set holds the true class, where there are sets.

    >>> import morelli
    >>> reader = morelli.load("run")
    >>> answers = reader(["painting.jpg", "photo.png"])
    >>> [answer["genre"].label in reader.classes["genre"] for answer in answers]
    [True, True]
    """

    def __init__(self, model: Model, name: str = "model", max_pixels: int = MAX_PIXELS) -> None:
        self.model = model
        self.name = name
        self.max_pixels = max_pixels
        self.tasks: tuple[str, ...] = tuple(model.vocabularies)
        self.classes: dict[str, list[str]] = model.vocabularies
        fitted = model.facts.get("conformal", {})
        self.coverage = {
            task: float(fitted[task]["coverage"])
            for task in self.tasks
            if _threshold(model, task) is not None
        }
        self._quicker: dict[bool, Model] = {}

    @overload
    def __call__(self, images: Source, batch_size: int = BATCH) -> Answer: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Iterable[Source], batch_size: int = BATCH) -> Iterator[Answer]: ...

    def __call__(
        self, images: Source | Iterable[Source], batch_size: int = BATCH
    ) -> Answer | Iterator[Answer]:
        """The answer for one image, or an iterator over the answers for an iterable of images.

        One image that cannot be read raises :class:`~morelli.errors.ImageError`. In an iterable it is an answer whose
        ``error`` says why and which has no task, so that one bad file does not stop the others.
        """
        if isinstance(images, _SOURCES):
            loaded = self.pixels(images)
            return self._answers(self.model, [images], [loaded])[0]
        if not isinstance(images, Iterable):
            raise UsageError(f"{type(images).__name__} is no image; {_WANTED}")
        return chain.from_iterable(self.batches(images, batch_size))

    def batches(self, images: Iterable[Source], batch_size: int = BATCH) -> Iterator[list[Answer]]:
        """The answers for an iterable of images, a list for each batch of ``batch_size``, in order.

        The next batch is decoded in threads while the model reads this one. Where the iterable has a length, or a
        first batch of at least 64, a quicker copy of the backbone reads, whose map is the same to rounding.

        >>> import morelli
        >>> reader = morelli.load("run")
        >>> [len(batch) for batch in reader.batches(["painting.jpg"] * 5, batch_size=2)]
        [2, 2, 1]
        """
        if batch_size < 1:
            raise UsageError(f"batch_size {batch_size}: must be at least 1")
        return self._batches(images, batch_size)

    def _batches(self, images: Iterable[Source], batch_size: int) -> Iterator[list[Answer]]:
        rest = iter(images)
        block = list(islice(rest, batch_size))
        model = self._model_for(len(images) if isinstance(images, Sized) else len(block))
        with ThreadPoolExecutor() as pool:
            waiting = pool.map(self._pixels_or_error, block)
            while block:
                loaded, ahead = list(waiting), list(islice(rest, batch_size))
                waiting = pool.map(self._pixels_or_error, ahead)
                yield self._answers(model, block, loaded)
                block = ahead

    def pixels(self, image: Source) -> Tensor:
        """One image as the network sees it, (3, S, S) uint8: upright, in sRGB, reduced to the collection's prepared
        size first, as the training works were, then squared. Raises :class:`~morelli.errors.ImageError`.

        >>> import morelli
        >>> tuple(morelli.load("run").pixels("painting.jpg").shape)
        (3, 32, 32)
        """
        return read_pixels(self.model, image, self.max_pixels)

    def _pixels_or_error(self, image: Source) -> Tensor | str:
        try:
            return self.pixels(image)
        except ImageError as error:
            return f"{error.reason}: {error}"

    def _model_for(self, images: int) -> Model:
        """A model with a quicker backbone where there are so many images that making it pays. It is a copy: how one
        image is read does not depend on what was read before."""
        if images < MIN_IMAGES_TO_FUSE:
            return self.model
        kind = images >= MIN_IMAGES_FOR_ONNX
        if kind not in self._quicker:
            model = copy.copy(self.model)
            use_fast_backbone(model, images)
            self._quicker[kind] = model
        return self._quicker[kind]

    def _answers(
        self, model: Model, images: Sequence[Source], loaded: Sequence[Tensor | str]
    ) -> list[Answer]:
        readable = [item for item in loaded if isinstance(item, Tensor)]
        read = iter(self._read(model, torch.stack(readable)) if readable else ())
        answers = []
        for image, item in zip(images, loaded, strict=True):
            source = os.fspath(image) if isinstance(image, str | os.PathLike) else None
            if isinstance(item, str):
                answers.append(Answer({}, None, None, source, item))
            else:
                answers.append(Answer(*next(read), source))
        return answers

    def _read(
        self, model: Model, images: Tensor
    ) -> Iterator[tuple[Mapping[str, TaskAnswer], NDArray[np.float32], float]]:
        """Tasks, embedding and labelling value of each of ``images`` (B, 3, S, S)."""
        tensors, embeddings = model.predict(images)
        probabilities = {task: tensor.numpy() for task, tensor in tensors.items()}
        sets = {task: _sets(self.model, task, probabilities[task]) for task in self.tasks}
        values = labelling_value(probabilities)
        for place, vector in enumerate(embeddings.numpy()):
            tasks = {
                task: TaskAnswer(task, self.classes[task], probabilities[task][place], sets[task][place])
                for task in self.tasks
            }
            yield tasks, vector, float(values[place])

    def __repr__(self) -> str:
        recipe = self.model.recipe
        tasks = ", ".join(f"{task} ({len(names)} classes)" for task, names in self.classes.items())
        network = f"{' and '.join(each.name for each in recipe.backbones)} → {recipe.neck.kind}"
        return (
            f"Reader of {self.name}: {tasks}\n{network}, {recipe.image.size} px, on {self.model.device.type}"
        )


def read_pixels(model: Model, image: Source, max_pixels: int = MAX_PIXELS) -> Tensor:
    """An image as ``model`` is to see it, (3, S, S) uint8. Raises :class:`~morelli.errors.ImageError`."""
    settings = model.recipe.image
    prepared = int(model.facts.get("prepared_size", settings.size))
    return to_tensor(square(open_rgb(_openable(image), prepared, max_pixels)[0], settings))


def _sets(model: Model, task: str, probabilities: NDArray[np.float32]) -> Sequence[list[str] | None]:
    """The classes of each image's prediction set; None for each where the model has no threshold."""
    threshold = _threshold(model, task)
    if threshold is None:
        return [None] * len(probabilities)
    names = model.vocabularies[task]
    return [[names[k] for k in row] for row in prediction_sets(probabilities, threshold)]


def _threshold(model: Model, task: str) -> float | None:
    """None in runs made before sets were fitted, and where validation held too few works of known label."""
    threshold = model.facts.get("conformal", {}).get(task, {}).get("thresholds", {}).get("lac")
    return None if threshold is None else float(threshold)


def _openable(image: Source) -> Path | bytes | Image.Image:
    """What :func:`morelli.collection.images.open_rgb` opens. Raises :class:`ImageError` for what is no image."""
    if isinstance(image, bytes | Image.Image):
        return image
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if path.is_dir():
            hint = f'give its images, such as Path("{path}").glob("*.jpg")'
            raise ImageError("not-an-image", f"{path}: is a folder; {hint}")
        return path
    if not isinstance(image, np.ndarray):
        raise ImageError("not-an-image", f"{type(image).__name__} is no image; {_WANTED}")
    if image.dtype != np.uint8:
        raise ImageError(
            "not-an-image", f"an array of {image.dtype} is no image; scale it to 0–255 and give it as uint8"
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ImageError(
            "not-an-image", f"an array of shape {image.shape} is no image; give (H, W, 3) or (H, W)"
        )
    return Image.fromarray(image)

"""A trained model on disk: ``model.safetensors`` and ``model.json``; the two alone can predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from morelli import __version__, recipe
from morelli.errors import RunError
from morelli.files import atomic_write, digest, read_json, write_json
from morelli.network.network import Network
from morelli.preprocessing.device import autocast, best_device, choose_precision
from morelli.preprocessing.pixels import normalise
from morelli.run import Run


@dataclass
class Model:
    """A network with all it needs to read a painting.

    ``temperature[task]`` divides the logits, to which ``shift[task]``, one number a class, is then added, where there
    is one; ``vocabularies[task]`` names the classes in order.
    """

    network: Network
    recipe: recipe.Recipe
    vocabularies: dict[str, list[str]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    temperature: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=best_device)
    shift: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = self.network.to(self.device).eval()
        self.precision = choose_precision(self.recipe.training.precision, self.device)
        # of each backbone its share of the features, quicker (morelli.prediction.engine)
        self.fast_parts: list[Callable[[Tensor], Tensor]] | None = None

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 → what the neck reads (B, C, h, w): the backbone's feature map or components of it."""
        return self.network.condense(self.raw_features(images))

    @torch.inference_mode()
    def raw_features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 → what the backbones give (B, C, h, w)."""
        parts = [self.part(number, images) for number in range(len(self.recipe.backbones))]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    @torch.inference_mode()
    def part(self, number: int, images: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 → the share of backbone ``number`` in :meth:`raw_features`."""
        with autocast(self.precision, self.device):
            pixels = normalise(images.to(self.device), self.mean, self.std)
            if self.fast_parts is not None:
                return self.fast_parts[number](pixels)
            return self.network.backbone.part(number, pixels)

    @torch.inference_mode()
    def read(self, feature_map: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Calibrated probabilities {task: (B, K)} and embeddings (B, D), float32 on the CPU."""
        with autocast(self.precision, self.device):
            embedding, logits = self.network.read(feature_map.to(self.device))
        probabilities = {task: self.calibrated(task, logits[task]) for task in self.vocabularies}
        return probabilities, embedding.float().cpu()

    def calibrated(self, task: str, logits: Tensor) -> Tensor:
        """Probabilities (B, K), float32 on the CPU, of logits (B, K)."""
        scores = logits.float() / self.temperature.get(task, 1.0)
        if task in self.shift:
            scores = scores + torch.tensor(self.shift[task], device=scores.device)
        return scores.softmax(dim=1).cpu()

    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """As :meth:`read`, from images (B, 3, S, S) uint8."""
        return self.read(self.features(images))


def save_model(model: Model, run: Path) -> None:
    """Writes the two files, each atomically, the weights first."""
    files = Run(run)
    state = {k: v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    with atomic_write(files.weights_file) as temporary:
        try:
            save_file(state, temporary, metadata={"format": "pt", "morelli": __version__})
        except SafetensorError as error:
            raise RunError(f"{files.weights_file}: cannot be written ({error}); is the disk full?") from None
    write_json(
        files.model_file,
        {
            "format": 1,
            "morelli": __version__,
            "recipe": model.recipe.model_dump(mode="json"),
            "vocabularies": model.vocabularies,
            "prior_artists": model.network.artists,
            "preprocessing": {
                **model.recipe.image.model_dump(mode="json"),
                "mean": list(model.mean),
                "std": list(model.std),
            },
            "temperature": model.temperature,
            "shift": model.shift,
            **model.facts,
        },
    )


def load_model(run: Path) -> Model:
    """Raises :class:`RunError` where ``run`` holds no trained model, or a damaged one."""
    if run.exists() and not run.is_dir():
        raise RunError(f"{run}: is a file; give a run's folder")
    files = Run(run)
    for file in (files.model_file, files.weights_file):
        if not file.is_file():
            what = "no such run" if not run.exists() else f"holds no {file.name}"
            raise RunError(
                f"{run}: {what}; train it with: morelli train RECIPE --data COLLECTION --out {run}"
            )
    facts = read_json(files.model_file)
    try:
        tree = facts.pop("recipe")
        for backbone in tree["backbones"]:
            backbone["weights"] = "none"  # they are in model.safetensors
        settings = recipe.parse(tree, str(files.model_file))
        look = facts.pop("preprocessing")
        vocabularies = facts.pop("vocabularies")
        temperature, shift = facts.pop("temperature"), facts.pop("shift", {})  # of older runs none
        artists = facts.pop("prior_artists", [])
        mean, std = tuple(look["mean"]), tuple(look["std"])
    except (KeyError, TypeError, AttributeError):
        raise RunError(
            f"{files.model_file}: not a morelli model's description; train the run again"
        ) from None
    network = Network(settings, vocabularies, artists=artists)
    try:
        network.load_state_dict(load_file(files.weights_file))
    except (SafetensorError, RuntimeError, OSError) as error:
        why = str(error).splitlines()[0]
        raise RunError(f"{files.weights_file}: cannot be loaded ({why:.100}); train again") from None
    extra = {k: v for k, v in facts.items() if k not in ("format", "morelli")}
    extra["weights"] = digest(files.weights_file)
    return Model(network, settings, vocabularies, mean, std, temperature, extra, shift=shift)

"""``morelli train``: a recipe and a collection to a run directory."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from morelli import recipe as recipes
from morelli.collection.collection import Collection
from morelli.console import first_process, say
from morelli.errors import RunError, StoppedError, UsageError
from morelli.files import AnyPath, as_path, atomic_write, make_folder, write_text
from morelli.jobs.calibrate import calibrated, refitted
from morelli.jobs.evaluate import check_same_rows
from morelli.jobs.results.train import TrainedRun
from morelli.network.network import Network
from morelli.prediction.model import Model, load_model, save_model
from morelli.preprocessing.device import best_device, choose_precision
from morelli.run import Run
from morelli.training.components import fit_components
from morelli.training.fit import fit, load_before_refit
from morelli.training.sources import rows_of


def train(
    recipe: AnyPath,
    data: AnyPath,
    out: AnyPath,
    changes: Sequence[str] | None = None,
    resume: bool = False,
    start_from: AnyPath | None = None,
) -> TrainedRun:
    """Trains a recipe on a collection, calibrates each task on the validation split, and saves the run in ``out``.

    ``recipe`` is a recipe's file or the name of one of ours; ``data`` is the collection's folder; ``changes`` are
    settings of the recipe as ``key=value``, such as ``"phases.0.epochs=3"``. ``resume`` goes on where an interrupted
    call stopped. ``start_from`` is a run whose backbone (and neck and heads, where they have the same shape and
    classes) this one begins with. Raises :class:`UsageError` where ``out`` holds a run already and ``resume`` is not
    asked for, and :class:`DataError` where the collection has no training or no validation works.

    >>> import morelli
    >>> run = morelli.train("tiny.yaml", "collection", "new-run", ["neck.width=8"])
    >>> run.tasks, len(run.metrics)
    (('artist', 'style', 'genre'), 1)
    """
    data, out = as_path(data), as_path(out)
    start_from = None if start_from is None else as_path(start_from)
    settings = _train(recipes.find(as_path(recipe)), data, out, list(changes or ()), resume, start_from)
    return TrainedRun(out, settings.name, tuple(settings.tasks))


def _train(
    recipe_file: Path, data: Path, out: Path, changes: list[str], resume: bool, start_from: Path | None
) -> recipes.Recipe:
    recipe = recipes.load(recipe_file, changes)
    collection = Collection.open(data)
    _check_run(out, recipe, resume)
    if resume and Run(out).works_file.exists():
        check_same_rows(out, collection)
    for split in ("train", "val"):
        rows_of(collection, split)  # before anything is made: components alone can take minutes
    make_folder(out, "--out")
    vocabularies: dict[str, list[str]] = {task: collection.vocabularies[task] for task in recipe.tasks}
    artists = _prior_artists(recipe, collection)

    def begin() -> Network:
        torch.manual_seed(recipe.seed)
        network = Network(recipe, vocabularies, None, _weights_dirs(recipe_file), artists)
        if start_from is not None:
            _transfer(network, start_from)
        return network

    network = begin()
    if recipe.image.size > collection.info["size"]:
        say(
            f"image.size {recipe.image.size} enlarges images that were prepared at {collection.info['size']} px; "
            f"collect with --size {recipe.image.size} to see more"
        )
    device = best_device()
    say(
        f"{recipe.name}: {_described(network)}; on {device.type}, {choose_precision(recipe.training.precision, device)}"
    )
    write_text(Run(out).recipe_file, recipes.dump(recipe))
    _write_collection(collection, out)
    words = ["morelli", "train", str(recipe_file), "--data", str(data), "--out", str(out)]
    words += [part for change in changes for part in ("--set", change)]
    words += ["--from", str(start_from)] if start_from else []
    resume_command = shlex.join([*words, "--resume"])
    try:
        _fit_components(network, recipe, collection)
        fit(recipe, collection, network, out, resume, resume_command)
        whole = begin() if recipe.training.refit else None
        if whole:
            whole.components = network.components  # fitted without any label
            say("refit: learning again, from the training and validation works together")
            fit(recipe, collection, whole, Run(out).refit.folder, resume, resume_command, refit=True)
        if first_process():
            model = calibrated(network, recipe, collection)
            _save(refitted(model, whole, collection, out) if whole else model, out)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; go on with: {resume_command}") from None
    return recipe


def _fit_components(network: Network, recipe: recipes.Recipe, collection: Collection) -> None:
    """Fits the network's components, where it has any that are not those of another run."""
    if network.components is not None and not network.components.fitted:
        fit_components(Model(network, recipe, network.vocabularies, *network.colours), collection)


def _prior_artists(recipe: recipes.Recipe, collection: Collection) -> list[str]:
    """The artists of the artist prior; none where fewer than two have works enough."""
    artists = collection.prolific_artists(recipe.artist_prior) if recipe.artist_prior else []
    if recipe.artist_prior and len(artists) < 2:
        say(
            f"artist_prior {recipe.artist_prior}: {len(artists)} artist(s) have that many training works; the run has "
            "no artist prior"
        )
        return []
    return artists


def _save(model: Model, out: Path) -> None:
    for task, names in model.vocabularies.items():
        write_text(Run(out).class_names_file(task), "\n".join(names) + "\n")
    save_model(model, out)


def _check_run(out: Path, recipe: recipes.Recipe, resume: bool) -> None:
    files = Run(out)
    begun = files.last_checkpoint.exists() or files.model_file.exists()
    if begun and not resume:
        raise UsageError(
            f"--out {out}: holds a run already; add --resume to go on with it, or choose another folder"
        )
    if resume and not out.exists():
        raise UsageError(f"--out {out}: no such run to resume")
    if resume and files.recipe_file.exists():
        before = recipes.load(files.recipe_file)
        if before != recipe:
            changed = [k for k in type(recipe).model_fields if getattr(before, k) != getattr(recipe, k)]
            raise UsageError(
                f"--resume: the run in {out} was begun with another recipe (different: {', '.join(changed)}); "
                "give the same recipe and --set values"
            )


def _transfer(network: Network, run: Path) -> None:
    """Backbone, neck and heads of another run; a neck or head of another shape or other classes stays as it is."""
    other = load_model(run)
    if other.facts.get("refit"):  # what is chosen on validation must not have learned it
        load_before_refit(other.network, run)
    try:
        network.backbone.load_state_dict(_state(other.network.backbone))
    except RuntimeError:
        raise RunError(
            f"--from {run}: its backbone is not the recipe's; use the same backbone and stage"
        ) from None
    for backbone in network.backbone.each():
        backbone.weights_used = f"run {run.name}"
    taken = ["backbone"]
    parts: dict[str, tuple[nn.Module, nn.Module]] = {"neck": (network.neck, other.network.neck)}
    if network.components is not None and other.network.components is not None:
        parts = {"components": (network.components, other.network.components), **parts}
    for name, classes in network.learned.items():
        if other.network.learned.get(name) == classes:
            parts[f"{name} head"] = (network.heads[name], other.network.heads[name])
    for name, (ours, theirs) in parts.items():
        try:
            ours.load_state_dict(_state(theirs))
            taken.append(name)
        except RuntimeError:
            say(f"--from {run}: its {name} has another shape and is not used")
    say(f"starting from the {', '.join(taken)} of {run}")


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in module.state_dict().items()}


def _described(network: Network) -> str:
    """Backbones and their weights, what the neck is given, the neck."""
    backbone, recipe = network.backbone, network.recipe
    pairs = zip(recipe.backbones, backbone.each(), strict=True)
    names = " and ".join(f"{settings.name} ({each.weights_used})" for settings, each in pairs)
    height, width = backbone.grid
    given = f"{backbone.channels} × {height} × {width} tokens"
    if backbone.layout:
        given = f"{backbone.channels:,} statistics of {len(backbone.layout)} maps"
        given += f" → {network.components.width:,} components" if network.components else ""
    several = f" × {recipe.neck.members}" if recipe.neck.members > 1 else ""
    return f"{names}, {given} → {recipe.neck.kind}{several}"


def _weights_dirs(recipe_file: Path) -> list[Path]:
    """Where weight files are looked for: $MORELLI_WEIGHTS, $MORELLI_REAL_DATA/weights, beside the recipe."""
    folders = [Path(p) for p in os.environ.get("MORELLI_WEIGHTS", "").split(os.pathsep) if p]
    if os.environ.get("MORELLI_REAL_DATA"):
        folders.append(Path(os.environ["MORELLI_REAL_DATA"]) / "weights")
    return [*folders, recipe_file.parent]


def _write_collection(collection: Collection, out: Path) -> None:
    """The rows and the split used, and where the images are."""
    columns = [c for c in collection.table.columns if c not in ("phash", "file")]
    with atomic_write(Run(out).works_file) as temporary:
        collection.table[columns].to_parquet(temporary, index=False)
    Run(out).note_collection(collection.folder)

"""Combinations of settings that are each valid and together do something else than they say, or nothing.

A recipe refuses them, with one sentence for each. A setting counts as given where it was written down with another
value than its default: a complete recipe, as a run keeps it, writes down all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from morelli.recipe.network_settings import Backbone
    from morelli.recipe.settings import Recipe
    from morelli.recipe.training_settings import Augment, Phase

# which kinds read a setting; one that is not listed is read by all
NECK_KINDS: dict[str, tuple[str, ...]] = {
    "scan": ("lstm", "gru", "mingru"),
    "tokens": ("lstm", "gru", "mingru"),
    "pool": ("lstm", "gru", "mingru", "convlstm"),
    "bidirectional": ("lstm", "gru", "mingru", "convlstm"),
    "layers": ("lstm", "gru", "mingru", "rowcol"),
    "width": ("lstm", "gru", "mingru", "convlstm", "rowcol"),
    "fused": ("statistics", "mlp"),  # these two also by every kind that is fused with neck.statistics
    "input_dropout": ("statistics", "mlp"),
}
LOSS_KINDS: dict[str, tuple[str, ...]] = {
    "gamma": ("focal",),
    "alpha": ("focal",),
    "tau": ("logit-adjustment",),
}
OPTIMIZER_KINDS: dict[str, tuple[str, ...]] = {"momentum": ("sgd",)}
SCHEDULE_KINDS: dict[str, tuple[str, ...]] = {
    "gamma": ("exponential",),
    "factor": ("plateau",),
    "patience": ("plateau",),
}
# the necks that read no order, whose vector is the same for a map and its mirror image
_NO_ORDER = ("mean", "attention", "statistics", "mlp")
# the necks that are what they say over a map of one cell too
_ONE_CELL_NECKS = ("mean", "mlp")
_ONE_CYCLE_RISE = 0.3  # of a phase (morelli.training.optimisation.schedule_factor)


def given(settings: BaseModel, name: str) -> bool:
    """Whether a setting was written down, with another value than its default."""
    default = type(settings).model_fields[name].default
    return name in settings.model_fields_set and getattr(settings, name) != default


def first_problem(recipe: Recipe) -> str | None:
    """What the first combination that does not hold is, and what to do, in one sentence."""
    return next((sentence for check in CHECKS for sentence in check(recipe)), None)


def one_cell(recipe: Recipe) -> str | None:
    """The setting by which the neck reads a map of one cell, where one does."""
    if recipe.features.components:
        return "features.components"
    if recipe.features.readout == "statistics":
        return "features.readout=statistics"
    setting = _averaged_to_one(recipe.backbones[0])  # on whose grid all maps are joined
    return f"{_backbone_key(recipe, 0)}.{setting}=1" if setting else None


def one_cell_problems(recipe: Recipe, cause: str, layout: bool = False) -> Iterator[str]:
    """What a recipe asks of maps that has no meaning where the neck reads one cell, because of ``cause``; ``layout``
    where that cell is statistics of a map, which the kind ``statistics`` reads."""
    kind, statistics = recipe.neck.kind, recipe.neck.statistics
    if kind == "statistics" and not layout:
        yield f"neck.kind: statistics are of the cells of a map, and {cause} leaves one; choose neck.kind=mlp"
    elif statistics and not layout:
        yield f"neck.statistics: are of the cells of a map, and {cause} leaves one; leave neck.statistics out"
    elif kind not in (*_ONE_CELL_NECKS, "statistics") and not layout:
        yield (
            f"neck.kind: {kind} reads the cells of a map, and {cause} leaves one; choose neck.kind=mlp or "
            "neck.kind=mean"
        )
    for phase in recipe.phases:
        augment = phase.augment or recipe.augment
        if augment.mixstyle:
            yield (
                f"augment.mixstyle: mixes the variances over the cells of a map, and {cause} leaves one, so that it "
                "would exchange whole works; leave it out"
            )
        if augment.cutmix and reads_cache(recipe, phase):
            yield (
                f"augment.cutmix: exchanges some of the cells of a cached map, and {cause} leaves one; choose "
                "augment.mixup"
            )


def reads_cache(recipe: Recipe, phase: Phase) -> bool:
    """Whether a phase reads cached features: its backbone stays as it is, and so do the pixels, or a few views of
    them are cached."""
    augment = phase.augment or recipe.augment
    return frozen(phase) and recipe.training.cache and (not augment.changes_pixels or augment.views > 1)


def frozen(phase: Phase) -> bool:
    """Whether the backbone stays as it is."""
    return phase.train in ("none", 0)


def _averaged_to_one(backbone: Backbone) -> str | None:
    """The setting that leaves one cell of each map, where one does."""
    if backbone.grid == 1 and backbone.patches in (None, 1):
        return "grid"
    return "patches" if backbone.patches == 1 and backbone.grid is None else None


def _backbone_key(recipe: Recipe, number: int) -> str:
    return "backbone" if len(recipe.backbones) == 1 else f"backbones.{number}"


def _other_kinds(where: str, settings: Any, kinds: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The settings given that the kind chosen does not read."""
    for name, readers in kinds.items():
        if given(settings, name) and settings.kind not in readers:
            yield f"{where}.{name}: is for {_listed(readers)}, not for {settings.kind}; leave it out"


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _image(recipe: Recipe) -> Iterator[str]:
    if (recipe.image.mean is None) != (recipe.image.std is None):
        yield "image.mean: and image.std belong together; give both or neither"


def _features(recipe: Recipe) -> Iterator[str]:
    features = recipe.features
    for number, backbone in enumerate(recipe.backbones):
        setting = _averaged_to_one(backbone)
        if features.readout == "statistics" and setting:
            key = _backbone_key(recipe, number)
            yield f"{key}.{setting}: leaves one cell, which has no statistics; leave it out"
    if features.components:
        learning = [number for number, phase in enumerate(recipe.phases) if not frozen(phase)]
        if learning:
            yield (
                f"phases.{learning[0]}.train: features.components are found before training and hold for a backbone "
                "that stays as it is; choose train: none, or leave components out"
            )
        if not recipe.training.cache:
            yield "training.cache: features.components are found in cached features; leave it out"
    if cause := one_cell(recipe):
        layout = features.readout == "statistics" and not features.components
        yield from one_cell_problems(recipe, cause, layout)


def _neck(recipe: Recipe) -> Iterator[str]:
    neck = recipe.neck
    fused = ("fused", "input_dropout") if neck.statistics else ()
    yield from _other_kinds("neck", neck, {name: k for name, k in NECK_KINDS.items() if name not in fused})
    if neck.tokens == "rows" and given(neck, "scan"):
        yield "neck.scan: orders cells, and with neck.tokens=rows rows are read top to bottom; leave it out"
    if len(set(neck.statistics)) < len(neck.statistics):
        yield "neck.statistics: must name each kind once"
    if given(neck, "projections") and "gram" not in neck.statistics:
        yield "neck.projections: are of the Gram matrix; add gram to neck.statistics, or leave them out"


def _tasks(recipe: Recipe) -> Iterator[str]:
    weights = recipe.task_weights if isinstance(recipe.task_weights, dict) else {}
    prior = ["artist"] if recipe.artist_prior else []  # its head is built as that of the task artist
    named: list[tuple[str, Collection[str], list[str]]] = [
        ("heads", recipe.heads, [*recipe.tasks, *prior]),
        ("losses", recipe.losses, [*recipe.tasks]),
        ("task_weights", weights, [*recipe.tasks]),
    ]
    for where, names, known in named:
        for name in names:
            if name not in ("default", *known):
                yield f"{where}.{name}: {name} is not among the tasks; leave it out"
    for task, loss in recipe.losses.items():
        yield from _other_kinds(f"losses.{task}", loss, LOSS_KINDS)


def _augmentation(recipe: Recipe) -> Iterator[str]:
    if given(recipe, "augment") and all(phase.augment for phase in recipe.phases):
        yield "augment: every phase has its own; leave it out"
    users: list[tuple[str, Augment, list[Phase]]] = [
        ("augment", recipe.augment, [phase for phase in recipe.phases if phase.augment is None])
    ]
    users += [
        (f"phases.{number}.augment", phase.augment, [phase])
        for number, phase in enumerate(recipe.phases)
        if phase.augment
    ]
    for where, augment, phases in users:
        yield from _one_augment(recipe, where, augment, phases)


def _one_augment(recipe: Recipe, where: str, augment: Augment, phases: list[Phase]) -> Iterator[str]:
    if given(augment, "mixstyle_alpha") and not augment.mixstyle:
        yield f"{where}.mixstyle_alpha: is for mixstyle; set {where}.mixstyle, or leave it out"
    if augment.flip and recipe.features.flip_average and recipe.neck.kind in _NO_ORDER:
        yield f"{where}.flip: changes nothing where features.flip_average reads both ways; leave one of them out"
    if given(augment, "views"):
        if not augment.changes_pixels:
            yield f"{where}.views: would be alike, for no pixel is changed; set crop, flip or the like, or leave it out"
        elif not any(reads_cache(recipe, phase) for phase in phases):
            yield (
                f"{where}.views: are of the cached features of a frozen backbone, and no phase reads such; leave it out"
            )
    for name in ("mixup", "cutmix", "mixstyle"):
        if getattr(augment, name) and recipe.training.batch_size == 1:
            yield f"{where}.{name}: mixes the works of a batch; set training.batch_size to 2 or more"


def _contrastive(recipe: Recipe) -> Iterator[str]:
    if recipe.contrastive is None:
        return
    if all(_mixes_all(phase.augment or recipe.augment) for phase in recipe.phases):
        yield "contrastive: learns from batches that are not mixed; set augment.mixup=0 and augment.cutmix=0"
    if recipe.training.batch_size == 1:
        yield "contrastive: compares the works of a batch; set training.batch_size to 2 or more"


def _mixes_all(augment: Augment) -> bool:
    """Whether every batch is mixed."""
    shares = [share for share in (augment.mixup_probability, augment.cutmix_probability) if share is not None]
    return bool(augment.mixup or augment.cutmix) and (not shares or sum(shares) == 1)


def _sampling(recipe: Recipe) -> Iterator[str]:
    if given(recipe.sampler, "power") and not recipe.sampler.balance:
        yield "sampler.power: weighs the classes of sampler.balance; name its tasks, or leave it out"


def _phases(recipe: Recipe) -> Iterator[str]:
    yield from _other_kinds("optimizer", recipe.optimizer, OPTIMIZER_KINDS)
    for number, phase in enumerate(recipe.phases):
        where = f"phases.{number}"
        for name in ("backbone_lr", "decay", "freeze_batch_norm"):
            if given(phase, name) and frozen(phase):
                default = {"backbone_lr": "null", "decay": "1", "freeze_batch_norm": "false"}[name]
                yield (
                    f"{where}.{name}: is for a backbone that learns, and train is {phase.train}; leave it out, or "
                    f"--set {where}.{name}={default}"
                )
        if given(phase, "decay") and phase.train == 1:
            yield f"{where}.decay: is between stages that learn, and train is 1; leave it out"
        yield from _schedule(f"{where}.schedule", phase)


def _schedule(where: str, phase: Phase) -> Iterator[str]:
    schedule = phase.schedule
    yield from _other_kinds(where, schedule, SCHEDULE_KINDS)
    if given(schedule, "floor") and schedule.kind == "constant" and not schedule.warmup:
        yield f"{where}.floor: a constant rate without warm-up never falls; leave it out"
    if schedule.warmup > phase.epochs:
        yield (
            f"{where}.warmup: {schedule.warmup:g} epochs are longer than the phase, which has {phase.epochs}; choose "
            "fewer"
        )
    elif schedule.kind == "one-cycle" and 0 < schedule.warmup <= _ONE_CYCLE_RISE * phase.epochs:
        yield f"{where}.warmup: one-cycle rises for 30 % of the phase, which is longer; leave it out"


def _training(recipe: Recipe) -> Iterator[str]:
    if recipe.training.refit and given(recipe.training, "monitor"):
        yield "training.monitor: nothing is chosen by it with training.refit; leave it out"


CHECKS: tuple[Callable[[Recipe], Iterator[str]], ...] = (
    _image,
    _features,
    _neck,
    _tasks,
    _augmentation,
    _contrastive,
    _sampling,
    _phases,
    _training,
)

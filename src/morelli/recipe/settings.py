"""What a recipe may say: pydantic models, strict (an unknown key is an error) and frozen.

Settings that are valid one by one and have no effect together, or a misleading one, are refused
(:mod:`morelli.recipe.checks`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator, model_validator

from morelli.recipe import checks

Task = Literal["artist", "style", "genre"]
Rate = Annotated[float, Field(ge=0, lt=1)]
Colour = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]
TASKS: tuple[Task, ...] = get_args(Task)
Scan = Literal["row", "row-reverse", "column", "column-reverse", "snake", "snake-reverse"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Strict):
    """What the network sees of a painting: ``size`` in pixels, how a rectangle becomes a square, and the mean
    and deviation that normalise a channel (0–1), both or neither, where they are not those of the backbone."""

    size: int = Field(224, ge=16, le=2048)
    fit: Literal["squash", "crop", "pad"] = "squash"
    mean: tuple[Colour, Colour, Colour] | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None


class Backbone(_Strict):
    """Any timm model, cut after ``stage`` (timm's feature index; ``last`` is the whole trunk), or after several.

    ``weights`` is ``pretrained`` (timm's hub), ``none`` (random), or a safetensors file; a list is tried in
    order. ``grid`` averages each feature map to grid × grid cells (a coarser map has its cells repeated), also before
    its statistics are taken. ``patches`` cuts the image into patches × patches pieces that the trunk sees one by one,
    each averaged to grid × grid (1 where not given) cells. ``options`` go to ``timm.create_model``.
    """

    name: str = "resnet18"
    stage: int | Literal["last"] | Annotated[list[int | Literal["last"]], Field(min_length=1)] = "last"
    weights: str | list[str] = "pretrained"
    grid: int | None = Field(None, ge=1, le=64)
    patches: int | None = Field(None, ge=1, le=16)
    options: dict[str, Any] = {}


class Features(_Strict):
    """What the backbones give the neck of their maps.

    ``readout: map`` joins the maps of all stages of all backbones on the grid of the first backbone's last stage.
    ``readout: statistics`` reduces each map, at its own grid, to the means and covariances of its channels (of a map
    wider than 256 channels, variances), in one vector; ``components`` replaces these by so many principal components,
    fitted to the training works without labels. With ``flip_average`` an image is read twice, as it is and mirrored
    left to right, and the features are the mean of both.
    """

    readout: Literal["map", "statistics"] = "map"
    flip_average: bool = False
    components: int | None = Field(None, ge=2, le=16384)

    @model_validator(mode="after")
    def _components_are_of_statistics(self) -> Features:
        if self.components and self.readout != "statistics":
            raise ValueError("components are of statistics; set readout: statistics, or leave components out")
        return self


class Neck(_Strict):
    """How the tokens become one vector.

    ``lstm``, ``gru`` and ``mingru``, a GRU whose steps are computed side by side, read the tokens along ``scan``: one a
    cell of the map, or with ``tokens: rows`` one a row, all its cells flattened. ``convlstm`` reads row after row, with
    convolutions along the row instead of full connections; ``rowcol`` reads rows and columns with two bidirectional
    GRUs; ``mean`` and ``attention`` pool without recurrence (the honest baselines). ``scan`` and ``tokens`` are for
    the first three alone (``scan`` for cells), ``bidirectional`` and ``pool`` also for ``convlstm``, ``width`` for all
    that recur, ``layers`` for all of these but ``convlstm``. ``mlp`` is one hidden layer, ``fused`` wide, over a
    backbone's ``components`` or a map of one cell, of which it drops ``input_dropout`` in training. Over one cell there
    is ``mean`` too, and no other kind.

    ``statistics`` fuses what the neck reads with statistics of the whole map, in a vector ``fused`` wide:
    ``moments`` are each channel's mean and deviation, ``gram`` the covariances of ``projections`` mixtures of
    channels (at most as many as there are channels; a map of more than 256 channels has no Gram matrix). The kind
    ``statistics`` has nothing else (moments where none are named). Of this kind and of ``mlp`` there may be several
    ``members``, each with heads of its own, whose mean probabilities are the answer.

    ``dropout`` acts on the neck's vector and between recurrent layers; ``layer_dropout`` is another rate for the
    latter. Attention scores a state through a hidden layer of ``attention_hidden`` tanh units, or with 0 by one linear
    layer. Three options are of ``rowcol`` alone. ``projection`` is the number of channels to which a 1 × 1 convolution
    with batch norm and ReLU takes the map first, in place of the layer norm. ``line_mean`` takes the mean of the states
    along each row and each column, so that attention weighs lines instead of cells. ``fuse: concat`` puts rows, columns
    and the mean of the map side by side, 4 · width + channels, instead of mixing them by a linear layer.
    """

    kind: Literal["lstm", "gru", "mingru", "convlstm", "rowcol", "mean", "attention", "statistics", "mlp"] = (
        "lstm"
    )
    scan: Scan = "row"
    tokens: Literal["cells", "rows"] = "cells"
    width: int = Field(256, ge=1, le=8192)
    layers: int = Field(1, ge=1, le=8)
    bidirectional: bool = False
    pool: Literal["last", "mean", "attention"] = "last"
    dropout: float = Field(0.0, ge=0, lt=1)
    statistics: list[Literal["moments", "gram"]] = []
    projections: int = Field(64, ge=2, le=512)
    fused: int = Field(512, ge=1, le=8192)
    input_dropout: Rate = 0.1
    members: int = Field(1, ge=1, le=32)
    layer_dropout: Rate | None = None
    attention_hidden: int = Field(128, ge=0, le=8192)
    projection: int | None = Field(None, ge=1, le=8192)
    line_mean: bool = False
    fuse: Literal["linear", "concat"] = "linear"

    @model_validator(mode="after")
    def _members_fit(self) -> Neck:
        if self.members > 1 and self.kind not in ("statistics", "mlp"):
            raise ValueError(
                f"several members are for kinds statistics and mlp, not for {self.kind}; leave members out"
            )
        if self.statistics and self.kind == "mlp":
            raise ValueError("kind mlp reads one vector as it is; leave statistics out")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Neck:
        if self.kind != "rowcol":
            for option in ("projection", "line_mean", "fuse"):
                if getattr(self, option) != type(self).model_fields[option].default:
                    raise ValueError(f"{option} is for kind rowcol, not for {self.kind}; leave it out")
        if self.layer_dropout is not None and (
            self.kind not in ("lstm", "gru", "mingru", "rowcol") or self.layers < 2
        ):
            raise ValueError(
                "layer_dropout acts between the layers of lstm, gru, mingru or rowcol; set layers: 2 or more, or "
                "leave it out"
            )
        pooled = self.pool == "attention" and self.kind in ("lstm", "gru", "mingru", "convlstm")
        if self.attention_hidden != 128 and not (pooled or self.kind in ("rowcol", "attention")):
            raise ValueError("attention_hidden is for necks that pool by attention; leave it out")
        return self


class Head(_Strict):
    """From the neck's vector to class scores: one linear layer, an MLP, or a residual block with
    squeeze-excitation; ``widths`` are the hidden layers of the latter two. ``dropout`` is one rate, or one for
    each of the widths."""

    kind: Literal["linear", "mlp", "residual-se"] = "linear"
    widths: list[int] = []
    dropout: Rate | list[Rate] = 0.0

    @model_validator(mode="after")
    def _widths_fit(self) -> Head:
        if self.kind == "linear" and self.widths:
            raise ValueError("a linear head has no widths; choose kind mlp or residual-se")
        if self.kind != "linear" and not self.widths:
            raise ValueError(f"a {self.kind} head needs widths, for example [512]")
        if any(w < 1 for w in self.widths):
            raise ValueError("widths must be positive")
        if isinstance(self.dropout, list) and len(self.dropout) != len(self.widths):
            raise ValueError(f"dropout has {len(self.dropout)} rates for {len(self.widths)} widths")
        return self

    def rates(self) -> list[float]:
        """The dropout of each hidden layer."""
        return self.dropout if isinstance(self.dropout, list) else [self.dropout] * len(self.widths)


class Loss(_Strict):
    """One task's loss; unknown labels (−1) never contribute. ``gamma`` and ``alpha`` are those of ``focal``, ``tau``
    that of ``logit-adjustment``, which with 1 is ``balanced-softmax``; see :func:`morelli.network.loss.task_loss`."""

    kind: Literal["cross-entropy", "focal", "balanced-softmax", "logit-adjustment"] = "cross-entropy"
    smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    gamma: float = Field(2.0, ge=0)
    alpha: float | None = Field(None, gt=0, le=1)
    tau: float = Field(1.0, gt=0)


class Contrastive(_Strict):
    """Supervised contrastive learning beside the tasks' losses: works that share a label of ``tasks`` draw near
    each other in a projection of the embedding (``projection`` wide); ``weight`` is what it counts. Batches mixed by
    MixUp or CutMix have no labels to compare, and leave it out."""

    weight: float = Field(0.1, gt=0)
    tasks: list[Task] = Field(min_length=1)
    temperature: float = Field(0.1, gt=0)
    projection: int = Field(128, ge=2, le=4096)


class ColourJitter(_Strict):
    """How far colours move: ``brightness``, ``contrast`` and ``saturation`` are multiplied by 1 − x to 1 + x,
    ``hue`` turns by −x to x of the colour circle."""

    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)

    def __bool__(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)


class Augment(_Strict):
    """Random changes to training images. ``crop`` is the smallest share of the area kept (1 = none), of an aspect
    ratio within ``crop_ratio``; it is taken ``crop_from`` the square that ``image.fit`` makes of a painting, or from
    the whole painting. ``colour`` is one strength of brightness, contrast and saturation jitter, or a mapping
    {brightness, contrast, saturation, hue}. ``rotation`` is in degrees, ``erasing`` a probability and ``erasing_area``
    the largest share of the image erased. ``views`` is how many augmented versions of each work a cache of frozen
    features holds; a phase whose backbone learns reads images, and augments them anew each time.

    ``mixup`` and ``cutmix`` are the α of their Beta (0 = none). Every batch is mixed, by one of the two where both are
    given; ``mixup_probability`` and ``cutmix_probability`` are the shares of batches that each changes instead. On
    cached features they mix the maps, elsewhere the images.

    ``mixstyle`` is the probability that a batch's feature maps swap part of their channel statistics with one
    another, ``mixstyle_alpha`` the α of that part's Beta; labels stay.

    A picture is shared by all tasks of a network, and so is its augmentation; for another one for each task,
    train one network a task, each with its own recipe."""

    flip: bool = False
    crop: float = Field(1.0, gt=0, le=1)
    crop_ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)
    crop_from: Literal["square", "painting"] = "square"
    colour: ColourJitter = ColourJitter()
    rotation: float = Field(0.0, ge=0, le=180)
    erasing: float = Field(0.0, ge=0, le=1)
    erasing_area: float = Field(0.33, gt=0.02, le=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    mixup_probability: float | None = Field(None, gt=0, le=1)
    cutmix_probability: float | None = Field(None, gt=0, le=1)
    mixstyle: float = Field(0.0, ge=0, le=1)
    mixstyle_alpha: float = Field(0.1, gt=0)
    views: int = Field(1, ge=1, le=64)

    @field_validator("colour", mode="before")
    @classmethod
    def _one_strength(cls, value: Any) -> Any:
        if isinstance(value, dict | ColourJitter):
            return value
        try:
            strength = float(value)
        except (TypeError, ValueError):
            strength = -1.0
        if not 0 <= strength <= 1:
            raise ValueError("give a strength from 0 to 1, or {brightness, contrast, saturation, hue}")
        return ColourJitter(brightness=strength, contrast=strength, saturation=strength)

    @model_validator(mode="after")
    def _crop_and_mixing_fit(self) -> Augment:
        if self.crop_ratio[0] > self.crop_ratio[1]:
            raise ValueError("crop_ratio is the smallest and the largest ratio, in this order")
        if self.crop == 1 and (self.crop_from != "square" or self.crop_ratio != (3 / 4, 4 / 3)):
            raise ValueError(
                "crop_from and crop_ratio are of a random crop; set crop below 1, or leave them out"
            )
        if not self.erasing and self.erasing_area != 0.33:
            raise ValueError("erasing_area is of erasing; set erasing, or leave erasing_area out")
        shares = {"mixup": self.mixup_probability, "cutmix": self.cutmix_probability}
        for kind, share in shares.items():
            if share is not None and not getattr(self, kind):
                raise ValueError(f"{kind}_probability is of {kind}; set {kind} to its α, or leave it out")
            if share is None and getattr(self, kind) and any(shares.values()):
                raise ValueError(f"{kind} has no probability; set {kind}_probability, or {kind}: 0")
        if sum(share or 0 for share in shares.values()) > 1:
            raise ValueError("mixup_probability and cutmix_probability are more than 1 together; lower one")
        return self

    @property
    def changes_pixels(self) -> bool:
        """Whether a training image differs from the evaluation image."""
        return self.flip or self.crop < 1 or bool(self.colour or self.rotation or self.erasing)


class Sampler(_Strict):
    """Weighted sampling: weight ∝ class count ** −power, averaged over the tasks in ``balance``
    (power 1 draws classes equally often, 0.5 is the square root, an empty list is plain shuffling)."""

    balance: list[Task] = []
    power: float = Field(1.0, ge=0, le=1)


class Optimizer(_Strict):
    """AdamW, or SGD with Nesterov's ``momentum`` (none at 0). Biases and norms have no ``weight_decay``."""

    kind: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(0.01, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)


class Schedule(_Strict):
    """Learning-rate schedule of one phase. ``warmup`` is in epochs; ``gamma`` is the exponential's factor
    an epoch; ``factor`` and ``patience`` (epochs) belong to plateau; ``floor`` is the lowest share of the
    rate, also at the first step of a warm-up. ``one-cycle`` warms up for 30 % of the phase, or for ``warmup`` where
    that is longer. ``length`` is in how many epochs a cosine falls to its floor, where that is more than the phase has,
    which then ends above it. The rate changes at every step, or with ``interval: epoch`` only where an epoch begins."""

    kind: Literal["constant", "cosine", "exponential", "plateau", "one-cycle"] = "cosine"
    warmup: float = Field(0.0, ge=0)
    gamma: float = Field(0.95, gt=0, le=1)
    factor: float = Field(0.1, gt=0, lt=1)
    patience: int = Field(3, ge=0)
    floor: float = Field(0.0, ge=0, lt=1)
    length: int | None = Field(None, ge=1)
    interval: Literal["step", "epoch"] = "step"

    @model_validator(mode="after")
    def _kind_fits(self) -> Schedule:
        if self.length is not None and self.kind != "cosine":
            raise ValueError(f"length is for kind cosine, not for {self.kind}; leave it out")
        if self.interval == "epoch" and (self.warmup or self.kind in ("constant", "plateau")):
            raise ValueError(
                "interval: epoch is for cosine, exponential and one-cycle without a warm-up; leave it out"
            )
        return self


class Phase(_Strict):
    """A stretch of training. ``train`` says which part of the backbone learns: ``none``, ``all`` or the
    last N stages, at ``backbone_lr`` (a tenth of ``lr`` where not given); each stage further from the neck has its
    rate multiplied by ``decay``. ``freeze_batch_norm`` keeps the running statistics of the learning stages' batch
    norms as they are. ``augment`` takes the place of the recipe's, as a whole."""

    epochs: int = Field(ge=1)
    train: int | Literal["none", "all"] = "none"
    lr: float = Field(1e-3, gt=0)
    backbone_lr: float | None = Field(None, gt=0)
    decay: float = Field(1.0, gt=0, le=1)
    freeze_batch_norm: bool = False
    schedule: Schedule = Schedule()
    augment: Augment | None = None

    @model_validator(mode="after")
    def _schedule_is_as_long(self) -> Phase:
        if self.schedule.length is not None and self.schedule.length < self.epochs:
            raise ValueError(
                f"schedule.length {self.schedule.length} is less than the {self.epochs} epochs of the phase; set "
                "it to as many or more, or leave it out"
            )
        return self


class Training(_Strict):
    """How phases are run. ``devices`` is a number of GPUs or, on a CPU, of processes; more than one starts the
    whole command once for each. ``accumulate`` batches make one step, whose gradient is clipped to the norm ``clip``.
    ``workers`` load images; ``patience`` is early stopping's, in epochs, counted anew in each phase; ``monitor`` is
    what the best epoch is chosen by; ``ema`` the decay of averaged weights. ``cache`` keeps a frozen backbone's
    features on disk, where the pixels stay as they are or ``augment.views`` are given; other phases read images.

    ``calibration`` is what is fitted to the validation split when training is over: a ``temperature`` for each task,
    which leaves every answer as it was, or ``temperature-and-prior``, which also gives rare classes back what a network
    that was held back (by dropout, MixUp, few epochs) took from them.

    ``refit`` learns again from the beginning, as long as before, from the training and validation works together, once
    validation has given the calibration, which is kept. The test split stays unseen."""

    batch_size: int = Field(64, ge=1)
    accumulate: int = Field(1, ge=1)
    clip: float | None = Field(1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema: float | None = Field(None, gt=0, lt=1)
    patience: int | None = Field(None, ge=1)
    monitor: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    calibration: Literal["temperature", "temperature-and-prior"] = "temperature"
    refit: bool = False
    cache: bool = True
    workers: int = Field(2, ge=0, le=64)
    devices: int = Field(1, ge=1)


class Recipe(_Strict):
    """One experiment, complete.

    ``backbones`` are one or several, whose features are joined; ``backbone: {…}`` is short for a list of one. Of
    several only the first learns in part; the others learn where all of it does.

    ``artist_prior: N`` adds a head that predicts every artist of N training works or more, class or not. Its
    probabilities, combined with each artist's share of classes in training, are added to the scores of every task
    with a weight that is fitted on validation (``morelli.evaluation.calibration.artist_prior``)."""

    name: str
    seed: int = Field(0, ge=0, lt=2**31)
    tasks: list[Task] = list(TASKS)
    artist_prior: int | None = Field(None, ge=2)
    image: Image = Image()
    backbones: list[Backbone] = Field([Backbone()], min_length=1)
    features: Features = Features()
    neck: Neck = Neck()
    heads: dict[Literal["default", "artist", "style", "genre"], Head] = {}
    losses: dict[Literal["default", "artist", "style", "genre"], Loss] = {}
    task_weights: Literal["uncertainty"] | dict[Task, float] = {}
    contrastive: Contrastive | None = None
    augment: Augment = Augment()
    sampler: Sampler = Sampler()
    optimizer: Optimizer = Optimizer()
    phases: list[Phase] = Field(min_length=1)
    training: Training = Training()

    @model_validator(mode="before")
    @classmethod
    def _one_backbone_is_a_list_of_one(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or "backbone" not in tree:
            return tree
        if "backbones" in tree:
            raise ValueError("give backbone, or a list of backbones, not both")
        return {("backbones" if key == "backbone" else key): value for key, value in tree.items()} | {
            "backbones": [tree["backbone"]]
        }

    @model_validator(mode="after")
    def _tasks_fit(self) -> Recipe:
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks must name at least one task, each once")
        if isinstance(self.task_weights, dict) and any(w < 0 for w in self.task_weights.values()):
            raise ValueError("task_weights must not be negative")
        contrastive = self.contrastive.tasks if self.contrastive else []
        for key, named in (("sampler.balance", self.sampler.balance), ("contrastive.tasks", contrastive)):
            strangers = [t for t in named if t not in self.tasks]
            if strangers:
                raise ValueError(f"{key} names {strangers[0]}, which is not among the tasks")
        plateau = any(phase.schedule.kind == "plateau" for phase in self.phases)
        if self.training.refit and (self.training.patience or plateau):
            raise ValueError(
                "training.refit needs a length that no validation decides; leave out training.patience and "
                "schedules of kind plateau, or set training.refit=false"
            )
        for backbone in self.backbones:
            if backbone.patches and self.image.size % backbone.patches:
                raise ValueError(
                    f"image.size {self.image.size} is no multiple of backbone.patches {backbone.patches}"
                )
        return self

    @model_validator(mode="after")
    def _settings_go_together(self) -> Recipe:
        problem = checks.first_problem(self)
        if problem:
            raise ValueError(problem)
        return self

    def head(self, task: str) -> Head:
        """The head of ``task``: its own, else the default, else one linear layer."""
        return self.heads.get(task) or self.heads.get("default") or Head()  # type: ignore[call-overload]

    def loss(self, task: str) -> Loss:
        """The loss of ``task``: its own, else the default, else plain cross entropy."""
        return self.losses.get(task) or self.losses.get("default") or Loss()  # type: ignore[call-overload]

"""What a recipe may say of training: losses, augmentation, sampling, optimizer, schedule, phases."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from morelli.recipe.network_settings import Strict, Task


class Loss(Strict):
    """One task's loss; unknown labels (−1) never contribute. ``gamma`` and ``alpha`` are those of ``focal``, ``tau``
    that of ``logit-adjustment``, which with 1 is ``balanced-softmax``; see :func:`morelli.network.loss.task_loss`."""

    kind: Literal["cross-entropy", "focal", "balanced-softmax", "logit-adjustment"] = "cross-entropy"
    smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    gamma: float = Field(2.0, ge=0)
    alpha: float | None = Field(None, gt=0, le=1)
    tau: float = Field(1.0, gt=0)


class Contrastive(Strict):
    """Supervised contrastive learning beside the tasks' losses: works that share a label of ``tasks`` draw near
    each other in a projection of the embedding (``projection`` wide); ``weight`` is what it counts. Batches mixed by
    MixUp or CutMix have no labels to compare, and leave it out."""

    weight: float = Field(0.1, gt=0)
    tasks: list[Task] = Field(min_length=1)
    temperature: float = Field(0.1, gt=0)
    projection: int = Field(128, ge=2, le=4096)


class ColourJitter(Strict):
    """How far colours move: ``brightness``, ``contrast`` and ``saturation`` are multiplied by 1 − x to 1 + x,
    ``hue`` turns by −x to x of the colour circle."""

    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)

    def __bool__(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)


class Augment(Strict):
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


class Sampler(Strict):
    """Weighted sampling: weight ∝ class count ** −power, averaged over the tasks in ``balance``
    (power 1 draws classes equally often, 0.5 is the square root, an empty list is plain shuffling)."""

    balance: list[Task] = Field([])
    power: float = Field(1.0, ge=0, le=1)


class Optimizer(Strict):
    """AdamW, or SGD with Nesterov's ``momentum`` (none at 0). Biases and norms have no ``weight_decay``."""

    kind: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(0.01, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)


class Schedule(Strict):
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


class Phase(Strict):
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


class Training(Strict):
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

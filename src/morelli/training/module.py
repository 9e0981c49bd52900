"""The Lightning module of one phase: the step, the validation figures, the optimizer."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from morelli.errors import RunError
from morelli.network.loss import MultiTaskLoss
from morelli.network.network import Network
from morelli.preprocessing.pixels import normalise
from morelli.recipe import Phase, Recipe
from morelli.training.augment import mix, mixstyle
from morelli.training.data import Batch, derive_seed
from morelli.training.optimisation import build_optimizer, parameter_groups, schedule_factor

UNSURE, WRONG_AND_UNSURE = 0.6, 0.5  # the public systems' thresholds of the highest probability


class ReadingModule(pl.LightningModule):
    """Trains ``network`` for one phase.

    A batch is (inputs, labels): inputs are uint8 images or float16 feature maps of a frozen backbone; labels
    (B, columns), −1 unknown, have a column for all that the network learns. Every training step seeds PyTorch by (seed,
    phase, epoch, batch), so that a resumed run draws the same dropout as an uninterrupted one. Logs ``val_score`` (the
    recipe's monitor, higher is better), ``val_loss`` and each task's ``val_TASK_accuracy``, ``val_TASK_macro_f1``,
    ``val_TASK_unsure`` and ``val_TASK_wrong_and_unsure``, and ``train_TASK_accuracy`` where batches are not mixed.
    """

    def __init__(
        self, network: Network, loss: MultiTaskLoss, recipe: Recipe, number: int, batches: Sized
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.recipe, self.number, self.batches = recipe, number, batches
        self.phase: Phase = recipe.phases[number]
        self.mixing = self.phase.augment or recipe.augment
        self.tasks = list(recipe.tasks)
        self.strict_loading = False  # components are missing; the trainer has them from their own file
        # state_dict stays that of network and loss: confusions are made anew at every validation
        self._confusion: dict[str, MulticlassConfusionMatrix] = {}
        # {figure: (sum, weight)} of the epoch so far; Lightning would forget its own when a run stops
        self._so_far: dict[str, tuple[Tensor, Tensor]] = {}

    def on_train_epoch_start(self) -> None:  # not called for an epoch that is resumed in its middle
        self._so_far = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["morelli_so_far"] = self._so_far
        # components are large, never change, and are kept beside the features
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("network.components.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._so_far = checkpoint.get("morelli_so_far", {})

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch, in each process."""
        return -(-len(self.batches) // self.recipe.training.accumulate)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, labels = self._pixels_or_features(batch[0]), batch[1]
        seed = derive_seed(self.recipe.seed, self.number, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        inputs, permuted, share = mix(inputs, labels, self.mixing, rng)
        members = self.recipe.neck.members  # in training each has logits and a loss of its own
        other = (self._by_task(permuted.repeat(members, 1)), share) if share < 1 else None
        maps = mixstyle(self._maps(inputs, batch[0]), self.mixing, rng)
        embedding, logits = self.network.read(maps)
        answers = self._by_task(labels.repeat(members, 1))
        total, _ = self.loss(logits, answers, other, self._projected(embedding))
        if not (self.mixing.mixup or self.mixing.cutmix):  # a mixed batch has no one right answer
            for task in self.tasks:
                right = logits[task].argmax(dim=1) == answers[task]
                self._add(f"train_{task}_accuracy", right.sum(), (answers[task] >= 0).sum())
        self._add("train_loss", total.detach() * len(labels), torch.tensor(float(len(labels))))
        return total

    def on_validation_epoch_start(self) -> None:
        self._confusion = {
            task: MulticlassConfusionMatrix(len(self.network.vocabularies[task]), ignore_index=-1).to(
                self.device
            )
            for task in self.tasks
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, labels = self._pixels_or_features(batch[0]), batch[1]
        embedding, logits = self.network.read(self._maps(inputs, batch[0]))
        answers = self._by_task(labels)
        total, _ = self.loss(logits, answers, None, self._projected(embedding))
        self.log("val_loss", total, batch_size=len(labels), sync_dist=True)
        for task in self.tasks:
            if (answers[task] >= 0).any():
                self._confusion[task].update(logits[task].float(), answers[task])
                self._log_doubts(task, logits[task], answers[task])

    def on_validation_epoch_end(self) -> None:
        for figure, (total, mass) in self._so_far.items():
            self.log(figure, total / mass.clamp(min=1), sync_dist=True)
        figures: dict[str, list[float]] = {"accuracy": [], "macro_f1": []}
        for task, metric in self._confusion.items():
            accuracy, f1 = figures_of(metric.compute().cpu().numpy())
            if not np.isnan(accuracy):
                figures["accuracy"].append(accuracy)
                figures["macro_f1"].append(f1)
                self.log_dict({f"val_{task}_accuracy": accuracy, f"val_{task}_macro_f1": f1})
        means = {name: float(np.mean(values)) if values else 0.0 for name, values in figures.items()}
        self.log_dict({f"val_{name}": value for name, value in means.items()})
        monitor = self.recipe.training.monitor
        loss = float(self.trainer.callback_metrics.get("val_loss", torch.tensor(0.0)))
        if not np.isfinite(loss):
            raise RunError(
                f"training diverged in phase {self.number + 1}, epoch {self.current_epoch + 1}: the loss is no "
                f"number any more; lower phases.{self.number}.lr and begin in another --out"
            )
        self.log("val_score", -loss if monitor == "loss" else means[monitor])

    def _add(self, figure: str, amount: Tensor, weight: Tensor) -> None:
        total, mass = self._so_far.get(figure, (torch.zeros(()), torch.zeros(())))
        self._so_far[figure] = (
            total.to(amount.device) + amount,
            mass.to(amount.device) + weight.to(amount.device),
        )

    def _log_doubts(self, task: str, logits: Tensor, answers: Tensor) -> None:
        """The shares of validation works that two of the public systems call outliers, before calibration."""
        known = answers >= 0
        confidence, answer = logits[known].float().softmax(dim=1).max(dim=1)
        wrong = answer != answers[known]
        shares = {
            f"val_{task}_unsure": (confidence < UNSURE).float().mean(),
            f"val_{task}_wrong_and_unsure": (wrong & (confidence < WRONG_AND_UNSURE)).float().mean(),
        }
        self.log_dict(shares, batch_size=int(known.sum()), sync_dist=True)

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self.network, self.loss, self.phase, self.recipe.optimizer.weight_decay)
        optimizer = build_optimizer(groups, self.recipe.optimizer)
        settings = self.phase.schedule
        if settings.kind == "plateau":
            lowest = [group["lr"] * settings.floor for group in optimizer.param_groups]
            schedule: Any = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=settings.factor, patience=settings.patience, min_lr=lowest
            )
            scheduler = {"scheduler": schedule, "monitor": "val_score", "interval": "epoch"}
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, schedule_factor(settings, self.phase.epochs, self.steps)
            )
            scheduler = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Plateau has no schedule by steps: its warm-up is applied here, around the step."""
        settings, step = self.phase.schedule, self.trainer.global_step
        warm = settings.kind == "plateau" and step < round(settings.warmup * self.steps)
        share = schedule_factor(settings, self.phase.epochs, self.steps)(step) if warm else 1.0
        groups = self.trainer.optimizers[0].param_groups
        full = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= share
        super().optimizer_step(*arguments, **named)
        for group, lr in zip(groups, full, strict=True):
            group["lr"] = lr

    def _pixels_or_features(self, inputs: Tensor) -> Tensor:
        if inputs.dtype != torch.uint8:
            return inputs.float()
        return normalise(inputs, *self.network.colours)

    def _maps(self, inputs: Tensor, raw: Tensor) -> Tensor:
        """``raw`` is the batch as loaded: its bytes are images, anything else is a feature map already."""
        return self.network.features(inputs) if raw.dtype == torch.uint8 else inputs

    def _projected(self, embedding: Tensor) -> Tensor | None:
        return self.network.projection(embedding) if self.network.projection is not None else None

    def _by_task(self, labels: Tensor) -> dict[str, Tensor]:
        return {name: labels[:, column] for column, name in enumerate(self.network.learned)}


def figures_of(confusion: np.ndarray) -> tuple[float, float]:
    """(accuracy, macro-F1) of a confusion matrix (K, K), rows true; NaN where nothing is known. Macro-F1 is the
    mean over the classes that occur as label or as answer."""
    if not confusion.sum():
        return float("nan"), float("nan")
    hits, both = np.diag(confusion), confusion.sum(0) + confusion.sum(1)
    return float(hits.sum() / confusion.sum()), float((2 * hits[both > 0] / both[both > 0]).mean())

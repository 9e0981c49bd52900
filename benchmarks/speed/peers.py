"""How people train and read today, written as they write it: the students' loop, timm's, fastai's, transformers'.

All have a ResNet-50 with random weights. Each reads image files; the networks of the first three end in an LSTM over
the 49 tokens and three linear heads, as ours do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.speed.timing import now

BACKBONE, CLASSES, SIZE = "resnet50", 20, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class StudentNetwork(nn.Module):
    """ResNet-50, an LSTM that reads its 7 × 7 cells, a head a task."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model(BACKBONE, num_classes=0, global_pool="")
        self.lstm = nn.LSTM(self.backbone.num_features, 256, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(256, CLASSES) for _ in range(3))

    def forward(self, images: Tensor) -> list[Tensor]:
        tokens = self.backbone(images).flatten(2).transpose(1, 2)
        state = self.lstm(tokens)[0][:, -1]
        return [head(state) for head in self.heads]


class Files(Dataset[tuple[Tensor, Tensor]]):
    """Image files, decoded in full and squashed, with made-up labels."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        resize = transforms.Resize((SIZE, SIZE))
        self.change = transforms.Compose([resize, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.files[place]) as image:
            return self.change(image.convert("RGB")), torch.full((3,), place % CLASSES)


def total_loss(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    losses = [nn.functional.cross_entropy(each, labels[:, number]) for number, each in enumerate(logits)]
    return torch.stack(losses).sum()


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def student_steps(
    files: Sequence[Path], batch: int, device: torch.device, frozen: bool = False
) -> Iterator[None]:
    """The students' training loop in fp32, a step at a time; ``frozen`` trains the LSTM and the heads only, the
    backbone forward in every step all the same."""
    network = StudentNetwork().to(device).train()
    network.backbone.requires_grad_(not frozen)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    loader = DataLoader(
        Files(files), batch, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    for images, labels in endless(loader):
        optimizer.zero_grad()
        loss = total_loss(network(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss.item()
        yield


def timm_steps(files: Sequence[Path], batch: int, device: torch.device) -> Iterator[None]:
    """A step of timm's training script: its loader, channels last, automatic mixed precision on a GPU."""
    from timm.data import create_loader
    from timm.optim import create_optimizer_v2

    class Pictures(Files):
        transform: Any = None

        def __getitem__(self, place: int) -> tuple[Any, int]:  # type: ignore[override]
            with Image.open(self.files[place]) as image:
                return self.transform(image.convert("RGB")), place % CLASSES

    network = StudentNetwork().to(device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-4)
    settings = {"input_size": (3, SIZE, SIZE), "batch_size": batch, "is_training": True, "num_workers": 2}
    loader = create_loader(Pictures(files), **settings, device=device, use_prefetcher=device.type == "cuda")
    for images, labels in endless(loader):
        optimizer.zero_grad()
        images = images.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = total_loss(network(images), labels.to(device)[:, None].expand(-1, 3))
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield


def fastai_learner(files: Sequence[Path], batch: int, device: torch.device) -> Any:
    """fastai's learner over the same files."""
    import fastai.callback.progress  # noqa: F401  (gives learners no_bar)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastLoader
    from fastai.learner import Learner

    loader = FastLoader(Files(files), bs=batch, shuffle=True, num_workers=2, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Learner(DataLoaders(loader, loader, device=device), StudentNetwork(), loss_func=total_loss)


def fastai_epoch(learner: Any, steps: int) -> float:
    """Seconds of ``steps`` steps of an epoch, without its first, in which the loader's workers start."""
    from fastai.callback.core import Callback, CancelFitException

    class Watch(Callback):  # type: ignore[misc]
        begun = taken = 0.0
        done = 0

        def after_batch(self) -> None:
            if not self.training:
                return
            self.done += 1
            if self.done == 1:
                self.begun = now()
            if self.done == steps + 1:
                self.taken = now() - self.begun
                raise CancelFitException

    watch = Watch()
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, cbs=[watch])
    return watch.taken


def fastai_answers(learner: Any, files: Sequence[Path], batch: int) -> list[Tensor]:
    """``get_preds`` of files, the classes of each head."""
    from fastai.data.load import DataLoader as FastLoader

    fast = FastLoader(Files(files), bs=batch, num_workers=2, device=learner.dls.device)
    with learner.no_bar(), learner.no_logging():
        probabilities, _ = learner.get_preds(dl=fast)
    return [each.argmax(1) for each in probabilities]


def student_table(files: Sequence[Path], network: StudentNetwork, device: torch.device) -> list[list[int]]:
    """The classes of each file, as the students' evaluation reads them: fp32, batches of 32."""
    answers: list[list[int]] = []
    with torch.no_grad():
        for images, _ in DataLoader(Files(files), 32, num_workers=2):
            answers += torch.stack([each.argmax(1) for each in network(images.to(device))], 1).tolist()
    return answers


def transformers_pipeline(device: torch.device) -> Any:
    """The image-classification pipeline with a ResNet-50."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification, pipeline

    network = ResNetForImageClassification(ResNetConfig(num_labels=CLASSES)).eval()
    processor = ConvNextImageProcessor(size={"shortest_edge": SIZE}, crop_pct=0.875)
    return pipeline("image-classification", model=network, image_processor=processor, device=device)

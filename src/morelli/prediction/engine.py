"""A quicker backbone for inference: chosen in this one place, and printed.

Batch norms are folded into convolutions everywhere. On a CPU that reads in float32, ONNX Runtime then computes the
same map (to rounding) about a third faster than PyTorch, if it is installed (``pip install morelli[fast]``); where the
hardware multiplies bf16, PyTorch's own kernels stay.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from morelli.console import say
from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.prediction.fuse_batch_norm import fuse_batch_norms, probe, same_map
from morelli.prediction.model import Model

# images from which on making the backbone quicker costs less than it saves: by folding, which takes a tenth of a
# second, and by ONNX Runtime as well, which takes one to four and saves 10 to 40 ms an image
MIN_IMAGES_TO_FUSE, MIN_IMAGES_FOR_ONNX = 64, 256
_BATCH = 16  # images at a time: more are no quicker, and their maps take memory


def use_fast_backbone(model: Model, images: int) -> None:
    """Lets ``model`` read with a quicker copy of its backbone where ``images`` are enough to pay for making it.

    ``model.network`` stays as it was, to be trained, saved or explained. ``MORELLI_ENGINE=torch`` in the environment
    keeps to PyTorch.
    """
    if images < MIN_IMAGES_TO_FUSE or model.fast_parts is not None:
        return
    fused = fuse_batch_norms(model.network)
    parts = [Part(fused, number).eval() for number in range(len(model.recipe.backbones))]
    model.fast_parts = list(parts)
    onnx_allowed = os.environ.get("MORELLI_ENGINE", "") != "torch"
    if (
        onnx_allowed
        and images >= MIN_IMAGES_FOR_ONNX
        and model.device.type == "cpu"
        and model.precision == "fp32"
    ):
        size = model.recipe.image.size
        model.fast_parts = [_by_onnx_runtime(part, size) or part for part in parts]


class Part(nn.Module):
    """One backbone's share of an extractor's features, as a module of its own, which can be exported."""

    def __init__(self, extractor: FeatureExtractor, number: int) -> None:
        super().__init__()
        self.extractor, self.number = extractor, number

    def forward(self, images: Tensor) -> Tensor:
        return self.extractor.part(self.number, images)


def _by_onnx_runtime(backbone: nn.Module, size: int) -> Callable[[Tensor], Tensor] | None:
    """None where it is not installed, and where it cannot compute this backbone or reads another map."""
    try:
        import onnx  # noqa: F401  (PyTorch's exporter needs it)
        import onnxruntime
    except ImportError:
        return None
    images = probe(size, 2)
    try:
        session = onnxruntime.InferenceSession(
            _exported(backbone, images[:1]), _options(onnxruntime), providers=["CPUExecutionProvider"]
        )

        def read(images: Tensor) -> Tensor:
            pieces = images.contiguous().split(_BATCH)
            return torch.cat([torch.from_numpy(session.run(None, {"images": p.numpy()})[0]) for p in pieces])

        with torch.no_grad():
            same = same_map(read(images), backbone(images))
    except Exception as error:  # an operator that one of the two does not know: PyTorch reads
        say(f"backbone by PyTorch; ONNX Runtime cannot compute it ({str(error).splitlines()[0]:.100})")
        return None
    if not same:
        say("backbone by PyTorch; ONNX Runtime reads another map")
        return None
    say(f"backbone by ONNX Runtime {onnxruntime.__version__}")
    return read


def _exported(backbone: nn.Module, image: Tensor) -> bytes:
    """The ONNX file of a backbone, for any number of images."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        file = Path(folder) / "backbone.onnx"
        warnings.simplefilter("ignore")  # on tracing, of shapes that are constants here
        torch.onnx.export(
            backbone,
            (image,),
            file,
            dynamo=False,  # the other exporter needs one more package
            input_names=["images"],
            output_names=["map"],
            dynamic_axes={"images": {0: "batch"}, "map": {0: "batch"}},
        )
        return file.read_bytes()


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # waiting threads sleep: those that decode the next images need the same cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they reach us as exceptions
    return options

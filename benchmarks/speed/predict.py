"""Files to a labelled table: ``morelli predict`` of originals of about 1400 × 1700 with a ResNet-50 and an LSTM.

Ours is the whole job: loading the model, decoding, reading, writing the table. The limit is the bare forward of the
backbone on a resident batch, by the fastest of what is installed: PyTorch as it is (best precision and memory format),
compiled, ONNX Runtime, OpenVINO. Peers read the same files with networks of the same backbone, which they have in
memory already. Images a second; the limits and peers read fewer images than ours.
"""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.speed import material, peers, timing
from benchmarks.speed.timing import Contender, Row, alternate, faster, fastest, missing
from morelli.jobs.predict import predict
from morelli.network.backbone.feature_extractor import FeatureExtractor
from morelli.prediction.model import load_model
from morelli.preprocessing.device import autocast, best_device, choose_precision

FEW = 16
Forward = Callable[[], object]


def eager(backbone: FeatureExtractor, images: torch.Tensor, compiled: bool = False) -> Forward:
    backbone = backbone.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    run = torch.compile(backbone) if compiled else backbone
    precision = choose_precision("auto", images.device)

    @torch.inference_mode()
    def work() -> None:
        with autocast(precision, images.device):
            run(images)
        if images.device.type == "cuda":
            torch.cuda.synchronize()

    return work


def onnx_runtime(backbone: FeatureExtractor, images: torch.Tensor) -> Forward:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "backbone.onnx")
        torch.onnx.export(backbone, (images,), file, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name, pixels = session.get_inputs()[0].name, images.numpy()
    return lambda: session.run(None, {name: pixels})


def openvino(backbone: FeatureExtractor, images: torch.Tensor) -> Forward:
    import openvino

    core = openvino.Core()
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(openvino.convert_model(backbone, example_input=images), "CPU", threads)
    pixels = images.numpy()
    return lambda: compiled(pixels)


def forwards(run: Path) -> tuple[dict[str, Forward], list[Row]]:
    """The ways to compute the backbone that work here, and a row for each that does not."""
    model = load_model(run)
    backbone, device = model.network.backbone, model.device
    images = torch.randn(FEW, 3, 224, 224, device=device)
    ways: dict[str, Callable[[], Forward]] = {
        "PyTorch": lambda: eager(backbone, images),
        "compiled": lambda: eager(backbone, images, compiled=True),
    }
    if device.type == "cpu":  # the others' GPU versions are packages of their own
        ways |= {
            "onnxruntime": lambda: onnx_runtime(backbone, images),
            "openvino": lambda: openvino(backbone, images),
        }
    passes: dict[str, Forward] = {}
    absent: list[Row] = []
    for name, make in ways.items():
        package = {"PyTorch": "torch", "compiled": "torch"}.get(name, name)
        gone = missing("predict", f"bare backbone forward, {name}", "limit", package)
        if gone:
            absent.append(gone)
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                passes[name] = make()
                passes[name]()
        except Exception as error:  # a compiler that is not there, an export that needs one more package
            why = (str(error).splitlines() or [type(error).__name__])[0]
            absent.append(
                Row("predict", f"bare backbone forward, {name}", "limit", note=f"does not run: {why:.100}")
            )
    return passes, absent


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    folder = material.originals(out, works)
    files = sorted(folder.glob("*/*.jpg"))
    few = files[:FEW]
    run = material.untrained_run(out / "run-resnet50", material.recipe("resnet50"))
    device = best_device()
    passes, rows = forwards(run)
    student = peers.StudentNetwork().to(device).eval()
    contenders = [Contender("ours", lambda: predict(run, [folder], out / "table.csv") and None, len(files))]
    contenders += [Contender(name, lambda each=each: each() and None, FEW) for name, each in passes.items()]  # type: ignore[misc]
    people = {"students' loop": lambda: peers.student_table(few, student, device)}
    gone = missing("predict", "fastai get_preds", "peer", "fastai")
    if gone:
        rows.append(gone)
    else:
        learner = peers.fastai_learner(few, FEW, device)
        people["fastai get_preds"] = lambda: peers.fastai_answers(learner, few, FEW)
    gone = missing("predict", "transformers image-classification pipeline", "peer", "transformers")
    if gone:
        rows.append(gone)
    else:
        pipe = peers.transformers_pipeline(device)
        people["transformers image-classification pipeline"] = lambda: pipe(
            [str(file) for file in few], batch_size=FEW
        )
    contenders += [
        Contender(name, lambda each=each: each() and None, len(few)) for name, each in people.items()
    ]  # type: ignore[misc]
    seconds = alternate(contenders, rounds)
    best = fastest(seconds, list(passes))
    rates = ", ".join(
        f"{name} {statistics.median(seconds['ours']) / statistics.median(seconds[name]):.2f}"
        for name in passes
    )
    how = f"{len(files)} images, {1 / statistics.median(seconds['ours']):,.1f} a second; ways against ours: {rates}"
    limit = Row("predict", f"bare backbone forward, best: {best}", "limit",
                faster(seconds["ours"], seconds[best]), 0.9, note=how)  # fmt: skip
    peer_rows = [Row("predict", name, "peer", faster(seconds["ours"], seconds[name]), 3.0) for name in people]
    return [limit, *peer_rows, *rows]


if __name__ == "__main__":
    timing.main(measure, works=256)  # from which on ours takes the quickest engine

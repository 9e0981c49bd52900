"""What threads cost that wait: training and prediction with OMP_WAIT_POLICY unset and passive, alone and beside others.

    python -m benchmarks.experiments.waiting --out waiting

GNU OpenMP's threads spin while they wait for one another, unless OMP_WAIT_POLICY is passive when torch is imported.
Each figure is that of a process of its own: training steps of a ResNet-18 with an LSTM on resident batches, and
predictions of the same network. It runs alone, beside two other OpenMP programs (matrix products), and beside two plain
busy loops, the two policies in turn, ``--rounds`` times. In ``--out``: ``waiting.md``, medians, lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morelli.files import write_text

WORK = """
import json, resource, sys, time
import torch, timm
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(2)
body = timm.create_model("resnet18", num_classes=0, global_pool="")
lstm, head = nn.LSTM(512, 128, batch_first=True), nn.Linear(128, 10)
modules = nn.ModuleList([body, lstm, head])
images, labels = torch.randn(16, 3, 96, 96), torch.randint(0, 10, (16,))
def answer():
    return head(lstm(body(images).flatten(2).transpose(1, 2))[0][:, -1])
def train():
    optimizer.zero_grad()
    nn.functional.cross_entropy(answer(), labels).backward()
    optimizer.step()
def predict():
    with torch.inference_mode():
        answer()
optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-4)
kind, steps = sys.argv[1], int(sys.argv[2])
step = train if kind == "train" else predict
modules.train(kind == "train")
for _ in range(3):
    step()
def used():
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
start, processor = time.perf_counter(), used()
for _ in range(steps):
    step()
print(json.dumps([(time.perf_counter() - start) / steps, (used() - processor) / steps]))
"""
OPENMP = "import torch\nx = torch.randn(700, 700)\nwhile True:\n    x = (x @ x).tanh()\n"
BUSY = "while True:\n    pass\n"
BESIDE = {"alone": None, "beside two OpenMP programs": OPENMP, "beside two busy loops": BUSY}
POLICIES = {"default": None, "passive": "passive"}
STEPS = {"train": 12, "predict": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for kind, steps in STEPS.items():
        for situation, code in BESIDE.items():
            seconds: dict[str, list[list[float]]] = {name: [] for name in POLICIES}
            with others(code):
                for _ in range(options.rounds):
                    for name, policy in POLICIES.items():
                        seconds[name].append(measure(kind, steps, policy))
            cells = [shown([pair[which] for pair in seconds[name]]) for which in (0, 1) for name in POLICIES]
            rows.append(f"| {kind} | {situation} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    header = "| step | situation | by the clock, default | passive | processor, default | passive |"
    write_text(options.out / "waiting.md", "\n".join([header, "|---" * 6 + "|", *rows, ""]))


@contextmanager
def others(code: str | None) -> Iterator[None]:
    """Two processes that run ``code`` meanwhile, with the default policy."""
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment(None)) for _ in range(2 if code else 0)
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure(kind: str, steps: int, policy: str | None) -> list[float]:
    """Seconds a step by the clock, and of the processor."""
    command = [sys.executable, "-c", WORK, kind, str(steps)]
    return json.loads(
        subprocess.run(command, env=environment(policy), capture_output=True, check=True).stdout
    )


def environment(policy: str | None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    return kept | ({"OMP_WAIT_POLICY": policy} if policy else {})


def shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f}–{max(seconds):.3f})"


if __name__ == "__main__":
    main()

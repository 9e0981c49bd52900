"""A small painted world, shared by the examples in docstrings, which are run in its folder, and by tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
RECIPE = """\
name: tiny
image: {size: 32}
backbones: [{name: resnet18, stage: 1, weights: none, grid: 4}]
neck: {kind: gru, width: 12}
phases: [{epochs: 1, lr: 3.0e-3}]
training: {batch_size: 16, workers: 0, precision: fp32}
"""


@pytest.fixture(scope="session")
def example_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``wikiart/`` and ``wikiart_csv/`` (60 painted works), ``collection/``, ``tiny.yaml``, two runs
    ``run/`` and ``other-run/``, both evaluated, ``painting.jpg`` and ``photo.png``."""
    import morelli

    here = tmp_path_factory.mktemp("example")
    morelli.paint(here / "paintings", works=60, seed=2, size=32)
    for name in ("wikiart", "wikiart_csv"):
        (here / "paintings" / name).rename(here / name)
    morelli.collect(
        here / "wikiart", here / "collection", lists=here / "wikiart_csv", size=32, min_works=2, processes=1
    )
    (here / "tiny.yaml").write_text(RECIPE)
    for name, seed in (("run", 0), ("other-run", 1)):
        morelli.train(here / "tiny.yaml", here / "collection", here / name, [f"seed={seed}"])
        morelli.evaluate(here / name, page=False)
    first, second = sorted((here / "wikiart").rglob("*.jpg"))[:2]
    shutil.copy(first, here / "painting.jpg")
    from PIL import Image

    Image.open(second).save(here / "photo.png")
    return here


@pytest.fixture(autouse=True)
def _in_the_example_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples that use the public surface find ``"run"``, ``"collection"`` and ``"painting.jpg"`` where they are;
    their figures, of which they show nothing, are left blank."""
    examples = getattr(getattr(request.node, "dtest", None), "examples", ())
    if not any("import morelli\n" in example.source for example in examples):
        yield
        return
    from shared import figures_left_blank

    monkeypatch.chdir(request.getfixturevalue("example_world"))
    with figures_left_blank():
        yield

"""Every recipe that comes with the package builds, trains a few steps, evaluates and is audited, on tiny paintings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import painted_collection

from morelli import recipe as recipes
from morelli.jobs.audit import audit
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train
from morelli.network.network import Network

pytestmark = pytest.mark.slow
TINY = ["image.size=64", "training.batch_size=16", "training.workers=0"]
# the question is the recipe, so that a backbone of several hundred megabytes, with its optimiser, is cut short
SHALLOW = {"resnet18": "{layers: [1, 1, 1, 1]}", "resnet50": "{layers: [1, 1, 1, 1]}"}
SMALLER = {
    "morelli": ["features.components=32"],
    # a whole ViT-B or ConvNeXt-L is a gigabyte of checkpoint
    "morelli-large": [
        "backbone.options={depths: [1, 1, 2, 1], dims: [24, 48, 96, 192]}",
        "features.components=32",
    ],
    "multitask-vit-convlstm": ["backbone.options={depth: 2, embed_dim: 48, num_heads: 3}"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_collection(tmp_path_factory.mktemp("data"), works=60)


def changes(name: str) -> list[str]:
    recipe = recipes.load(name)
    weights = [f"backbones.{number}.weights=none" for number in range(len(recipe.backbones))]
    short = [
        f"phases.{number}.{change}"
        for number in range(len(recipe.phases))
        for change in ("epochs=1", "schedule.warmup=0")
    ]
    shallow = [
        f"backbones.{number}.options={SHALLOW[family]}"
        for number, backbone in enumerate(recipe.backbones)
        if (family := backbone.name.partition(".")[0]) in SHALLOW
    ]
    return [*TINY, *weights, *short, *shallow, *SMALLER.get(name, [])]


@pytest.mark.parametrize("name", recipes.shipped())
def test_the_whole_network_of_a_recipe_is_built(name: str) -> None:
    """With its own backbone in full, but for the two of a gigabyte."""
    recipe = recipes.load(name)
    weights = [f"backbones.{number}.weights=none" for number in range(len(recipe.backbones))]
    settings = recipes.load(name, [*TINY, *weights, *SMALLER.get(name, [])])
    network = Network(settings, {task: ["a", "b", "c"] for task in settings.tasks})
    assert network.backbone.channels > 0 and set(network.heads) >= set(settings.tasks)


@pytest.fixture(scope="module")
def artist_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    run = tmp_path_factory.mktemp("runs") / "artist"
    train(Path("artist-resnet50-lstm"), data, run, changes("artist-resnet50-lstm"))
    yield run
    shutil.rmtree(run)


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("name", recipes.shipped())
def test_a_recipe_trains_evaluates_and_is_audited(
    name: str,
    data: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    start = request.getfixturevalue("artist_run") if name.endswith("from-artist") else None
    if name == "artist-resnet50-lstm":
        run = request.getfixturevalue("artist_run")
    else:
        train(Path(name), data, run := tmp_path / "run", changes(name), start_from=start)
    scores = evaluate(run)
    recipe = recipes.load(name)
    assert set(scores) == set(recipe.tasks)
    for task in recipe.tasks:
        names = (run / f"class_names_{task}.txt").read_text().splitlines()
        assert scores[task].n > 0 and set(scores[task].details["per_class"]) <= set(names)
        assert (run / "report" / f"class_report_{task}.txt").exists()
    assert {"best.ckpt", "last.ckpt"} <= {file.name for file in (run / "checkpoints").iterdir()}
    told = json.loads((run / "model.json").read_text())["architecture"]
    assert told["neck"]["kind"] == recipe.neck.kind
    assert list(told["heads"]) == [*recipe.tasks, *(["prior_artist"] if recipe.artist_prior else [])]
    done = audit(run, "entropy", top=3)
    assert all(task.judged == scores[name].n or task.judged for name, task in done.items())

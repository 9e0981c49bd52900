"""The main job: demo, paint, collect, train, evaluate, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morelli.cli.app import AsJson, Data, command, result
from morelli.errors import DataError, UsageError


@command
def demo(
    out: Annotated[Path, typer.Option(help="An empty or new folder.")] = Path("morelli-demo"),
    works: Annotated[int, typer.Option(help="How many works to paint (at least 200).")] = 1200,
    change: Annotated[list[str], typer.Option("--set", help="key=value in the recipe.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Paint a small collection and run the whole main job on it.

    Example: morelli demo --out demo
    """
    from morelli.jobs.demo import demo as run_demo

    if works < 200:
        raise UsageError(f"--works {works}: must be at least 200")
    scores = run_demo(out, works, change)
    if as_json:
        result(scores, as_json)


@command
def paint(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    works: Annotated[int, typer.Option(help="How many.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed paints the same works.")] = 0,
    size: Annotated[int, typer.Option(help="Short side in pixels.")] = 128,
    defects: Annotated[
        bool, typer.Option("--defects", help="Plant defects; record them in truth.json.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write synthetic paintings in the ArtGAN layout.

    Example: morelli paint painted --works 500 --seed 1 --defects
    """
    from morelli.jobs.paint import paint as run_paint

    result(run_paint(out, works, seed, size, defects), as_json)


@command
def collect(
    out: Annotated[Path, typer.Option(help="The collection to make.")],
    images: Annotated[Path | None, typer.Argument(help="Folder of images; not with --hub.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder of ArtGAN lists (style_train.csv …).")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV or Parquet: path and any of the labels.")] = None,
    hub: Annotated[str | None, typer.Option(help="A Hub data set, or a local copy of one.")] = None,
    folders: Annotated[str, typer.Option(help="What class folders mean: style, genre or artist.")] = "style",
    size: Annotated[int, typer.Option(help="Short side of the prepared images, in pixels.")] = 256,
    split: Annotated[
        str | None,
        typer.Option(help="70/15/15 (the default), official or artist-disjoint.", show_default=False),
    ] = None,
    splits_from: Annotated[
        Path | None, typer.Option(help="An earlier collection, whose works keep their splits.")
    ] = None,
    artists: Annotated[str, typer.Option(help="names (of files) or official (the artist lists).")] = "names",
    min_works: Annotated[int, typer.Option(help="Rarer classes become unknown.")] = 10,
    top_artists: Annotated[int | None, typer.Option(help="Keep only the most represented artists.")] = None,
    only: Annotated[list[str], typer.Option(help="task=Class,Class: keep only these works.")] = [],  # noqa: B006
    subset: Annotated[int | None, typer.Option(help="A random subset of this many works.")] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="An audit's candidates.csv, correct_label filled in: a class, unknown or keep."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the subset.")] = 0,
    max_pixels: Annotated[int, typer.Option(help="Larger images are rejected.")] = 250_000_000,
    processes: Annotated[int | None, typer.Option(help="Default: one a core.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another collection in OUT.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read, repair, check and split a collection, whatever its layout.

    Example: morelli collect wikiart --lists wikiart_csv --out collection
    """
    from morelli.jobs.collect import collect as run_collect

    done = run_collect(
        images,
        out,
        lists=lists,
        table=table,
        hub=hub,
        folders=folders,
        size=size,
        split=split,
        artists=artists,
        min_works=min_works,
        top_artists=top_artists,
        only=dict(_pair(text) for text in only),
        subset=subset,
        seed=seed,
        max_pixels=max_pixels,
        processes=processes,
        overwrite=overwrite,
        corrections=corrections,
        splits_from=splits_from,
    )
    result(done, as_json)


@command
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe's file, or the name of one of ours.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The run to make.")],
    change: Annotated[
        list[str], typer.Option("--set", help="key=value in the recipe; may be repeated.")
    ] = [],  # noqa: B006
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")] = False,
    start_from: Annotated[
        Path | None, typer.Option("--from", help="Start from another run's network.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a recipe on a collection.

    Example: morelli train recipes/morelli.yaml --data collection --out run
    """
    from morelli.jobs.train import train as run_train

    result(run_train(recipe, data, out, change, resume, start_from), as_json)


@command
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    data: Annotated[Path | None, typer.Option(help="Another collection; classes match by name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run: intervals, baselines, class reports, figures.

    Example: morelli evaluate run --split test
    """
    from morelli.jobs.evaluate import evaluate as run_evaluate

    result(run_evaluate(run, split, data), as_json)


@command
def predict(
    run: Annotated[Path, typer.Argument(help="A run, or a folder with model.safetensors and model.json.")],
    images: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    out: Annotated[Path, typer.Option(help="FILE.parquet, FILE.csv or FILE.jsonl.")] = Path(
        "predictions.parquet"
    ),
    batch_size: Annotated[int, typer.Option(help="Images read at a time.")] = 64,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what an interrupted call had read.")] = False,
    max_pixels: Annotated[int, typer.Option(help="Larger images are reported, not read.")] = 250_000_000,
    as_json: AsJson = False,
) -> None:
    """Label any images or folders, one row an image.

    For each task: the class, its calibrated confidence, and TASK_set, a list of classes. On average it contains the
    true class for at least 90 % of works, provided that they resemble the validation works and that their class is
    known to the model.

    Example: morelli predict run photos --out labels.csv
    """
    from morelli.jobs.predict import predict as run_predict

    done = run_predict(run, images, out, batch_size, resume, max_pixels)
    result(done, as_json)
    if done.failed == done.images:
        raise DataError(
            f"none of the {done.images:,} images could be read; the column error of {out} says why"
        )


def _pair(text: str) -> tuple[str, list[str]]:
    task, equals, names = text.partition("=")
    if not equals or task not in ("artist", "style", "genre") or not names:
        raise UsageError(f"--only {text}: write task=Class,Class, for example style=Cubism,Rococo")
    return task, [name.strip() for name in names.split(",") if name.strip()]

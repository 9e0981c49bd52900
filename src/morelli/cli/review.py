"""What a curator does with a run's answers: audit, similar, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morelli.cli.app import AsJson, command, result

Split = Annotated[str, typer.Option(help="train, val, test or all, as evaluated before.")]


@command
def audit(
    run: Annotated[Path, typer.Argument(help="A run that morelli evaluate has scored.")],
    rule: Annotated[
        str,
        typer.Option(help="entropy, given-label<0.3, max-softmax<0.6, wrong-and-unsure<0.5 or centroid."),
    ] = "given-label<0.3",
    split: Split = "test",
    task: Annotated[list[str], typer.Option(help="Only this task; may be repeated.")] = [],  # noqa: B006
    top: Annotated[int, typer.Option(help="Works in a gallery.")] = 25,
    as_json: AsJson = False,
) -> None:
    """Rank the works whose label looks wrong, as candidates for review.

    Example: morelli audit run --rule entropy --top 25
    """
    from morelli.jobs.audit import audit as work
    from morelli.jobs.audit import show_audit

    summary = work(run, rule, split, top, task or None)
    result(summary, as_json, lambda: show_audit(summary))


@command
def similar(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    image: Annotated[str, typer.Argument(help="An image file, or the id of a work of the collection.")],
    k: Annotated[int, typer.Option("-k", help="How many works.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="A gallery (.jpg, .png) or a table (.csv, .parquet, .json).")
    ] = None,
    other_artists: Annotated[
        bool, typer.Option("--other-artists", help="Leave out works by the artist of IMAGE.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the most similar works of the collection.

    Example: morelli similar run painting.jpg -k 10 --out similar.jpg
    """
    from morelli.jobs.similar import show_similar
    from morelli.jobs.similar import similar as work

    found = work(run, image, k, out, same_artist=not other_artists)
    result(found, as_json, lambda: show_similar(found))


@command
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two runs or more; the first is the reference.")],
    split: Split = "test",
    out: Annotated[Path | None, typer.Option(help="A folder for the table and the figure.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the works they share, with paired intervals.

    Example: morelli compare run-resnet50 run-efficientnet --out comparison
    """
    from morelli.jobs.compare import compare as work
    from morelli.jobs.compare import show_comparison

    compared = work(runs, split, out)
    result(compared, as_json, lambda: show_comparison(compared))

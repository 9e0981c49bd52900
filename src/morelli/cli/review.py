"""What a curator does with a run's answers: audit, similar, explain, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from morelli.cli.app import AsJson, command, result
from morelli.errors import UsageError

Split = Annotated[str, typer.Option(help="train, val, test or all, as evaluated before.")]


@command
def audit(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    rule: Annotated[
        str | None, typer.Option(help="combined unless given; a wrong name lists all rules.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test or all; else test for a public system's rule, or all."),
    ] = None,
    task: Annotated[list[str], typer.Option(help="Only this task; may be repeated.")] = [],  # noqa: B006
    top: Annotated[int | None, typer.Option(help="Works in a gallery; default 25.")] = None,
    folds: Annotated[int | None, typer.Option(help="Of the cross-fit; default 5.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each fold; default the recipe's, at most 6.")] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Plant known errors and measure every rule.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rank the works whose label looks wrong, as candidates for review.

    Example: morelli audit run --task style --top 25
    """
    if self_test:
        _refuse_beside_self_test({"--rule": rule, "--split": split, "--top": top})
        from morelli.jobs.self_test import self_test as run_self_test

        result(run_self_test(run, tasks=task or None, folds=folds, epochs=epochs), as_json)
        return
    from morelli.jobs.audit import TOP
    from morelli.jobs.audit import audit as run_audit

    top = TOP if top is None else top
    result(run_audit(run, rule or "combined", split, top, task or None, folds, epochs), as_json)


def _refuse_beside_self_test(options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)}: not beside --self-test, which measures every rule on the whole collection; leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )


@command
def similar(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    image: Annotated[
        str | None, typer.Argument(help="An image file, or the id of a work of the collection; or --artist.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many works.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="A gallery (.jpg, .png) or a table (.csv, .parquet, .json).")
    ] = None,
    artist: Annotated[str | None, typer.Option(help="Works like this artist's, instead of IMAGE.")] = None,
    where: Annotated[
        list[str], typer.Option(help="column=value,value or column=1890..1910; may be repeated.")
    ] = [],  # noqa: B006
    diversity: Annotated[float, typer.Option(help="0–1: how unlike each other the works should be.")] = 0.0,
    other_artists: Annotated[
        bool, typer.Option("--other-artists", help="Leave out works by the artist of IMAGE.")
    ] = False,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Leave out near-duplicates of IMAGE.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the most similar works of the collection.

    Example: morelli similar run painting.jpg -k 10 --out similar.jpg
    """
    from morelli.jobs.similar import similar as run_similar

    conditions = {}
    for text in where:
        column, equals, values = text.partition("=")
        if not equals or not column or not values:
            raise UsageError(f"--where {text}: write column=value, for example style=Cubism,Rococo")
        conditions[column] = values
    more: dict[str, Any] = {"artist": artist, "where": conditions, "diversity": diversity}
    same = not other_artists
    result(run_similar(run, image, k, out, same, near_duplicates=not no_duplicates, **more), as_json)


@command
def explain(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    image: Annotated[str, typer.Argument(help="An image file, or the id of a work of the collection.")],
    out: Annotated[Path | None, typer.Option(help="A folder; else RUN/explain/NAME.")] = None,
    task: Annotated[list[str], typer.Option(help="Only this task; may be repeated.")] = [],  # noqa: B006
    method: Annotated[
        str,
        typer.Option(help="grad-cam, grad-cam++, layer-cam, attention, or occlusion: slower, more faithful."),
    ] = "grad-cam",
    as_json: AsJson = False,
) -> None:
    """Show which parts of a picture an answer rests on, and how its probability changed step by step.

    Example: morelli explain run painting.jpg --task style
    """
    from morelli.jobs.explain import explain as run_explain

    result(run_explain(run, image, out, task or None, method), as_json)


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
    from morelli.jobs.compare import compare as run_compare

    result(run_compare(runs, split, out), as_json)


@command
def report(
    run: Annotated[Path, typer.Argument(help="A run that was evaluated.")],
    split: Split = "test",
    out: Annotated[Path | None, typer.Option(help="FILE.html; else RUN/report/index.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's page: scores, confused works, candidates, nearest works, traces.

    Example: morelli report run --out report.html
    """
    from morelli.jobs.report import write_report

    result(write_report(run, split, out), as_json)

"""What a developer does: bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from morelli.cli.app import AsJson, command


@command
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; a wrong name lists them all.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="A folder for results, and for what they are measured on.")
    ] = Path("bench"),
    works: Annotated[int | None, typer.Option(help="Instead of each benchmark's own number.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Timed rounds; default 5 in most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure speed as ratios to the hardware's limit and to what people use today.

    Example: morelli bench collect similar --out bench
    """
    from morelli.console import say
    from morelli.jobs.bench import bench as run_bench
    from morelli.jobs.bench import show_bench

    found = run_bench(names or (), out, works, rounds)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    show_bench(found)
    say(f"the same with notes and the machine: {out / 'bench.md'}")

"""The command line: argument parsing and nothing else. Heavy modules are imported inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from morelli import __version__
from morelli.errors import DataError, MorelliError, UsageError

app = typer.Typer(
    name="morelli",
    help="Reads paintings: artist, style and genre. Start with: morelli demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_AFTER_STOP = {
    "collect": "run the same command again to go on",
    "demo": "delete its --out and begin again",
    "paint": "delete OUT and begin again",
}
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Data = Annotated[Path, typer.Option("--data", help="The collection (made by morelli collect).")]


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Every failure as one sentence and an exit code; MORELLI_DEBUG=1 shows the traceback instead."""
    try:
        yield
    except MorelliError as error:
        if os.environ.get("MORELLI_DEBUG"):
            raise
        typer.echo(f"morelli: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo(f"morelli: stopped; {_AFTER_STOP.get(name, 'run the same command again')}", err=True)
        raise typer.Exit(1) from None
    except BrokenPipeError:
        raise typer.Exit(1) from None
    except OSError as error:
        from morelli.files import explain_os_error

        if os.environ.get("MORELLI_DEBUG"):
            raise
        problem = explain_os_error(error)
        typer.echo(f"morelli: {problem}", err=True)
        raise typer.Exit(problem.exit_code) from None
    except (MemoryError, Exception) as error:
        if os.environ.get("MORELLI_DEBUG"):
            raise
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        text = (
            f"morelli: a fault of morelli itself ({what:.200}); run again with MORELLI_DEBUG=1 and report it"
        )
        typer.echo(text, err=True)
        raise typer.Exit(1) from None


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a command whose errors are explained and in which libraries keep their advice to themselves."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        with _explained(function.__name__):
            _hush()
            function(*arguments, **options)

    return app.command()(run)


def _hush() -> None:
    import logging
    import warnings

    if not os.environ.get("MORELLI_DEBUG"):
        warnings.simplefilter("ignore")
        for name in ("lightning", "lightning.pytorch", "lightning.fabric", "huggingface_hub", "timm"):
            logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger("datasets").setLevel(
            logging.CRITICAL
        )  # it logs, with a traceback, what it also raises
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"morelli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


@_command
def demo(
    out: Annotated[Path, typer.Option(help="An empty or new folder.")] = Path("morelli-demo"),
    works: Annotated[int, typer.Option(help="How many works to paint (at least 200).")] = 1200,
    change: Annotated[list[str], typer.Option("--set", help="key=value in the recipe.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Paint a small collection and run the whole main job on it.

    Example: morelli demo --out demo
    """
    from morelli.jobs.demo import demo as work

    if works < 200:
        raise UsageError(f"--works {works}: must be at least 200")
    _result(work(out, works, change), as_json, lambda: None)


@_command
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
    from morelli.collection.painter import paint as work
    from morelli.console import progress, say

    with progress("painting", max(works, 0)) as advance:
        done = work(out, works, seed, size, defects, progress=advance)
    _result(
        done,
        as_json,
        lambda: say(f"{done['works']:,} works in {out / 'wikiart'}, lists in {out / 'wikiart_csv'}"),
    )


@_command
def collect(
    out: Annotated[Path, typer.Option(help="The collection to make.")],
    images: Annotated[Path | None, typer.Argument(help="Folder of images; not with --hub.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder of ArtGAN lists (style_train.csv …).")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV or Parquet: path and any of the labels.")] = None,
    hub: Annotated[str | None, typer.Option(help="A Hub data set, or a local copy of one.")] = None,
    folders: Annotated[str, typer.Option(help="What class folders mean: style, genre or artist.")] = "style",
    size: Annotated[int, typer.Option(help="Short side of the prepared images, in pixels.")] = 256,
    split: Annotated[str, typer.Option(help="70/15/15, official or artist-disjoint.")] = "70/15/15",
    artists: Annotated[str, typer.Option(help="names (of files) or official (the artist lists).")] = "names",
    min_works: Annotated[int, typer.Option(help="Rarer classes become unknown.")] = 10,
    top_artists: Annotated[int | None, typer.Option(help="Keep only the most represented artists.")] = None,
    only: Annotated[list[str], typer.Option(help="task=Class,Class: keep only these works.")] = [],  # noqa: B006
    subset: Annotated[int | None, typer.Option(help="A random subset of this many works.")] = None,
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
    from morelli.collection.collect import CollectOptions
    from morelli.collection.collect import collect as work
    from morelli.console import say

    chosen = dict(_pair(text) for text in only)
    sources = {"images": images, "lists": lists, "table": table, "hub": hub, "folders": folders}
    choice = {"artists": artists, "min_works": min_works, "top_artists": top_artists, "only": chosen}
    how = {"size": size, "split": split, "subset": subset, "seed": seed, "max_pixels": max_pixels}
    options = CollectOptions(out=out, processes=processes, overwrite=overwrite, **sources, **choice, **how)  # type: ignore[arg-type]
    collection, ledger = work(options)

    def show() -> None:
        ledger.show()
        splits = ", ".join(f"{name} {count:,}" for name, count in collection.info["splits"].items())
        classes = ", ".join(f"{len(names)} {task}s" for task, names in collection.vocabularies.items())
        say(
            f"{len(collection.table):,} works ({splits}), {classes}: {out}; every repair: {out / 'ledger.csv'}"
        )

    _result({"collection": collection.info, **ledger.summary()}, as_json, show)


@_command
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
) -> None:
    """Train a recipe on a collection.

    Example: morelli train recipes/multitask-resnet18-lstm.yaml --data collection --out run
    """
    from morelli.jobs.train import train as work

    work(recipe, data, out, change, resume, start_from)


@_command
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run (made by morelli train).")],
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    data: Annotated[Path | None, typer.Option(help="Another collection; classes match by name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run: intervals, baselines, class reports, figures.

    Example: morelli evaluate run --split test
    """
    from morelli.jobs.demo import show_scores
    from morelli.jobs.evaluate import evaluate as work

    scores = work(run, split, data)
    _result(scores, as_json, lambda: show_scores(scores))


@_command
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

    Example: morelli predict run photos --out labels.csv
    """
    from morelli.console import say
    from morelli.jobs.predict import predict as work

    done = work(run, images, out, batch_size, resume, max_pixels)
    result = {"out": str(done.out), "images": done.images, "failed": done.failed}
    bad = f", {done.failed:,} could not be read (column error)" if done.failed else ""
    _result(result, as_json, lambda: say(f"{done.images:,} images{bad}: {done.out}"))
    if done.failed == done.images:
        raise DataError(
            f"none of the {done.images:,} images could be read; the column error of {out} says why"
        )


def _pair(text: str) -> tuple[str, list[str]]:
    task, equals, names = text.partition("=")
    if not equals or task not in ("artist", "style", "genre") or not names:
        raise UsageError(f"--only {text}: write task=Class,Class, for example style=Cubism,Rococo")
    return task, [name.strip() for name in names.split(",") if name.strip()]


def _result(value: Any, as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
    else:
        show()


def main() -> None:
    """The console script."""
    app(prog_name="morelli")
    sys.exit(0)

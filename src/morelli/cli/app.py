"""What all commands share: the app, errors as one sentence and an exit code, results as text or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli import __version__
from morelli.errors import MorelliError

if TYPE_CHECKING:
    from morelli.jobs.results.base import Result

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


def command(function: Callable[..., None]) -> Callable[..., None]:
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


def result(done: Result, as_json: bool) -> None:
    """Prints what a job returned: as JSON on standard output, or for a person on standard error."""
    if as_json:
        typer.echo(json.dumps(done.to_dict(), ensure_ascii=False))
    else:
        done.show()

"""The command line: argument parsing and nothing else. Heavy modules are imported inside the commands."""

import gc
import sys

from morelli.cli import main_job, review
from morelli.cli.app import app

__all__ = ["app", "main", "main_job", "review"]
_START = 400_000  # objects that PyTorch and timm make when they are imported, none of which is garbage


def main() -> None:
    """The console script."""
    usual = gc.get_threshold()

    def started(phase: str, _: dict[str, int]) -> None:
        if phase == "stop":
            gc.callbacks.remove(started)
            gc.set_threshold(*usual)
            gc.freeze()  # nor will it be looked at again

    gc.callbacks.append(started)
    gc.set_threshold(_START)  # looking for garbage among them would take a tenth of the start
    app(prog_name="morelli")
    sys.exit(0)

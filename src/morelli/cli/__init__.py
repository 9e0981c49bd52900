"""The command line: argument parsing and nothing else. Heavy modules are imported inside the commands."""

import sys

from morelli.cli import main_job, measure, review
from morelli.cli.app import app

__all__ = ["app", "main", "main_job", "measure", "review"]


def main() -> None:
    """The console script."""
    app(prog_name="morelli")
    sys.exit(0)

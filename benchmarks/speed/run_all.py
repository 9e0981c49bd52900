"""Runs the timed benchmarks one by one and puts their ratios into one table."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morelli.console import say, show_table
from morelli.errors import MorelliError, UsageError
from morelli.files import make_folder, read_json, write_json, write_text

# in the order in which they run and are shown
NAMES = ("collect", "epoch", "step", "neck", "predict", "similar", "start", "memory")
ROOT = Path(__file__).resolve().parents[2]


def run_all(
    names: Sequence[str] = (), out: Path = Path("bench"), works: int | None = None, rounds: int | None = None
) -> dict[str, Any]:
    """Runs the benchmarks ``names`` (all of them if none is given), each in a process of its own.

    Writes ``out/NAME.json`` for each, and ``out/bench.md`` and ``out/bench.json`` of all that ``out`` holds: a call
    with some names leaves the others' results in the table. ``works`` and ``rounds`` take the place of each
    benchmark's own.

    Returns ``{NAME: {"machine", "works", "rounds", "seconds", "rows"}}``; a row's ``ratios`` has one number a round
    (see ``timing.py``). Raises :class:`UsageError` for an unknown name or a number below 1, and :class:`MorelliError`
    where a benchmark fails.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"NAME {unknown[0]}: there is no such benchmark; choose among {', '.join(NAMES)}")
    for option, value in (("works", works), ("rounds", rounds)):
        if value is not None and value < 1:
            raise UsageError(f"--{option} {value}: must be at least 1")
    make_folder(out, "--out")
    for number, name in enumerate(names or NAMES, start=1):
        say(f"{name} ({number} of {len(names or NAMES)})")
        _run(f"benchmarks.speed.{name}", out, {"--works": works, "--rounds": rounds})
    results = {name: read_json(out / f"{name}.json") for name in NAMES if (out / f"{name}.json").exists()}
    write_json(out / "bench.json", results)
    write_text(out / "bench.md", as_markdown(results))
    return results


def show_results(results: dict[str, Any]) -> None:
    """Every row as a line of a table."""
    rows = [
        (row["path"], shown_ratio(row) or "–", shown_bar(row) or "–", row["what"])
        for result in results.values()
        for row in result["rows"]
    ]
    show_table("Ratios (median, lowest–highest)", ("path", "ratio", "bar", "against"), rows)


def as_markdown(results: dict[str, Any]) -> str:
    """The table of ``docs/performance.md``, and under it the machine that each benchmark ran on."""
    lines = ["| path | against | bar | ratio (lowest–highest) | |", "|---|---|---|---|---|"]
    for result in results.values():
        for row in result["rows"]:
            cells = (
                row["path"],
                f"{row['what']} ({row['kind']})",
                shown_bar(row),
                shown_ratio(row),
                row["note"],
            )
            lines.append(f"| {' | '.join(cells)} |")
    machines: dict[str, list[str]] = {}
    for name, result in results.items():
        machines.setdefault(described(result["machine"]), []).append(name)
    lines += ["", *(f"{', '.join(names)}: {text}" for text, names in machines.items()), ""]
    return "\n".join(lines)


def shown_ratio(row: dict[str, Any]) -> str:
    """``0.91 (0.88–0.93)``, or nothing where it was not measured."""
    ratios = row["ratios"]
    if not ratios:
        return ""
    median = statistics.median(ratios)
    met = "" if row["bar"] is None else " met" if (median <= row["bar"]) == row["at_most"] else " missed"
    return f"{median:.3g} ({min(ratios):.3g}–{max(ratios):.3g}){met}"


def shown_bar(row: dict[str, Any]) -> str:
    return "" if row["bar"] is None else f"{'≤' if row['at_most'] else '≥'} {row['bar']:g}"


def described(machine: dict[str, Any]) -> str:
    """A machine in one line."""
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    gpu = machine["gpu"] or "no GPU"
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    load = f"; load before the start {machine['load']}" if machine["load"] is not None else ""
    cores = f"{machine['cores']} cores, {machine['threads']} threads of torch"
    return f"{machine['processor']}, {cores}{memory}, {gpu}; Python {machine['python']}, {versions}{load}."


def _run(module: str, out: Path, options: dict[str, int | None]) -> None:
    command = [sys.executable, "-m", module, "--out", str(out.resolve())]
    command += [
        text for option, value in options.items() if value is not None for text in (option, str(value))
    ]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        by_hand = f"python -m {module} --out {out}"
        raise MorelliError(f"{module} failed ({last:.200}); to see more: {by_hand}")

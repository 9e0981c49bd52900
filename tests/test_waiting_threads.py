"""Threads that wait sleep: what GNU OpenMP reports of itself in a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# the package, the console script, a spawned worker, a benchmark, the tests
FIRST = ("morelli", "morelli.cli", "morelli.workers", "benchmarks", "conftest")


def spins(program: str, **environment: str) -> set[int]:
    """How often a waiting thread of each OpenMP library that ``program`` loads looks for work before it sleeps."""
    root = Path(__file__).resolve().parents[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    paths = os.pathsep.join([str(root), str(root / "tests"), *sys.path])
    clean |= {"PYTHONPATH": paths, "OMP_DISPLAY_ENV": "VERBOSE"} | environment
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    return {int(count) for count in re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)}


@pytest.fixture(scope="module", autouse=True)
def _gnu_openmp() -> None:
    if not spins("import torch"):
        pytest.skip("this PyTorch brings no GNU OpenMP")


def test_threads_spin_by_default() -> None:
    assert min(spins("import torch")) > 0


@pytest.mark.parametrize("first", FIRST)
def test_threads_sleep_whatever_part_of_the_package_is_imported_first(first: str) -> None:
    assert spins(f"import {first}, torch") == {0}


def test_a_wait_policy_that_the_user_chose_stays() -> None:
    assert min(spins("import morelli, torch", OMP_WAIT_POLICY="active")) > 0

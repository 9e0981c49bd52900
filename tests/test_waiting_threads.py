"""Threads that wait sleep: what GNU OpenMP reports of itself in a fresh process."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# the package, the console script, a spawned worker, a benchmark, the tests
FIRST = ("morelli", "morelli.cli", "morelli.workers", "benchmarks", "conftest")


def openmp() -> Path | None:
    """The GNU OpenMP library that came with PyTorch, which it loads when it is imported."""
    torch = importlib.util.find_spec("torch")
    assert torch is not None and torch.origin is not None
    return next(Path(torch.origin).parent.glob("lib/libgomp*.so*"), None)


pytestmark = pytest.mark.skipif(openmp() is None, reason="this PyTorch brings no GNU OpenMP")


def spins(program: str, **environment: str) -> int:
    """How often a waiting thread looks for work before it sleeps, where ``program`` runs before PyTorch is loaded."""
    program += f"\nimport ctypes, sys\nassert 'torch' not in sys.modules\nctypes.CDLL({str(openmp())!r})"
    root = Path(__file__).resolve().parents[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    paths = os.pathsep.join([str(root / "tests"), str(root), *sys.path])
    clean |= {"PYTHONPATH": paths, "OMP_DISPLAY_ENV": "VERBOSE"} | environment
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    (count,) = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    return int(count)


def test_threads_spin_by_default() -> None:
    assert spins("") > 0


@pytest.mark.parametrize("first", FIRST)
def test_threads_sleep_whatever_part_of_the_package_is_imported_first(first: str) -> None:
    assert spins(f"import {first}") == 0


def test_a_wait_policy_that_the_user_chose_stays() -> None:
    assert spins("import morelli", OMP_WAIT_POLICY="active") > 0

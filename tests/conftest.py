"""Set-up of the whole test session: shape checks of the network, threads, and what tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

# small tensors on a busy machine: threads that wait for each other cost far more than they save
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
install_import_hook("morelli.network", "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes of a session share the folder in which each of them has its own."""
    import shared

    own = tmp_path_factory.getbasetemp()
    shared.keep_in(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture
def blank_figures() -> Iterator[None]:
    """For tests that ask nothing of a picture."""
    import shared

    with shared.figures_left_blank():
        yield

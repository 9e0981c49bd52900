"""Switches on the runtime check of the network's tensor shapes for the whole test session."""

from __future__ import annotations

import os

from jaxtyping import install_import_hook

# small tensors on a busy machine: threads that wait for each other cost far more than they save
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
install_import_hook("morelli.network", "beartype.beartype")

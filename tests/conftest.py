"""Switches on the runtime check of the network's tensor shapes for the whole test session."""

from __future__ import annotations

from jaxtyping import install_import_hook

install_import_hook("morelli.network", "beartype.beartype")

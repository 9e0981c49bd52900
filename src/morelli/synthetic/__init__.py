"""Paints synthetic collections: an invented world of artists, styles and subjects, with known truth."""

from __future__ import annotations

from morelli.synthetic.workshop import paint

__all__ = ["paint"]

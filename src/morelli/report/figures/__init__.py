"""Figures, as matplotlib figures that touch no global state."""

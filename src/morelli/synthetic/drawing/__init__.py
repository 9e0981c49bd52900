"""Marks on the canvas: colours, shapes, brushes and prints."""

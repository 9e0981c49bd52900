"""Morelli reads paintings: artist, style and genre, with convolutional-recurrent networks."""

__version__ = "0.1.0"

"""Morelli reads paintings: artist, style and genre, with convolutional-recurrent networks."""

import os

# GNU OpenMP's threads spin while they wait, which costs other processes their cores; read when torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

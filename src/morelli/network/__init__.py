"""The network: backbone (timm), scan (which way the tokens are read), neck, heads and losses."""

from morelli.network.lean import import_timm

import_timm()

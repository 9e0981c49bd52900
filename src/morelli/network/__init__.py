"""The network: backbone (timm), scan (which way the tokens are read), neck, heads and losses."""

from morelli.network.lazy_timm import import_lazily

import_lazily()

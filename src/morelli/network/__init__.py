"""The network: backbone (timm), scan (which way the tokens are read), neck, heads and losses."""

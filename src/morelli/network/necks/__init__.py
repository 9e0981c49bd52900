"""Necks: from a feature map (B, C, h, w) to one vector (B, D), and the parts they are made of."""

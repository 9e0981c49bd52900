"""Training: data, samplers, cached features, phases and checkpoints, on Lightning."""

"""What training and prediction share before the network: pixels, device and precision."""

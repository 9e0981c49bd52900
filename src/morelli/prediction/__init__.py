"""From a trained model and images to probabilities and embeddings."""

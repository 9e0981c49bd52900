"""Evaluation: what a predictions file is worth. NumPy, pandas and Parquet only; no network, no images."""

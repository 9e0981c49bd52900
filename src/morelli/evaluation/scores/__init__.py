"""Scores of predictions: metrics, intervals, baselines, leakage, rare classes, abstention, paired comparison."""

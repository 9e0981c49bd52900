"""Audit: rules that put works forward for review, the evidence they rest on, and known label noise."""

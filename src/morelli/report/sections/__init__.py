"""Sections of a report: what each shows, chosen from a run's results."""

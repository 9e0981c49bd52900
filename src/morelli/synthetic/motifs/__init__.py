"""Subjects: figures, places, streets and things."""

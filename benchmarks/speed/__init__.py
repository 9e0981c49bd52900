"""Eight timed benchmarks, and what they share: contenders, peers, material. More than twelve files, for each is a row.

``run_all`` runs them one by one; by hand: ``python -m benchmarks.speed.predict --out bench``.
"""

"""Figures, as matplotlib figures that leave matplotlib's settings as they were.

``style`` and ``fonts`` are under all of them. Of a run's scores: ``scores``, ``calibration``, ``curves``, ``diagram``; of
single works: ``gallery``, ``saliency_map``, ``reading_trace``; of several runs or rules: ``comparison``, ``retrieval``,
``self_test``.
"""

"""Figures, as matplotlib figures that leave matplotlib's settings as they were.

``style`` and ``fonts`` are under all of them. Of a run's scores: ``scores``, ``calibration``, ``curves``, ``diagram``.
Of single works: ``gallery``, ``saliency_map``, ``reading_trace``. Of several runs or rules: ``comparison``,
``retrieval``, ``self_test``.
"""

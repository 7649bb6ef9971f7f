"""Optimizers and learning-rate schedules by name.

`registry` and `schedules` import without torch, so that a plan can be checked anywhere; `build` makes the
optimizers.
"""

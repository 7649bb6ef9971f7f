"""Plots of a sweep: one data function and one drawing function each."""

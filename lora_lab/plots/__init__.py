"""Plots of a sweep: one data function and one drawing function each. Without torch."""

from lora_lab.plots.kinds import KINDS, Plot, plots, to_csv, write
from lora_lab.plots.style import FORMATS, Look
from lora_lab.plots.subject import Subject, subject

__all__ = ["FORMATS", "KINDS", "Look", "Plot", "Subject", "plots", "subject", "to_csv", "write"]

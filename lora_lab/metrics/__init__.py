"""Automatic numbers for previews: a registry of functions from images to named numbers and flags."""

from lora_lab.metrics.registry import METRICS, Measured, MetricEntry, check, measure, metric_names, set_names

__all__ = ["METRICS", "Measured", "MetricEntry", "check", "measure", "metric_names", "set_names"]

"""Looking at a sweep: pictures, settings, curves and timings."""

"""Looking at a sweep: images, settings, curves and timings."""

"""From folders of images and captions to batches: scan, repeats, buckets, captions, order, pixels, caches.

Nothing in this package imports torch.
"""

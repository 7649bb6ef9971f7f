"""The gallery: a local web page to look at a sweep and to score it blind."""

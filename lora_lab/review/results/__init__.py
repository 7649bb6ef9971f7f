"""What a sweep's scores say, in the browser: the verdict with its plots, and the way out."""

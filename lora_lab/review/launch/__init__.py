"""A sweep from the browser: a first sweep file, its plan, the queue, and what works on the queue."""

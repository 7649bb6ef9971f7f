"""The static report of a sweep."""

"""Blind scoring and comparing: from the first page to what the session says."""

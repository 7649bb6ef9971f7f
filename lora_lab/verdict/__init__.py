"""What the scores of a sweep support, setting by setting, in numbers."""

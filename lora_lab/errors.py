"""The errors a user can cause; each is shown as one message, never as a traceback."""

import re


class LoraLabError(Exception):
    """Base of every error whose text is meant for the user."""


class ConfigError(LoraLabError):
    """A setting is unknown, has a wrong value, or contradicts another one."""


class DataError(LoraLabError):
    """The training images or captions cannot be used."""


class ModelError(LoraLabError):
    """A model or LoRA file cannot be used."""


class RunFolderError(LoraLabError):
    """A run folder cannot be read or written."""


class DivergedError(LoraLabError):
    """Training produced a non-finite loss or weight."""


def broken_at(error: Exception) -> str:
    """Where a text stops being JSON or TOML, for people; without what the parser says and quotes of it."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    place = re.search(r"line (\d+)(?:,? column (\d+))?", str(error))
    if not place:
        return "it is cut off" if "end of document" in str(error) else "it holds something else"
    return f"line {place[1]}" + (f", column {place[2]}" if place[2] else "")

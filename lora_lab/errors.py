"""The errors a user can cause; each is shown as one message, never as a traceback."""


class LoraLabError(Exception):
    """Base of every error whose text is meant for the user."""


class ConfigError(LoraLabError):
    """A setting is unknown, has a wrong value, or contradicts another one."""


class DataError(LoraLabError):
    """The training pictures or captions cannot be used."""


class ModelError(LoraLabError):
    """A model or LoRA file cannot be used."""


class RunFolderError(LoraLabError):
    """A run folder cannot be read or written."""


class DivergedError(LoraLabError):
    """Training produced a non-finite loss or weight."""

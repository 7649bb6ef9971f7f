"""Where the configs and sweep files lie that come with the program."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
CONF_DIR = next(
    folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (folder / "config.yaml").is_file()
)
"""The shipped configs: inside an installed package, else beside it in a checkout."""

SWEEPS_DIR = CONF_DIR.parent / "sweeps"
"""The shipped sweep files."""

"""The file that an imported preset becomes: a recipe, which is laid over all groups of `conf/`."""

from typing import Any

import yaml

from lora_lab.config import literal, settings
from lora_lab.kohya.convert import Imported


def recipe_text(found: Imported) -> str:
    """A recipe as YAML, its settings in the order of declaration, with where it comes from on top."""
    head = [
        "# @package _global_",
        f"# Imported from {found.path.name!r} ({found.kind}); what it does not name stays as it is.",
    ]
    nested: dict[str, Any] = {}
    for key in settings():
        if key in found.settings:
            group, _, name = key.rpartition(".")
            (nested.setdefault(group, {}) if group else nested)[name] = literal(found.settings[key])
    body = yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)
    return "\n".join(head) + "\n" + (body if nested else "{}\n")

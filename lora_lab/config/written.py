"""Writing YAML in which every text comes back as it was."""

from typing import Any

import yaml
from omegaconf._utils import get_omega_conf_dumper

_FOLDED = "\x85\u2028\u2029"
"""Line breaks to YAML, which PyYAML writes as they are and reads as blanks, unless in double quotes."""


class _Dumper(get_omega_conf_dumper()):  # type: ignore[misc]
    """OmegaConf's, which quotes texts that look like numbers and switches, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    if any(sign in text for sign in _FOLDED):
        return yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')
    node: yaml.ScalarNode = get_omega_conf_dumper().str_representer(dumper, text)
    return node


_Dumper.add_representer(str, _text)


def yaml_text(values: Any, *, width: int | None = None) -> str:
    """Plain values as YAML, in their order, with letters of all languages as they are."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False, width=width
    )
    return text

"""What each setting is elsewhere: the peer's name, where it comes from, and the tests that hold it.

`docs/parameters.md` is made of these rows and of `schema`; a test sees to it that every setting has a row and
that every test named exists. The peer is sd-scripts (`--network_dim`), its dataset files, or the kohya GUI.
"""

from collections.abc import Mapping

from lora_lab.config.parameters.data import DATA
from lora_lab.config.parameters.network import NETWORK
from lora_lab.config.parameters.row import ACTS, Parameter
from lora_lab.config.parameters.training import TRAINING
from lora_lab.config.parameters.use import USE

PARAMETERS: Mapping[str, Parameter] = {**DATA, **NETWORK, **TRAINING, **USE}
"""By dotted setting."""

__all__ = ["ACTS", "PARAMETERS", "Parameter"]

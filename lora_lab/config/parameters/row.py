"""One row of the table of parameters."""

from dataclasses import dataclass

ACTS = "run/test_every_setting_acts.py::test_a_setting_changes_the_weights"
"""The test that tries every setting that trains."""
ACTS_ON_PACK = "run/test_every_setting_acts.py::test_a_setting_of_the_whole_pack_changes_the_weights"
LEAVES = "run/test_every_setting_acts.py::test_a_setting_leaves_the_weights_alone"


@dataclass(frozen=True)
class Parameter:
    """Where a setting comes from.

    Attributes:
        peer: Arguments of sd-scripts, keys of its dataset files, fields of the GUI; '' where there is none.
        source: Paper, program or guide that says what it means.
        tests: `file::function` under tests/; each fails if the setting is ignored or means something else.
    """

    peer: tuple[str, ...]
    source: str
    tests: tuple[str, ...]


def row(peer: str, source: str, *tests: str) -> Parameter:
    """A row; `peer` holds names separated by spaces, tests are under tests/. Without tests it is ACTS."""
    return Parameter(tuple(peer.split()), source, tests or (ACTS,))

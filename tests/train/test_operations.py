"""How many operations a step dispatches, on the public topologies at a tenth of their width.

The limits are those of RESULTS.md: whoever goes above them has made every step of every run slower.
"""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
UNET_ONLY = ["network.train_text_encoder=false"]
CASES = {
    "one run": ("sd1", 1, [], 2200, 1),
    "16 runs, AdamW": ("sd1", 16, [], 16 * 230, 1),
    "16 runs, Adafactor": ("sd1", 16, ["optimizer=adafactor"], 16 * 260, 2),
    "16 runs, Prodigy": ("sd1", 16, ["optimizer=prodigy"], 16 * 205, 2),
    "16 runs, D-Adaptation": ("sd1", 16, ["optimizer=dadaptation"], 16 * 205, 2),
    "one run, SDXL": ("sdxl", 1, [], 6300, 1),
}
"""Family, runs, settings, most operations, and how often the host reads numbers: norms and losses of all runs
in one transfer, and Adafactor's own rates or what others estimate theirs from in a second."""


@pytest.fixture(scope="module")
def counted():
    """Counts of (family, runs, settings); each base model is made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        operations, models = importlib.import_module("operations"), importlib.import_module("models")
        bases = {}

        def count(family, runs, settings):
            if family not in bases:
                bases[family] = models.tiny_model(family)
            return operations.counted(bases[family], runs, [*UNET_ONLY, *settings])

        yield count


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case != "one run")) for case in CASES]
)
def test_a_step_takes_few_operations_and_reads_once(counted, case):
    *what, limit, transfers = CASES[case]
    found = counted(*what)
    assert found.total <= limit
    assert found.total > limit // 2, "a limit far above the count holds nothing"
    assert found.kinds["adapted linear layers"] > 0.2 * found.total
    assert found.waits == {"tolist": transfers}

"""One tiny sweep, really trained, through every engine that is installed."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.engines import differences, through
from lora_lab.sweep import RowSpec, SweepFile
from tests import tiny
from tests.run.bench import Bench, write_images


@pytest.mark.slow  # a start of torch and a training per engine
def test_the_tables_are_equal(tmp_path: Path) -> None:
    bench = Bench(write_images(tmp_path / "images"), tmp_path / "cache", tmp_path / "sweep", tiny.folder())
    base = tuple(text for text in bench.common if not text.startswith("results="))
    rows = (RowSpec("one", ()), RowSpec("alpha", ("network.network_alpha=2",)))
    sweep = SweepFile("tiny", tmp_path / "tiny.yaml", "", base, rows)
    local = through(sweep, [], "local", tmp_path)
    assert set(local.statuses.values()) == {"done"} and len(local.table) == 4
    others = [
        name
        for name, package in {"slurm": "submitit", "ray": "ray"}.items()
        if importlib.util.find_spec(package)
    ]
    if not others:
        pytest.skip("neither submitit nor Ray is installed")
    for name in others:
        other = through(sweep, [], name, tmp_path)
        if other.missing:
            pytest.skip(other.missing)
        assert differences(local, other) == []
    changed = replace(local, table=[{**local.table[0], "loss": -1.0}, *local.table[1:]])
    assert len(differences(local, changed)) == 1, "what differs would be found"

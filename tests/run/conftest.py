"""Five pictures and their caches, shared by all tests of the worker."""

from pathlib import Path

import pytest
import torch

from tests.run.bench import Bench, write_pictures


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures in one folder of one repeat."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(pictures: Path, cache: Path, tmp_path: Path) -> Bench:
    """A bench with a sweep folder of its own."""
    return Bench(pictures, cache, tmp_path / "results" / "sweep")

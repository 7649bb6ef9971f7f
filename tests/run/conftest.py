"""Five images and their caches, shared by all tests of the worker."""

from pathlib import Path

import pytest
import torch

from tests.run.bench import Bench, write_images


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images in one folder of one repeat."""
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(images: Path, cache: Path, tmp_path: Path) -> Bench:
    """A bench with a sweep folder of its own."""
    return Bench(images, cache, tmp_path / "results" / "sweep")

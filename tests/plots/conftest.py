"""The sweep that plots are tested on."""

from pathlib import Path

import pytest

from lora_lab.plots import Subject, subject
from tests import scored


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject(scored.sweep(tmp_path_factory.mktemp("plots")))


@pytest.fixture(scope="session")
def unscored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.sweep(tmp_path_factory.mktemp("unscored"), scored=False).path

"""Images and models that sweeps are planned on."""

from pathlib import Path

import pytest

from lora_lab.sweep import Plan, plan, read_sweep
from tests.material import write_images, write_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("material")
    write_images(root / "images")
    write_model(root / "model")
    write_model(root / "other", seed=1)
    write_model(root / "sdxl", family="sdxl")
    return root


@pytest.fixture
def make(place: Path, tmp_path: Path):
    """Plan a sweep given as text, on the test's images and model, as for a GPU."""

    def planner(text: str, *extra: str, **choices: bool) -> Plan:
        path = tmp_path / "try.yaml"
        path.write_text(text, encoding="utf-8")
        return plan(read_sweep(path), [*where(place, tmp_path), *extra], **choices)

    return planner


def where(place: Path, tmp_path: Path) -> list[str]:
    return [
        "base_model=sd15",
        f"dataset.path='{place}/images'",
        f"base_model.path='{place}/model'",
        f"results='{tmp_path}/results'",
        f"cache='{tmp_path}/cache'",
        "device=cuda",
        "engine.workers=1",
    ]

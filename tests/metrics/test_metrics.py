"""Numbers and flags of previews."""

import numpy as np
import pytest
from PIL import Image

from lora_lab.config import settings
from lora_lab.errors import ConfigError
from lora_lab.metrics import METRICS, measure, metric_names


def picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8))


RNG = np.random.default_rng(0)
NOISE = picture(RNG.integers(0, 256, (32, 32)))
RAMP = picture(np.tile(np.arange(0, 256, 8), (32, 1)))
DARK_WITH_A_LAMP = np.zeros((32, 32))
DARK_WITH_A_LAMP[:4, :4] = 255


def test_numbers() -> None:
    found = measure(RAMP, NOISE, 1.0, ["basic"]).numbers
    ramp, noise = (np.asarray(image, dtype=float) for image in (RAMP, NOISE))
    assert found["brightness"] == pytest.approx(124)
    assert found["contrast"] == pytest.approx(np.arange(0, 256, 8).std())
    assert found["sharpness"] == pytest.approx(0), "a straight ramp has no curvature"
    assert found["base_distance"] == pytest.approx(np.abs(ramp - noise).mean())
    sharp = measure(NOISE, None, 1.0, ["basic"]).numbers
    assert sharp["sharpness"] > 1000 and sharp["base_distance"] is None


@pytest.mark.parametrize(
    ("image", "base", "strength", "flags"),
    [
        (NOISE, RAMP, 1.0, []),
        (NOISE, None, 1.0, []),
        (NOISE, NOISE, 1.0, ["same as base"]),
        (NOISE, NOISE, 0.0, []),
        (picture(np.zeros((32, 32))), RAMP, 1.0, ["black"]),
        (picture(np.full((32, 32), 4.0)), None, 1.0, ["black"]),
        (picture(np.full((32, 32), 255.0)), None, 1.0, ["flat"]),
        (picture(127 + RNG.integers(0, 2, (32, 32))), None, 1.0, ["flat"]),
        (picture(DARK_WITH_A_LAMP), RAMP, 1.0, []),
        (picture(np.zeros((32, 32))), picture(np.zeros((32, 32))), 1.0, ["black", "same as base"]),
        (NOISE, RAMP.resize((16, 16)), 1.0, []),
    ],
)
def test_flags(image: Image.Image, base: Image.Image | None, strength: float, flags: list[str]) -> None:
    assert measure(image, base, strength, []).flags == flags


def test_likeness_is_between_0_and_100() -> None:
    assert measure(NOISE.resize((64, 64)), None, 1.0, ["likeness"]).numbers["likeness"] == pytest.approx(
        0, abs=30
    )


def test_settings_know_the_metrics() -> None:
    rule = settings()["metric.names"].rule
    assert rule and rule(list(METRICS)) is None
    assert rule(["clip"]) == f"must be one of {', '.join(METRICS)}"


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match="metric.names 'clip'; known: basic, likeness"):
        metric_names(["basic", "clip"])

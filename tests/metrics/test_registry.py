"""Numbers and flags of previews."""

from typing import cast

import numpy as np
import pytest
from PIL import Image

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.errors import ConfigError
from lora_lab.metrics import METRICS, measure, metric_names
from lora_lab.metrics.registry import MetricEntry, stand_in


def drawn(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8))


RNG = np.random.default_rng(0)
NOISE = drawn(RNG.integers(0, 256, (32, 32)))
RAMP = drawn(np.tile(np.arange(0, 256, 8), (32, 1)))
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
        (drawn(np.zeros((32, 32))), RAMP, 1.0, ["black"]),
        (drawn(np.full((32, 32), 4.0)), None, 1.0, ["black"]),
        (drawn(np.full((32, 32), 255.0)), None, 1.0, ["flat"]),
        (drawn(127 + RNG.integers(0, 2, (32, 32))), None, 1.0, ["flat"]),
        (drawn(DARK_WITH_A_LAMP), RAMP, 1.0, []),
        (drawn(np.zeros((32, 32))), drawn(np.zeros((32, 32))), 1.0, ["black", "same as base"]),
        (NOISE, RAMP.resize((16, 16)), 1.0, []),
    ],
)
def test_flags(image: Image.Image, base: Image.Image | None, strength: float, flags: list[str]) -> None:
    assert measure(image, base, strength, []).flags == flags


def test_likeness_is_between_0_and_100() -> None:
    assert measure(NOISE.resize((64, 64)), None, 1.0, ["likeness"]).numbers["likeness"] == pytest.approx(
        0, abs=30
    )


def test_the_planner_refuses_what_is_no_metric() -> None:
    found = resolve(compose(["base_model=demo", "metric.names=[basic,likenes]"]), Facts())
    known = ", ".join(METRICS)
    assert found.refusals == (
        f"metric.names=likenes: there is no such metric; did you mean likeness? known: {known}",
    )


def half_red(image: Image.Image, base: Image.Image | None) -> dict[str, float | None]:
    """A metric as CONTRIBUTING.md has one added: half of the mean of the red channel."""
    return {"half_red": float(np.asarray(image)[..., 0].mean() / 2)}


def test_one_entry_adds_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but its entry has to know a metric: it is resolved, measured, and stands for a score."""
    entry = MetricEntry("half the red", f"{__name__}:half_red", stands_for_score=True)
    monkeypatch.setitem(cast(dict[str, MetricEntry], METRICS), "half_red", entry)
    found = resolve(compose(["base_model=demo", "metric.names=[half_red]"]), Facts())
    assert not found.refusals and found.metric.names == ["half_red"]
    image = Image.new("RGB", (8, 8), (80, 0, 0))
    assert measure(image, None, 1.0, found.metric.names).numbers == {"half_red": 40.0}
    assert stand_in({"brightness", "half_red"}) == "half_red"


def test_the_first_of_the_registry_stands_for_the_score() -> None:
    assert stand_in({"clip_t", "dino", "brightness"}) == "dino"
    assert stand_in({"brightness", "drift"}) is None


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match="metric.names=clip: there is no such metric; did you mean clip_t"):
        metric_names(["basic", "clip"])

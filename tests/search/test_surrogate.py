"""The Gaussian process beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from lora_lab.search.coordinates import Feature
from lora_lab.search.surrogate import MEAN, OFFSET_SD, SIGNAL_SD, Surrogate

FEATURES = [Feature("a", 0.8), Feature("b", 1.5)]


def runs(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (count, 2))
    return x, 70 - 15 * x[:, 0] ** 2 + 4 * x[:, 1] + rng.normal(0, 1, count)


def test_the_posterior_is_that_of_scikit_learn() -> None:
    x, y = runs()
    looks = np.array([1.0, 2.0] * 6)
    model = Surrogate(FEATURES, noise_sd=5.0)
    model.fit(x, y, looks, learn=False)
    kernel = ConstantKernel(SIGNAL_SD**2) * RBF([0.8, 1.5]) + ConstantKernel(OFFSET_SD**2)
    peer = GaussianProcessRegressor(kernel, alpha=25.0 / looks, optimizer=None).fit(x, y - MEAN)
    asked = np.random.default_rng(4).uniform(-2, 2, (30, 2))
    mean, sd = peer.predict(asked, return_std=True)
    found = model.posterior(asked)
    assert found.mean == pytest.approx(mean + MEAN, abs=1e-6)
    assert found.sd == pytest.approx(sd, abs=1e-6)


def test_a_fit_finds_the_coordinate_that_matters() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 2))
    model = Surrogate([Feature("a", 1.0), Feature("b", 1.0)], noise_sd=3.0)
    model.fit(x, 60 + 12 * np.sin(4 * x[:, 0]) + rng.normal(0, 3, 60))
    known = model.posterior(np.array([[0.39, 0.0], [-0.39, 0.0], [0.39, 0.9]]))
    assert known.mean == pytest.approx([72, 48, 72], abs=4)
    assert 2 < model.noise_sd < 4.5


def test_how_broken_a_broken_run_is_does_not_count() -> None:
    x, y = runs()
    seen = []
    for broken in (0.0, 40.0):
        model = Surrogate(FEATURES)
        model.fit(np.vstack([x, [[3.0, 0.0]]]), np.append(y, broken))
        seen.append(model.posterior(x[:1]).mean[0])
    assert seen[0] == pytest.approx(seen[1], abs=1e-9)


def test_believing_narrows_where_the_belief_is() -> None:
    x, y = runs()
    model = Surrogate(FEATURES)
    model.fit(x, y)
    far = np.array([[2.0, 2.0]])
    before = model.posterior(far)
    after = model.believing(far[0], float(before.mean[0])).posterior(far)
    assert after.mean == pytest.approx(before.mean, abs=1e-6)
    assert after.sd[0] < 0.6 * before.sd[0]

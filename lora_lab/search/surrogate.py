"""A Gaussian process over scored runs: what a combination would score, and how sure that is.

Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1, with a kernel that is
squared-exponential in each feature; length scales, signal and noise are at their maximum a posteriori under
lognormal priors, since a sweep has too few runs to learn them from nothing.

Legend: N runs, C candidates, F features. Scores are in points of 0 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from lora_lab.search.coordinates import Feature

MEAN = 50.0
"""The score expected before any run."""
OFFSET_SD = 20.0
"""Standard deviation of a sweep's level around `MEAN`."""
SIGNAL_SD, SIGNAL_SPREAD = 25.0, 0.4
"""How far settings move scores: prior median, and sd of its logarithm."""
NOISE_SD, NOISE_SPREAD = 5.0, 0.25
"""How far a repeated and re-scored run moves: prior median, and sd of its logarithm."""
BELOW_BEST = 30.0
"""Scores further below the best count as this far: how broken a broken run is says nothing of the good ones,
and a cliff would make the process rough everywhere."""
_ITERATIONS = 12


@dataclass(frozen=True)
class Posterior:
    """Expected score and its standard deviation, (C,) each."""

    mean: np.ndarray
    sd: np.ndarray


class Surrogate:
    """The process for a set of features; `fit` takes the runs, `posterior` asks."""

    def __init__(self, features: Sequence[Feature], noise_sd: float = NOISE_SD) -> None:
        self._log_length = np.log([item.length for item in features])
        self._length_spread = np.array([item.spread for item in features])
        self._noise_sd = noise_sd
        self._theta = np.concatenate([self._log_length, [np.log(SIGNAL_SD), np.log(noise_sd)]])
        self._x_NF = np.zeros((0, len(features)))
        self._y_N = np.zeros(0)
        self._looks_N = np.zeros(0)

    def fit(
        self, x_NF: np.ndarray, scores_N: np.ndarray, looks_N: np.ndarray | None = None, *, learn: bool = True
    ) -> None:
        """Take the scored runs and find the length scales.

        Args:
            looks_N: How many repeats a score is the mean of; 1 where not given.
            learn: False keeps the length scales that are expected beforehand.
        """
        self._x_NF = x_NF
        self._y_N = np.maximum(scores_N, scores_N.max() - BELOW_BEST) - MEAN
        self._looks_N = np.ones(len(scores_N)) if looks_N is None else looks_N
        if learn:
            options = {"maxiter": _ITERATIONS}
            self._theta = minimize(self._energy, self._theta, method="L-BFGS-B", options=options).x

    def posterior(self, x_CF: np.ndarray) -> Posterior:
        """What candidates would score on average over repeats."""
        kernel_NC = _kernel(self._x_NF, x_CF, self._theta)
        factor = cho_factor(self._covariance(self._theta), lower=True)
        mean_C = MEAN + kernel_NC.T @ cho_solve(factor, self._y_N)
        signal = np.exp(2 * self._theta[-2])
        variance_C = signal + OFFSET_SD**2 - (kernel_NC * cho_solve(factor, kernel_NC)).sum(0)
        return Posterior(mean_C, np.sqrt(np.maximum(variance_C, 1e-9)))

    def believing(self, x_F: np.ndarray, score: float) -> Surrogate:
        """The process as if a run had this score: for the rest of a round that starts at once.

        A constant liar (Ginsbourger et al. 2010) whose lie is the expected score.
        """
        other = Surrogate([], self._noise_sd)
        other._log_length, other._length_spread = self._log_length, self._length_spread
        other._theta = self._theta
        other._x_NF = np.vstack([self._x_NF, x_F[None]])
        other._y_N = np.append(self._y_N, score - MEAN)
        other._looks_N = np.append(self._looks_N, 1.0)
        return other

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run's score as found."""
        return float(np.exp(self._theta[-1]))

    def _covariance(self, theta: np.ndarray) -> np.ndarray:
        return _kernel(self._x_NF, self._x_NF, theta) + np.diag(np.exp(2 * theta[-1]) / self._looks_N)

    def _energy(self, theta: np.ndarray) -> float:
        """Negative log posterior of the parameters, without its constants."""
        try:
            lower, _ = cho_factor(self._covariance(theta), lower=True)
        except LinAlgError:
            return 1e9
        data = 0.5 * self._y_N @ cho_solve((lower, True), self._y_N) + np.log(np.diag(lower)).sum()
        lengths = (((theta[:-2] - self._log_length) / self._length_spread) ** 2).sum()
        signal = ((theta[-2] - np.log(SIGNAL_SD)) / SIGNAL_SPREAD) ** 2
        noise = ((theta[-1] - np.log(self._noise_sd)) / NOISE_SPREAD) ** 2
        return float(data + 0.5 * (lengths + signal + noise))


def _kernel(a_NF: np.ndarray, b_CF: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Covariances (N, C) for logarithms of length scales, of the signal's and of the noise's sd."""
    scaled_a, scaled_b = (x / np.exp(theta[:-2]) for x in (a_NF, b_CF))
    squared = (scaled_a**2).sum(1)[:, None] + (scaled_b**2).sum(1)[None] - 2 * scaled_a @ scaled_b.T
    found: np.ndarray = np.exp(2 * theta[-2] - 0.5 * np.maximum(squared, 0)) + OFFSET_SD**2
    return found

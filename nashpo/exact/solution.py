"""What an exact method hands back, and the coordinates all of them share."""

from typing import NamedTuple

import numpy as np

LOG_ZERO = -1e9
"""The log-probability of a response that is never given: finite, and its exponential is 0."""


class Solution(NamedTuple):
    """One prompt's equilibrium as a method found it, before anybody certified it."""

    log_policy: np.ndarray
    """Normalised log-probabilities `[A]`, float64."""
    method: str
    """How it was found, in a few words."""
    steps: int
    """Newton or interior-point steps taken."""
    unique: bool = True
    """Whether it is the only equilibrium."""


def log_normalise(theta: np.ndarray) -> np.ndarray:
    """`theta - log sum exp theta`."""
    theta = theta - largest(theta)
    return theta - np.log(np.exp(theta).dot(np.ones(len(theta))))


def largest(x: np.ndarray) -> float:
    """The largest number, in a third of the time of `x.max()` where there are few."""
    return x[x.argmax()]


def spread_of(x: np.ndarray) -> float:
    """The largest number less the smallest."""
    return x[x.argmax()] - x[x.argmin()]

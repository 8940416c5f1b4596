"""Whether draws follow a distribution and know nothing of each other."""

import numpy as np

CLASSES = 16
"""Responses are told apart up to this number, where draws are compared with each other."""


def chi_square(counts: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom; responses expected fewer than five times are one class.

    >>> chi_square(np.array([60, 40]), np.array([50.0, 50.0]))
    (4.0, 1)
    """
    rare = expected < 5
    pooled = [np.append(values[~rare], values[rare].sum()) for values in (counts.astype(float), expected)]
    observed, wanted = pooled if rare.any() else (counts.astype(float), expected)
    wanted = np.maximum(wanted, 1e-3)
    return float(np.sum((observed - wanted) ** 2 / wanted)), max(len(wanted) - 1, 1)


def quantile(freedom: int, normal: float) -> float:
    """The chi-square quantile of a normal quantile (Wilson and Hilferty 1931).

    >>> print(round(quantile(10, 1.6449), 1))
    18.3
    """
    part = 2 / (9 * freedom)
    return freedom * (1 - part + normal * np.sqrt(part)) ** 3


def agreeing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The share of classes `[N]` that equal those of `second`, moved round by 0, 1, ... places, `[N]`.

    >>> agreeing(np.array([0, 1, 2, 0]), np.array([0, 1, 2, 0])).round(3).tolist()
    [1.0, 0.25, 0.0, 0.25]
    """
    one, two = (np.fft.rfft(row == np.arange(CLASSES)[:, None]) for row in (first, second))
    return np.fft.irfft(np.sum(one * np.conj(two), 0), len(first)) / len(first)

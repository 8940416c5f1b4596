"""How far a policy is from equilibrium: a check that shares no code with the methods that it checks."""

import numpy as np

_ABSENT = -1e8


def certify(
    payoff: np.ndarray, value: float, log_reference: np.ndarray, beta: float, log_policy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The duality gap of a policy and the largest violation of the conditions of an equilibrium.

    With `beta > 0`, `q = softmax(log_reference + payoff pi / beta)` and `d = log pi - log q`:
    `gap = 2 beta sum (q - pi + pi d)`, a sum of non-negative terms, and `residual = max |d|`.
    With `beta = 0` and `g = payoff pi`: `gap = 2 sum pi (max g - g)` and `residual = max(g) - value`, where positive.
    The residual is never less than the error of `sum pi = 1`. Gaps are in units of payoff. `payoff` `[A, A]`,
    `log_reference` and `log_policy` `[A]`, all three with the same axes in front or none, which the two answers
    have too; `value` the payoff of a policy against itself (1/2 or 0).

    >>> rock_paper_scissors = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    >>> gap, residual = certify(rock_paper_scissors, 0.5, np.zeros(3), 0.0, np.log([0.5, 0.25, 0.25]))
    >>> round(float(gap), 6), round(float(residual), 6)
    (0.25, 0.125)
    """
    pi = np.exp(log_policy)
    mass_error = np.abs(np.sum(pi, -1) - 1.0)
    gains = np.matmul(payoff, pi[..., None])[..., 0]
    if beta == 0:
        best = np.max(gains, -1)
        gap = 2.0 * np.sum(pi * (best[..., None] - gains), -1)
        return gap, np.maximum(np.maximum(best - value, 0.0), mass_error)
    logits = log_reference + gains / beta
    log_best = logits - np.max(logits, -1, keepdims=True)
    log_best = log_best - np.log(np.sum(np.exp(log_best), -1, keepdims=True))
    present = log_reference > _ABSENT
    d = np.where(present, log_policy - log_best, 0.0)
    best_response = np.where(present, np.exp(log_best), 0.0)
    terms = np.where(np.abs(d) < 0.03, pi * _small_terms(d), best_response - pi + pi * d)
    return 2.0 * beta * np.sum(terms, -1), np.maximum(np.max(np.abs(d), -1), mass_error)


def _small_terms(d: np.ndarray) -> np.ndarray:
    """`exp(-d) - 1 + d` for small d, by its power series, so that no digits cancel."""
    d = np.clip(d, -0.03, 0.03)
    return d * d * (1 / 2 - d * (1 / 6 - d * (1 / 24 - d * (1 / 120 - d * (1 / 720 - d / 5040)))))

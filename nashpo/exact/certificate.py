"""How far a policy is from equilibrium: a check that shares no code with the methods that it checks."""

import numpy as np

_ABSENT = -1e8


def certify(
    payoff: np.ndarray, value: float, log_reference: np.ndarray, beta: float, log_policy: np.ndarray
) -> tuple[float, float]:
    """The duality gap of a policy and the largest violation of the conditions of an equilibrium.

    With `beta > 0`, `q = softmax(log_reference + payoff pi / beta)` and `d = log pi - log q`:
    `gap = 2 beta sum (q - pi + pi d)`, a sum of non-negative terms, and `residual = max |d|`.
    With `beta = 0` and `g = payoff pi`: `gap = 2 sum pi (max g - g)` and `residual = max(g) - value`, where positive.
    The residual is never less than the error of `sum pi = 1`. Gaps are in units of payoff. `payoff` `[A, A]`,
    `log_reference` and `log_policy` `[A]`, `value` the payoff of a policy against itself (1/2 or 0).

    >>> rock_paper_scissors = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    >>> gap, residual = certify(rock_paper_scissors, 0.5, np.zeros(3), 0.0, np.log([0.5, 0.25, 0.25]))
    >>> round(gap, 6), round(residual, 6)
    (0.25, 0.125)
    """
    pi = np.exp(log_policy)
    mass_error = abs(float(np.sum(pi)) - 1.0)
    gains = np.dot(payoff, pi)
    if beta == 0:
        best = float(np.max(gains))
        gap = 2.0 * float(np.sum(pi * (best - gains)))
        return gap, max(best - value, 0.0, mass_error)
    logits = log_reference + gains / beta
    log_best = logits - np.max(logits)
    log_best = log_best - np.log(np.sum(np.exp(log_best)))
    present = log_reference > _ABSENT
    d = np.where(present, log_policy - log_best, 0.0)
    best_response = np.where(present, np.exp(log_best), 0.0)
    terms = np.where(np.abs(d) < 0.03, pi * _small_terms(d), best_response - pi + pi * d)
    return 2.0 * beta * float(np.sum(terms)), max(float(np.max(np.abs(d))), mass_error)


def _small_terms(d: np.ndarray) -> np.ndarray:
    """`exp(-d) - 1 + d` for small d, by its power series, so that no digits cancel."""
    d = np.clip(d, -0.03, 0.03)
    return d * d * (1 / 2 - d * (1 / 6 - d * (1 / 24 - d * (1 / 120 - d * (1 / 720 - d / 5040)))))

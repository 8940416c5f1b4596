"""Learning close to an equilibrium: one step is a matrix, its eigenvalues say how fast, and noise gathers.

With `log pi = log pi* + e`, `A = P - 1/2` and `C = diag(pi*) - pi* pi*^T`, to first order and up to constants

    INPO:  e' = (1 - eta beta) e + eta A C e + eta xi
    EGPO:  e' = (1 - eta beta) e + eta A C ((1 - eta beta) e + eta A C e + eta xi_half) + eta xi

where xi are errors of the win rates. `A C` has imaginary eigenvalues `+-i w`, `w <= 1/2`.
"""

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

import nashpo


def equilibrium_matrices(game: nashpo.Game) -> tuple[np.ndarray, np.ndarray]:
    """`A C` and `C` at the equilibrium of a game with one prompt, both `[A, A]`."""
    probs = nashpo.equilibrium(game).probs()[0]
    covariance = np.diag(probs) - np.outer(probs, probs)
    return (np.asarray(game.oracle.table(), float)[0] - 0.5) @ covariance, covariance


def frequencies(game: nashpo.Game) -> np.ndarray:
    """Every w, ascending, without the one of the direction in which only a constant is added, `[A - 1]`."""
    return np.sort(np.abs(np.linalg.eigvals(equilibrium_matrices(game)[0])))[1:]


def frequency(game: nashpo.Game) -> float:
    """The largest w."""
    return float(frequencies(game)[-1])


def inpo_factor(eta: float, beta: float, w: float) -> float:
    """By how much a step of INPO multiplies the error in the direction of frequency w."""
    return abs(1 - eta * beta + 1j * eta * w)


def egpo_factor(eta: float, beta: float, w: float) -> float:
    """By how much a step of EGPO multiplies the error in the direction of frequency w."""
    return abs(1 - eta * beta + 1j * eta * w * (1 - eta * beta + 1j * eta * w))


def inpo_limit(beta: float, w: float) -> float:
    """The largest step with which INPO is locally stable, `2 beta / (beta^2 + w^2)`."""
    return 2 * beta / (beta**2 + w**2)


def egpo_limit(beta: float, w: float) -> float:
    """The largest step with which EGPO is locally stable: where its factor passes one, by bisection."""
    low, high = 1.0 / (beta + 0.5), 4.0 / (beta + w)
    if egpo_factor(high, beta, w) < 1:
        raise ValueError(f"EGPO is still stable at eta = {high:g}; beta = {beta:g}, w = {w:g}.")
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if egpo_factor(middle, beta, w) < 1 else (low, middle)
    return low


def predicted_floor(game: nashpo.Game, eta: float, votes: int, extragradient: bool) -> float:
    """The mean duality gap that a constant step hovers at when every comparison gets `votes` fresh votes.

    The stationary covariance of e solves a discrete Lyapunov equation; the gap is the quadratic form
    `beta |e - A C e / beta|^2` under C. First order in `1 / votes`.
    """
    turn, covariance = equilibrium_matrices(game)
    probs = nashpo.equilibrium(game).probs()[0]
    beta = float(game.beta)
    noise = _vote_noise(np.asarray(game.oracle.table(), float)[0], probs) / votes
    eye = np.eye(len(probs))
    step = (1 - eta * beta) * eye + eta * turn
    driven = eta**2 * noise
    if extragradient:
        step = (1 - eta * beta) * eye + eta * turn @ step
        driven = driven + eta**4 * turn @ noise @ turn.T
    # A constant added to e is no change of the policy: it is taken out, else it would be an undamped direction.
    centred = eye - np.ones_like(eye) / len(probs)
    spread = solve_discrete_lyapunov(centred @ step @ centred, centred @ driven @ centred.T)
    away = eye - turn / beta
    return float(beta * np.trace(away.T @ covariance @ away @ spread))


def _vote_noise(table: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The covariance of win rates against `probs` when each pair is voted on once, an antisymmetric error."""
    variance = table * (1 - table)
    np.fill_diagonal(variance, 0.0)
    return np.diag(variance @ probs**2) - variance * np.outer(probs, probs)

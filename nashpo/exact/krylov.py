"""Newton directions for the KL-regularised equilibrium without factorising a matrix.

At a policy `p` with covariance `C = diag(p) - p p^T` the Newton system is `(beta I - S C) d = b`, S skew. In the
inner product `<u, v> = u^T C v` the operator `S C` is skew, because `<u, S C v> = (C u)^T S (C v)`. So Lanczos'
recurrence has two terms and no diagonal,

    (S C) u_j = b_j u_{j+1} - b_{j-1} u_{j-1},

and the projected system `beta I - T` (T skew tridiagonal) factorises with pivots `beta + b_j^2 / pivot >= beta`:
nothing can break down, and a step costs one product with S (Concus and Golub 1976; Widlund 1978).
Constants added to a direction do not matter, hence neither does a constant added to S: a table of win
probabilities does as well as its skew part.
"""

import math

import numpy as np

_TINY = 1e-300


def newton_direction(
    payoff: np.ndarray, p: np.ndarray, b: np.ndarray, beta: float, tol: float, limit: int
) -> np.ndarray | None:
    """`d` with `|(beta I - S C) d - b| <= tol |b|` in the norm of C, up to a constant; None if it would take too long.

    `payoff` may be float32: the recurrence then runs with its products in float32, enough for a tolerance
    above 1e-5. `limit` is the number of products after which a factorisation is cheaper.
    """
    u = b - p.dot(b)
    x = p * u
    norm = math.sqrt(x.dot(u))
    if norm < _TINY:
        return u
    x *= 1.0 / norm
    basis = np.empty((limit + 1, len(b)))
    np.multiply(u, 1.0 / norm, out=basis[0])
    off, pivots, heads = [], [beta], [norm]
    for count in range(1, limit + 1):
        image = payoff.dot(x) if payoff.dtype == x.dtype else payoff.dot(x.astype(payoff.dtype)).astype(x.dtype)
        image -= p.dot(image)
        if off:
            image += off[-1] * basis[count - 2]
        x = p * image
        norm = math.sqrt(x.dot(image))
        off.append(norm)
        residual = heads[-1] * norm / pivots[-1]
        if residual <= tol * heads[0]:
            return np.dot(_back_substitute(heads, off, pivots), basis[:count])
        if count == 4 and _forecast(off, beta, tol) > limit:
            return None
        pivots.append(beta + norm * norm / pivots[-1])
        heads.append(residual)
        np.multiply(image, 1.0 / norm, out=basis[count])
        x *= 1.0 / norm
    return None


def _forecast(off: list[float], beta: float, tol: float) -> float:
    """How many steps a residual of `tol` will take if the spectrum `beta + i [-w, w]` has `w = 2 mean(b_j)`."""
    ratio = beta / max(2.0 * sum(off) / len(off), _TINY)
    return math.log(1.0 / tol) / math.log(ratio + math.sqrt(1.0 + ratio * ratio))


def _back_substitute(heads: list[float], off: list[float], pivots: list[float]) -> list[float]:
    """Coefficients `z` of the direction in the Lanczos basis."""
    z = [0.0] * len(heads)
    z[-1] = heads[-1] / pivots[-1]
    for j in range(len(z) - 2, -1, -1):
        z[j] = (heads[j] - off[j] * z[j + 1]) / pivots[j]
    return z

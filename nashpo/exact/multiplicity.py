"""How many equilibria there are, and which one to name when there are many.

At an equilibrium of largest support B the others satisfy `S_BB p = 0`, `S_NB p <= 0`, `p >= 0`, `sum p = 1`, where N
are the rest. The slacks of N are positive there (Goldman and Tucker 1956), so the set of equilibria has the dimension
of the kernel of `S_BB` less one: the equilibrium is unique exactly when that kernel is a line.
"""

import numpy as np

RANK = 1e-10
"""Singular values, slacks and probabilities up to this count as zero where a game's equilibria are counted."""
_PROBES = 80
_LIMIT = 60


def vertex(S: np.ndarray, support: np.ndarray) -> np.ndarray | None:
    """The one equilibrium, if it has the indices `support`.

    Solves `S_BB p = t, sum p = 1`. None unless the system is regular, `p > 0` on the support and the slacks of all
    others are positive, which together make it the only equilibrium. An even number of indices never works: the
    determinant of the bordered system, skew and of odd size, is zero.

    >>> S = np.array([[0, 0.2, -0.1], [-0.2, 0, 0.3], [0.1, -0.3, 0]])
    >>> vertex(S, np.arange(3)).round(4).tolist()
    [0.5, 0.1667, 0.3333]
    """
    m = len(support)
    if m % 2 == 0:
        return None
    system = np.zeros((m + 1, m + 1))
    system[:m, :m] = S[np.ix_(support, support)]
    system[:m, m] = -1.0
    system[m, :m] = 1.0
    rhs = np.zeros((m + 1, 2))
    rhs[m, 0] = 1.0
    rhs[:, 1] = np.cos(np.arange(m + 1.0) ** 2)
    try:
        solution = np.linalg.solve(system, rhs)
    except np.linalg.LinAlgError:
        return None
    size = float(np.abs(solution[:, 1]).max())
    if not size * RANK < 1.0 or solution[:m, 0].min() <= RANK:
        return None
    p = np.zeros(len(S))
    p[support] = solution[:m, 0] / solution[:m, 0].sum()
    slack = -(S[:, support] @ p[support])
    slack[support] = 1.0
    return p if slack.min() > RANK else None


def row_space(S_support: np.ndarray) -> np.ndarray:
    """An orthonormal basis `[m, r]` of the row space of a skew matrix; what is orthogonal to it is the kernel.

    Few random products find it when the rank is low, as it is for games with low-dimensional embeddings.

    >>> row_space(np.zeros((3, 3))).shape, row_space(np.array([[0, 0.5], [-0.5, 0]])).shape
    ((3, 0), (2, 2))
    """
    m = len(S_support)
    if m == 0:
        return np.zeros((0, 0))
    if m > 2 * _PROBES:
        probes = np.random.default_rng(0).standard_normal((m, _PROBES))
        left, values, _ = np.linalg.svd(S_support @ probes, full_matrices=False)
        rank = int(np.count_nonzero(values > RANK * max(1.0, float(values[0]))))
        if rank < _PROBES - 8:
            return left[:, :rank]
    left, values, _ = np.linalg.svd(S_support)
    return left[:, values > RANK * max(1.0, float(values[0]))]


def maximum_entropy(S: np.ndarray, support: np.ndarray, rows: np.ndarray, p: np.ndarray) -> np.ndarray | None:
    """The equilibrium of largest entropy, from an equilibrium `p` `[A]` of largest support `support`.

    Minimises `sum p log p` subject to `rows^T p_B = 0`, `sum p = 1`, `S_NB p_B <= 0` by a primal-dual interior-point
    method, `rows` a basis of the row space of `S_BB`. It is the limit, as beta goes to 0, of the KL-regularised
    equilibria with a uniform reference. None where the method does not converge, as with margins of about RANK, of
    which some count as ties and some do not.

    >>> ties = np.zeros((4, 4))
    >>> maximum_entropy(ties, np.arange(4), np.zeros((4, 0)), np.array([0.1, 0.2, 0.3, 0.4])).round(9).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    rest = np.setdiff1d(np.arange(len(S)), support)
    equalities = 1 + rows.shape[1]
    matrix = np.vstack([np.ones(len(support)), rows.T, S[np.ix_(rest, support)]])
    x = p[support] / p[support].sum()
    slack = -(matrix[equalities:] @ x)
    barrier = 0.1 * max(float(slack.min(initial=1.0)), 1e-3)
    prices = np.concatenate([np.zeros(equalities), barrier / slack])
    for _ in range(_LIMIT):
        try:
            x, slack, prices, length, error = _entropy_step(matrix, equalities, barrier, x, slack, prices)
        except np.linalg.LinAlgError:
            return None
        if error < 1e-12 and barrier <= 1e-16:
            result = np.zeros(len(S))
            result[support] = x / x.sum()
            return result
        if length > 0.5:
            barrier = max(0.1 * barrier, 1e-17)
    return None


def _entropy_step(matrix, equalities: int, barrier: float, x, slack, prices):
    """One Newton step on the conditions of optimality; also its length and the error it started from."""
    dual = np.log(x) + prices @ matrix
    primal = matrix @ x
    primal[0] -= 1.0
    primal[equalities:] += slack
    z = prices[equalities:]
    rhs = primal - matrix @ (x * dual)
    rhs[equalities:] += barrier / z - slack
    normal = (matrix * x) @ matrix.T
    diagonal = np.einsum("ii->i", normal)
    diagonal[equalities:] += slack / z
    change = np.linalg.solve(normal, rhs)
    dx = -x * (dual + change @ matrix)
    dslack = -primal[equalities:] - matrix[equalities:] @ dx
    dz = change[equalities:]
    fall = max(_fall(dx, x), _fall(dslack, slack), _fall(dz, z))
    length = min(1.0, 0.95 / max(fall, 1e-300))
    error = max(float(np.abs(dx).max()), float(np.abs(primal).max()))
    return x + length * dx, slack + length * dslack, prices + length * change, length, error


def _fall(change: np.ndarray, value: np.ndarray) -> float:
    """The largest relative decrease."""
    return float(np.max(-change / value, initial=0.0))

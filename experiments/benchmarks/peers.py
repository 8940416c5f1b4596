"""Other programs that find the same equilibria, each imported when it is first used.

`beta > 0`: functions of a table `P` `[A, A]`, `beta` and the duality gap to reach, for a uniform reference, that give
probabilities. `beta = 0`: functions of a skew-symmetric table.
"""

import dataclasses
import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

EGPO_STEP = 1.5
"""Step of the EGPO peers times `beta + 1/2`: half as long again as the proven one, which converges quicker."""
_LIMIT = 200_000


@dataclasses.dataclass(frozen=True)
class Peer:
    """A program to compare with."""

    name: str
    package: str
    solve: Callable[..., np.ndarray]
    largest: int = 10**9
    """No larger tables: it would take minutes or fail."""
    prepare: Callable[[np.ndarray], Any] = np.asarray
    """What it makes of a table before the clock starts."""

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None


class _Reached(Exception):
    """The gap is small enough; carries the policy."""


class _FixedPoint:
    """`F(theta) = theta - P softmax(theta) / beta`, up to a constant, and its Jacobian."""

    def __init__(self, P: np.ndarray, beta: float, tol: float) -> None:
        self.P, self.beta, self.tol = P, beta, tol

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """F, unless the gap `2 beta log sum p exp(-F)` (F centred) is at most `tol`: then the search is over."""
        p = _softmax(theta)
        residual = theta - (self.P @ p) / self.beta
        residual -= p @ residual
        if np.ptp(residual) < 1.0 and 2 * self.beta * math.log(p @ np.exp(-residual)) <= self.tol:
            raise _Reached(theta)
        return residual

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """`I - P C / beta`, C the covariance of the softmax; the centring is left out."""
        p = _softmax(theta)
        jacobian = (np.outer(self.P @ p, p) - self.P * p) / self.beta
        jacobian.ravel()[:: len(p) + 1] += 1.0
        return jacobian


def _softmax(theta: np.ndarray) -> np.ndarray:
    p = np.exp(theta - theta.max())
    return p / p.sum()


def _scipy_root(method: str, continuation: bool) -> Callable[[np.ndarray, float, float], np.ndarray]:
    """SciPy's `root`, stopped as soon as the gap is reached; with `continuation`, beta comes down by factors of 4."""

    def solve(P: np.ndarray, beta: float, tol: float) -> np.ndarray:
        from scipy.optimize import root

        betas = [beta]
        while continuation and betas[0] < 0.1:
            betas.insert(0, min(4 * betas[0], 0.1))
        theta = np.zeros(len(P))
        for b in betas:
            problem = _FixedPoint(P, b, tol if b == beta else 1e-3 * b)
            jac = problem.jacobian if method == "hybr" else None
            options = {"xtol": 1e-14} if method == "hybr" else {"fatol": 1e-14, "maxiter": 500}
            try:
                theta = root(problem.residual, theta, jac=jac, method=method, options=options).x
            except _Reached as reached:
                theta = reached.args[0]
        return _softmax(theta)

    return solve


def newton_numpy(P: np.ndarray, beta: float, tol: float) -> np.ndarray:
    """Newton's method as one would write it in NumPy: LU, steps halved until the residual falls, no continuation."""
    problem = _FixedPoint(P, beta, tol)
    theta = np.zeros(len(P))
    try:
        residual = problem.residual(theta)
        for _ in range(200):
            step = np.linalg.solve(problem.jacobian(theta), -residual)
            step -= step.mean()
            share, size = 1.0, np.ptp(residual)
            while share > 1e-4:
                trial = problem.residual(theta + share * step)
                if np.ptp(trial) <= (1 - 0.1 * share) * size:
                    break
                share /= 2
            theta, residual = theta + share * step, trial
    except _Reached as reached:
        theta = reached.args[0]
    return _softmax(theta)


def egpo_numpy(P: np.ndarray, beta: float, tol: float) -> np.ndarray:
    """Extragradient (Zhou, Fazel, Du 2025) as one would write it in NumPy; the gap is looked at every ten steps."""
    eta = EGPO_STEP / (beta + 0.5)
    theta = np.zeros(len(P))
    for step in range(_LIMIT):
        p = _softmax(theta)
        gains = P @ p
        if step % 10 == 0:
            residual = theta - gains / beta
            residual -= p @ residual
            if np.ptp(residual) < 1.0 and 2 * beta * math.log(p @ np.exp(-residual)) <= tol:
                break
        anchor = (1 - eta * beta) * theta
        half = _softmax(anchor + eta * gains)
        theta = anchor + eta * (P @ half)
        theta -= theta.max()
    return _softmax(theta)


def egpo_torch(P: np.ndarray, beta: float, tol: float) -> np.ndarray:
    """Extragradient as its authors ran it: autograd through the pairwise squared loss, SGD, the half step undone.

    `lr = eta beta n / 4` makes SGD on the loss the mirror step. Restated from the paper's protocol, not their code.
    """
    torch = importlib.import_module("torch")
    n, eta = len(P), EGPO_STEP / (beta + 0.5)
    table = torch.tensor(P)
    theta = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=eta * beta * n / 4)

    def backward():
        with torch.no_grad():
            p = torch.softmax(theta, 0)
            gains = table @ p
            residual = torch.log_softmax(theta, 0) - gains / beta
            residual = residual - p @ residual
            gap = 2 * beta * torch.log(p @ torch.exp(-residual))
        return gains, float(gap)

    def descend(gains):
        optimizer.zero_grad()
        u = torch.log_softmax(theta, 0) - gains / beta
        ((u[:, None] - u[None, :]) ** 2).mean().backward()
        optimizer.step()

    for _ in range(_LIMIT):
        gains, gap = backward()
        if gap <= tol:
            break
        descend(gains)
        stored = theta.grad.clone()
        gains, _ = backward()
        theta.grad.copy_(-stored)
        optimizer.step()
        descend(gains)
    return torch.softmax(theta, 0).detach().numpy()


def gambit_game(P: np.ndarray) -> Any:
    """The table as a Gambit game; building it is not timed."""
    return importlib.import_module("pygambit").Game.from_arrays(P, np.ascontiguousarray(P.T))


def gambit_logit(**options: float) -> Callable[[Any, float, float], np.ndarray]:
    """Gambit's logit equilibrium at `lambda = 1 / beta`: the path from lambda = 0, player 1's part of its end."""

    def solve(game: Any, beta: float, tol: float) -> np.ndarray:
        qre = importlib.import_module("pygambit").qre
        profile = qre.logit_solve_lambda(game, 1.0 / beta, **options)[0].profile
        return np.array([float(profile[strategy]) for strategy in next(iter(game.players)).strategies])

    return solve


def highs(method: str) -> Callable[[np.ndarray], np.ndarray]:
    """SciPy's linear programming: minimise t subject to `S p <= t`, `p >= 0`, `sum p = 1`."""

    def solve(S: np.ndarray) -> np.ndarray:
        from scipy.optimize import linprog

        n = len(S)
        found = linprog(
            np.append(np.zeros(n), 1.0),
            A_ub=np.column_stack([S, -np.ones(n)]),
            b_ub=np.zeros(n),
            A_eq=np.append(np.ones(n), 0.0)[None],
            b_eq=[1.0],
            bounds=[(0.0, None)] * n + [(None, None)],
            method=method,
            options={"time_limit": 120.0, "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        return np.maximum(found.x[:n], 0.0)

    return solve


def nashpy_linear_program(S: np.ndarray) -> np.ndarray:
    """Nashpy's linear program. Its Lemke-Howson did not return from a random table of 5 responses."""
    return np.asarray(importlib.import_module("nashpy").Game(S).linear_program()[0])


def quantecon_minmax(S: np.ndarray) -> np.ndarray:
    """QuantEcon's simplex method for matrix games, compiled by Numba."""
    return importlib.import_module("quantecon.optimize").minmax(S, max_iter=30 * len(S))[1]


def quantecon_lemke_howson(S: np.ndarray) -> np.ndarray:
    """QuantEcon's Lemke-Howson, compiled by Numba."""
    theory = importlib.import_module("quantecon.game_theory")
    players = theory.Player(S), theory.Player(np.ascontiguousarray(-S.T))
    return theory.lemke_howson(theory.NormalFormGame(players), max_iter=10**6)[0]


def openspiel(S: np.ndarray) -> np.ndarray:
    """OpenSpiel's linear program for matrix games."""
    solver = importlib.import_module("open_spiel.python.algorithms.lp_solver")
    pyspiel: Any = importlib.import_module("pyspiel")
    return np.ravel(solver.solve_zero_sum_matrix_game(pyspiel.create_matrix_game(S, -S))[0])


KL_PEERS = (
    Peer("hybr", "scipy", _scipy_root("hybr", continuation=False)),
    Peer("hybr c", "scipy", _scipy_root("hybr", continuation=True)),
    Peer("krylov", "scipy", _scipy_root("krylov", continuation=True)),
    Peer("EG np", "numpy", egpo_numpy),
    Peer("EG pt", "torch", egpo_torch),
    Peer("gambit", "pygambit", gambit_logit(), 100, gambit_game),
    Peer("gambit2", "pygambit", gambit_logit(first_step=1.0, max_accel=1.5), 100, gambit_game),
)
STACKED_PEERS = (
    Peer("hybr", "scipy", _scipy_root("hybr", continuation=False)),
    Peer("hybr c", "scipy", _scipy_root("hybr", continuation=True)),
    Peer("newton", "numpy", newton_numpy),
)
LOTTERY_PEERS = (
    Peer("simplex", "scipy", highs("highs-ds")),
    Peer("interior", "scipy", highs("highs-ipm")),
    Peer("npy LP", "nashpy", nashpy_linear_program, 1000),
    Peer("qe", "quantecon", quantecon_minmax),
    Peer("qe LH", "quantecon", quantecon_lemke_howson, 100),
    Peer("spiel", "cvxpy", openspiel, 300),
)

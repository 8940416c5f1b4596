"""One policy for annotators who disagree: make the worst-off group as well off as can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from nashpo.logspace import kl, log_softmax
from nashpo.oracles.mixture import Mixture
from nashpo.policies.tabular import Tabular
from nashpo.validation import validate, validate_distribution
from nashpo.validation.numbers import is_positive
from nashpo.validation.wording import cell, numeric

_TINY = 1e-12
_STEPS = 300
_WIDEST = 1e150


@dataclasses.dataclass(frozen=True)
class MaxMin:
    """A policy that serves the worst-off group best, and the proof."""

    policy: Tabular
    """NumPy, `[X, A]`."""
    weights: np.ndarray
    """`[G]`: how much each group counts at the optimum; zero for groups that are better off than the worst."""
    value: float
    """What the worst-off group gets, the KL penalty paid: the primal value."""
    group_values: np.ndarray
    """`[G]`: what each group gets, before the KL penalty."""
    gap: float
    """Dual minus primal value, `>= 0` up to rounding: no policy serves the worst-off group better by more."""


def maxmin_rewards(
    rewards: np.ndarray, beta: float, reference: np.ndarray | None = None, prompts: np.ndarray | None = None
) -> MaxMin:
    """MaxMin-RLHF over groups of rewards (Chakraborty et al. 2024, arXiv:2402.08925), by its dual.

        max_pi min_u E_pi[r_u] - beta KL(pi || reference)  =  min_w beta log sum_y reference exp(sum_u w_u r_u / beta)
        pi = reference exp(sum_u w_u r_u / beta) / Z,   w in the simplex

    The dual is convex in as many numbers as there are groups; an interior-point method solves it in float64.
    `rewards` is `[G, A]` or `[G, X, A]`, `reference` probabilities `[A]` or `[X, A]` (uniform if None), `prompts`
    weights `[X]` (equal if None); expectations are over prompts too. `value` pays the KL penalty, `group_values` do
    not. A `beta` below a thousandth of the spread of the rewards can leave a gap that is larger than rounding.

    Raises `ValueError` for rewards that are not finite, or more than 1e150 apart, and for `beta <= 0`.

    >>> answer = maxmin_rewards([[1.0, 0.0, 0.8], [0.0, 1.0, 0.8]], beta=0.01)
    >>> answer.policy.probs().round(3).tolist(), answer.weights.round(3).tolist()
    ([[0.0, 0.0, 1.0]], [0.5, 0.5])
    """
    groups = numeric(rewards, None, "rewards").astype(float)
    groups = groups[:, None] if groups.ndim == 2 else groups
    if groups.ndim != 3 or 0 in groups.shape:
        raise ValueError(f"rewards has shape {np.shape(rewards)}, but must be [groups, (prompts,) responses].")
    wrong = np.argwhere(~np.isfinite(groups))
    if len(wrong):
        raise ValueError(f"{cell(tuple(wrong[0]), 'rewards')} is {groups[tuple(wrong[0])]}: rewards must be finite.")
    spread = float(groups.max() / 2 - groups.min() / 2) * 2
    if spread > _WIDEST:
        raise ValueError(f"rewards are {spread:g} apart, too far for float64: give rewards and beta in a larger unit.")
    if not is_positive(numeric(beta, None, "beta")):
        raise ValueError(f"beta={beta}: the dual needs a positive, finite weight of the KL penalty.")
    beta = float(beta)
    _, contexts, responses = groups.shape
    if reference is None:
        reference = np.full(responses, 1.0 / responses)
    log_reference = np.log(validate_distribution(reference, "reference", (contexts, responses))).astype(float)
    dual = _Dual(groups, beta, log_reference, _prompts(prompts, contexts))
    weights = _interior(dual)
    log_pi = dual.log_policy(weights)
    values, penalty = dual.slope(log_pi), beta * float(dual.prompts @ kl(log_pi, log_reference))
    value = float(values.min()) - penalty
    return MaxMin(Tabular(log_pi, normalised=True), weights, value, values, dual.value(weights) - value)


def maxmin_game(oracle: Mixture | np.ndarray | Sequence[np.ndarray], prompts: np.ndarray | None = None) -> MaxMin:
    """The policy that is preferred most by the group that prefers it least, whatever it meets: a linear program.

        max_pi min_u sum_x prompts_x min_y' P_u(pi(x) beats y' | x)

    The game form of MaxMin-RLHF (arXiv:2402.08925). The value is at most 1/2 (0 for scores): against itself every
    policy gets that much from every group. It is 1/2 exactly where one policy is an equilibrium of all groups at
    once. `oracle` is a `Mixture` (its weights play no part) or tables `[G, A, A]` or `[G, X, A, A]`; `prompts` are
    weights `[X]` (equal if None). Solved by HiGHS in float64.

    Raises `ValueError` for tables that are no preference tables.

    >>> cycle = [[[0.5, 1, 1], [0, 0.5, 1], [0, 0, 0.5]], [[0.5, 0, 0], [1, 0.5, 1], [1, 0, 0.5]]]
    >>> answer = maxmin_game(np.array(cycle))
    >>> answer.value, answer.policy.probs().round(3).tolist()
    (0.25, [[0.5, 0.5, 0.0]])
    """
    tables = _tables(oracle)
    weights = _prompts(prompts, tables.shape[1])
    pi, opponents, groups = _program(tables, weights)
    values = np.einsum("gxab,xa->gxb", tables, pi).min(axis=-1) @ weights
    upper = float(np.einsum("gxab,gxb->xa", tables, opponents).max(axis=-1).sum())
    return MaxMin(Tabular.from_probs(pi), groups, float(values.min()), values, upper - float(values.min()))


@dataclasses.dataclass(frozen=True)
class _Dual:
    """`D(w) = sum_x prompts_x beta log sum_y reference exp(sum_u w_u r_u / beta)` and its derivatives."""

    rewards: np.ndarray
    beta: float
    log_reference: np.ndarray
    prompts: np.ndarray

    def log_policy(self, weights: np.ndarray) -> np.ndarray:
        """The policy of weights, log-probabilities `[X, A]`."""
        return np.asarray(log_softmax(self.log_reference + np.tensordot(weights, self.rewards, 1) / self.beta))

    def value(self, weights: np.ndarray) -> float:
        """`D(w)`."""
        tilted = self.log_reference + np.tensordot(weights, self.rewards, 1) / self.beta
        peak = tilted.max(axis=-1)
        return float(self.beta * self.prompts @ (peak + np.log(np.exp(tilted - peak[:, None]).sum(axis=-1))))

    def slope(self, log_pi: np.ndarray) -> np.ndarray:
        """`dD/dw_u = E_pi[r_u]`, `[G]`."""
        return np.einsum("gxa,xa,x->g", self.rewards, np.exp(log_pi), self.prompts)

    def curvature(self, log_pi: np.ndarray) -> np.ndarray:
        """`d^2 D / dw^2 = Cov_pi(r) / beta`, `[G, G]`."""
        pi = np.exp(log_pi)
        centred = self.rewards - np.einsum("gxa,xa->gx", self.rewards, pi)[..., None]
        return np.einsum("gxa,hxa,xa,x->gh", centred, centred, pi, self.prompts) / self.beta


class _Iterate(NamedTuple):
    """A point of the interior-point method; `w` and `slack` `[G]` are positive."""

    w: np.ndarray
    slack: np.ndarray
    floor: float

    def moved(self, step: tuple[np.ndarray, np.ndarray, float], length: float) -> _Iterate:
        """The point `length` of the way along a step."""
        return _Iterate(self.w + length * step[0], self.slack + length * step[1], self.floor + length * step[2])


def _interior(dual: _Dual) -> np.ndarray:
    """The weights `[G]` that minimise the dual over the simplex: a primal-dual interior-point method.

    Solves `dD/dw = floor + slack`, `sum w = 1`, `w slack = mu` for a `mu` that shrinks to nothing, after a larger
    KL weight has shrunk to that of `dual` along with `mu`.
    """
    size = len(dual.rewards)
    scale = float(np.ptp(dual.rewards)) or 1.0
    w = np.full(size, 1.0 / size)
    floor = float(dual.slope(dual.log_policy(w)).min()) - scale
    point, beta, mu = _Iterate(w, np.full(size, scale), floor), max(dual.beta, scale), scale / size
    for _ in range(_STEPS):
        error = np.linalg.norm(_residual(dataclasses.replace(dual, beta=beta), point, mu, scale))
        if error < 0.1 * mu or mu <= _TINY * scale:
            if beta <= dual.beta and mu <= _TINY * scale:
                break
            mu = 0.2 * mu if beta <= dual.beta else 0.5 * mu
            beta = max(dual.beta, 0.5 * beta)
        point = _newton(dataclasses.replace(dual, beta=beta), point, mu, scale)
    return _polished(dual, point.w / point.w.sum(), point.w > 1e-6 * point.slack / scale, scale)


def _polished(dual: _Dual, weights: np.ndarray, used: np.ndarray, scale: float) -> np.ndarray:
    """The weights with the unused ones exactly zero, unless that serves the worst-off group worse."""
    w = np.where(used, weights, 0.0)
    w, count = w / w.sum(), int(used.sum())
    for _ in range(4):
        log_pi = dual.log_policy(w)
        curvature = dual.curvature(log_pi)[np.ix_(used, used)]
        system = np.block([[curvature, -np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
        w[used] += np.linalg.lstsq(system, np.append(-dual.slope(log_pi)[used], 0.0), rcond=None)[0][:count]
        w /= w.sum()
    better = w.min() >= 0 and _slackness(dual, w) <= max(_slackness(dual, weights), _TINY * scale)
    return w if better else weights


def _slackness(dual: _Dual, weights: np.ndarray) -> float:
    """`sum_u w_u v_u - min_u v_u`, the duality gap of weights."""
    values = dual.slope(dual.log_policy(weights))
    return float(weights @ (values - values.min()))


def _residual(dual: _Dual, point: _Iterate, mu: float, scale: float) -> np.ndarray:
    """How far a point is from the central path, `[2 G + 1]`."""
    w, slack, floor = point
    slope = dual.slope(dual.log_policy(w))
    return np.concatenate([slope - floor - slack, w * slack - mu, [(w.sum() - 1) * scale]])


def _newton(dual: _Dual, point: _Iterate, mu: float, scale: float) -> _Iterate:
    """One Newton step towards the central path, shortened until it stays inside and comes closer."""
    w, slack, _ = point
    size = len(w)
    error = _residual(dual, point, mu, scale)
    curvature = dual.curvature(dual.log_policy(w)) + np.diag(slack / w)
    system = np.block([[curvature, -np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
    solved = np.linalg.solve(system, np.append(-error[:size] - error[size : 2 * size] / w, 1 - w.sum()))
    dw = solved[:size]
    step = (dw, -(error[size : 2 * size] + slack * dw) / w, float(solved[size]))
    length = min(1.0, 0.99 / max(np.max(-step[0] / w), np.max(-step[1] / slack), 0.99))
    before = np.linalg.norm(error)
    while length > 1e-9 and before * (1 - 1e-3 * length) < np.linalg.norm(
        _residual(dual, point.moved(step, length), mu, scale)
    ):
        length /= 2
    return point.moved(step, length)


def _program(tables: np.ndarray, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The policy `[X, A]`, the opponents `[G, X, A]` (summing to `w_u prompts_x`) and the weights `[G]` of the game.

    Variables: `pi [X, A]`, `worst [G, X]` (a group's lowest payoff at a prompt), `value`.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    groups, contexts, responses, _ = tables.shape
    met = sparse.vstack([sparse.block_diag([-P.T for P in group]) for group in tables])
    lowest = sparse.kron(sparse.eye_array(groups * contexts), np.ones((responses, 1)))
    means = -sparse.kron(sparse.eye_array(groups), prompts.reshape(1, -1))
    limits = sparse.csr_array(sparse.block_array([[met, lowest, None], [None, means, np.ones((groups, 1))]]))
    totals = sparse.kron(sparse.eye_array(contexts), np.ones((1, responses)))
    free, rows = groups * contexts + 1, groups * contexts * responses + groups
    found = linprog(
        np.append(np.zeros(contexts * responses + groups * contexts), -1.0),
        limits,
        np.zeros(rows),
        sparse.csr_array(sparse.hstack([totals, sparse.csr_array((contexts, free))])),
        np.ones(contexts),
        [(0, None)] * (contexts * responses) + [(None, None)] * free,
        method="highs-ds",
    )
    if not found.success:
        raise ValueError(f"HiGHS failed on the linear program of {groups} groups: {found.message}")
    policy = _proportions(found.x[: contexts * responses].reshape(contexts, responses))
    weights = _proportions(-found.ineqlin.marginals[-groups:])
    faced = _proportions(-found.ineqlin.marginals[:-groups].reshape(groups, contexts, responses))
    return policy, faced * weights[:, None, None] * prompts[:, None], weights


def _proportions(amounts: np.ndarray) -> np.ndarray:
    """Non-negative amounts as shares along the last axis, equal shares of nothing."""
    amounts = np.maximum(amounts, 0.0)
    total = amounts.sum(axis=-1, keepdims=True)
    return np.divide(amounts, total, out=np.full_like(amounts, 1.0 / amounts.shape[-1]), where=total > 0)


def _tables(oracle: Mixture | np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """The groups' tables, `[G, X, A, A]` in float64."""
    if isinstance(oracle, Mixture):
        tables = [np.asarray(group.table()) for group in oracle.annotators]
    elif isinstance(oracle, Iterable):
        tables = [validate(table) for table in oracle]
    else:
        raise ValueError(
            f"maxmin_game takes a Mixture or the tables of several groups, not a {type(oracle).__name__}: for a game "
            "of a Mixture give game.oracle."
        )
    shapes = {table.shape for table in tables}
    if len(shapes) != 1:
        raise ValueError(f"the groups' tables have shapes {sorted(shapes)}: give at least one, all of the same shape.")
    stacked = np.stack(tables).astype(float)
    return stacked[:, None] if stacked.ndim == 3 else stacked


def _prompts(prompts: np.ndarray | None, contexts: int) -> np.ndarray:
    """Checked prompt weights `[X]`."""
    if prompts is None:
        return np.full(contexts, 1.0 / contexts)
    return validate_distribution(prompts, "prompts", (contexts,), allow_zero=True).astype(float)

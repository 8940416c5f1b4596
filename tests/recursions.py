"""Plain NumPy recursions of the mirror family, written apart from the library to check it; no tests here.

Tables are `[X, A, A]`, log-policies `[X, A]`; one row per game, so that a test runs many games at once.
"""

import numpy as np
from scipy.special import logsumexp

import nashpo
from nashpo.policies import Tabular


def normalise(log):
    return log - logsumexp(log, axis=-1, keepdims=True)


def win_rates(P, log):
    return np.einsum("xij,xj->xi", P, np.exp(log))


def kl(log_p, log_q):
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def mirror(log, log_ref, gains, eta, beta):
    """One step `(1 - eta beta) log pi + eta beta log ref + eta gains`."""
    return normalise((1 - eta * beta) * log + eta * beta * log_ref + eta * gains)


def omd(P, log, log_ref, eta, beta):
    return mirror(log, log_ref, win_rates(P, log), eta, beta)


def egpo(P, log, log_ref, eta, beta):
    return mirror(log, log_ref, win_rates(P, omd(P, log, log_ref, eta, beta)), eta, beta)


def textbook_extragradient(P, log, log_ref, eta, beta):
    """The whole gradient at the half point, log-ratio included: not EGPO."""
    half = omd(P, log, log_ref, eta, beta)
    return normalise(log - eta * beta * (half - log_ref) + eta * win_rates(P, half))


def nash_md(P, log, log_ref, eta, beta, mix):
    opponent = normalise((1 - mix) * log + mix * log_ref)
    return mirror(log, log_ref, win_rates(P, opponent), eta, beta)


def iterate(step, start, steps):
    """`[T + 1, X, A]`: the start and every iterate."""
    path = [start]
    for _ in range(steps):
        path.append(step(path[-1]))
    return np.array(path)


def best_response(P, log, log_ref, beta):
    return normalise(log_ref + win_rates(P, log) / beta)


def gap(P, log, log_ref, beta):
    """The duality gap as a difference of values, `2 (beta log Z + beta KL(pi || ref) - 1/2)`; `[X]`."""
    if beta == 0:
        return 2 * np.max(win_rates(P, log), axis=-1) - 1
    best = beta * logsumexp(log_ref + win_rates(P, log) / beta, axis=-1)
    return 2 * (best + beta * kl(log, log_ref) - 0.5)


def equilibrium(P, log_ref, beta):
    """Log of the KL-regularised equilibria `[X, A]`: EGPO far enough, then Newton on the fixed point."""
    log = log_ref
    eta = 1 / (beta + 0.5)
    for _ in range(int(np.ceil(40 / (eta * beta)))):
        log = egpo(P, log, log_ref, eta, beta)
    for x, table in enumerate(P):
        for _ in range(3):
            p = np.exp(log[x])
            residual = best_response(table[None], log[x][None], log_ref[x][None], beta)[0] - log[x]
            sensitivity = table * p / beta
            jacobian = np.eye(len(p)) - sensitivity + np.exp(log[x] + residual) @ sensitivity
            log[x] = normalise(log[x] + np.linalg.solve(jacobian, residual))
    assert np.max(np.abs(best_response(P, log, log_ref, beta) - log)) < 1e-9 / beta
    return log


def random_tables(rng, count, actions):
    """Uniform, 0/1, Bradley-Terry with noise, in turn: `[count, A, A]`."""
    tables = []
    for index in range(count):
        draw = rng.uniform(size=(actions, actions))
        if index % 3 == 1:
            draw = np.round(draw)
        if index % 3 == 2:
            reward = rng.normal(size=actions)
            draw = np.clip(1 / (1 + np.exp(reward - reward[:, None])) + 0.3 * (draw - 0.5), 0, 1)
        upper = np.triu(draw, 1)
        tables.append(upper + np.tril(1 - upper.T, -1) + 0.5 * np.eye(actions))
    return np.array(tables)


def random_games(seed, count=12, actions=6):
    """Tables and log-references, every second reference far from uniform."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, actions)) * (np.arange(count) % 2)[:, None] * 1.5
    return random_tables(rng, count, actions), normalise(logits)


ROCK_PAPER_SCISSORS = np.array([[[0.5, 0.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]]])


def log_probs(game, policy):
    return policy.log_probs()


def path(P, log_ref, beta, rule, steps, start=None, learner=None):
    """`[T + 1, X, A]` log-policies of the library's run, from the same arguments as the recursions."""
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    begin = log_ref if start is None else start
    metric = {"log": nashpo.metrics.Last(log_probs)}
    result = nashpo.solve(game, rule, steps=steps, start=Tabular(begin), metrics=metric, learner=learner).check()
    return np.concatenate([begin[None], result.trace["log"]])

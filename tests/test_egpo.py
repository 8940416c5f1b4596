"""EGPO: the paper's iterates, the proven rates, how many steps real tables take, and where it fails."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TABLES
from recursions import (
    ROCK_PAPER_SCISSORS,
    egpo,
    equilibrium,
    gap,
    iterate,
    kl,
    log_probs,
    normalise,
    omd,
    path,
    random_games,
    textbook_extragradient,
)

import nashpo
from nashpo.logspace import kl as precise_kl
from nashpo.oracles import Table
from nashpo.policies import Tabular
from nashpo.solvers import EGPO, INPO, OnlineIPO
from nashpo.stage import StepSizeWarning
from nashpo.struct import record

BETAS = (0.01, 0.1, 1.0)
STEPS = 60


def adversarial_starts(log_ref, seed):
    return normalise(4.0 * np.random.default_rng(seed).normal(size=log_ref.shape))


@pytest.mark.parametrize("beta", BETAS)
def test_iterates_are_those_of_the_paper(beta):
    P, log_ref = random_games(0)
    eta = 1 / (beta + 0.5)
    expected = iterate(lambda log: egpo(P, log, log_ref, eta, beta), log_ref, STEPS)
    np.testing.assert_allclose(path(P, log_ref, beta, EGPO(eta), STEPS), expected, atol=1e-11)


def test_textbook_extragradient_is_another_algorithm():
    P, log_ref = random_games(0)
    ours = path(P, log_ref, 0.1, EGPO(1.0), STEPS)
    textbook = iterate(lambda log: textbook_extragradient(P, log, log_ref, 1.0, 0.1), log_ref, STEPS)
    apart = np.max(np.abs(ours - textbook), axis=(0, 2))
    assert np.all(apart[::2] > 1e-3), apart


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", range(3))
def test_every_step_shrinks_the_divergence_by_the_proven_factor(seed, beta):
    P, log_ref = random_games(seed)
    log_star = equilibrium(P, log_ref, beta)
    start = log_ref if seed == 0 else adversarial_starts(log_ref, seed)
    for share in (0.3, 1.0):
        eta = share / (beta + 0.5)
        distance = precise_kl(log_star, path(P, log_ref, beta, EGPO(eta), STEPS, start=start))
        resolved = distance[:-1] > 1e-24
        assert np.all((distance[1:] <= (1 - eta * beta) * distance[:-1] * (1 + 1e-9))[resolved])


@pytest.mark.parametrize("beta", BETAS)
def test_gap_at_the_half_point_is_bounded(beta):
    P, log_ref = random_games(7)
    eta = 1 / (beta + 0.5)
    first = kl(equilibrium(P, log_ref, beta), log_ref)
    for t, log in enumerate(path(P, log_ref, beta, EGPO(eta), STEPS)[:-1]):
        bound = (2 * beta + 1 / (2 * beta)) * (1 - eta * beta) ** (t + 1) / (eta * beta) * first
        assert np.all(gap(P, omd(P, log, log_ref, eta, beta), log_ref, beta) <= bound + 1e-12)


@pytest.mark.parametrize(("beta", "before", "early", "late"), [(0.01, 300, 0, 60), (0.1, 40, 0, 30), (1.0, 0, 5, 11)])
def test_close_to_equilibrium_the_factor_is_the_square(beta, before, early, late):
    """An even number of responses leaves one direction in which the game does not turn; it is the slowest."""
    rng = np.random.default_rng(11)
    lower = np.tril(rng.uniform(size=(12, 6, 6)), -1)
    P = lower + np.triu(1 - np.swapaxes(lower, 1, 2), 1) + 0.5 * np.eye(6)
    log_ref = normalise(rng.normal(size=(12, 6)))
    eta = 1 / (beta + 0.5)
    start = iterate(lambda log: egpo(P, log, log_ref, eta, beta), log_ref, before)[-1]
    iterates = path(P, log_ref, beta, EGPO(eta), STEPS, start=start)
    log_star = equilibrium(P, log_ref, beta)
    ratio = precise_kl(log_star, iterates[late]) / precise_kl(log_star, iterates[early])
    np.testing.assert_allclose(ratio ** (1 / (late - early)), (1 - eta * beta) ** 2, rtol=0.04)


# Steps to a gap of 1e-12 from the uniform reference, at eta = 1 / (beta + 2) and beta = 1, 0.1, 0.01.
COUNTS = {
    "agent_arena_llms": (28, 244, 2480),
    "mujoco_soccer": (28, 249, 2347),
    "pokemon_types": (26, 231, 2338),
    "f1_2007": (31, 264, 2268),
    "atari_agents": (31, 267, 2118),
}


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_take_as_many_steps_as_the_law_says(data, name):
    """From the gap of the start, a factor `(1 - eta beta)^2` a step."""
    solution = json.loads((data / "solutions" / f"{name}.solutions.json").read_text())
    for beta, count in zip((1.0, 0.1, 0.01), COUNTS[name], strict=True):
        game = nashpo.load_table(data / f"{name}.csv", beta=beta)
        eta = 1 / (beta + 2)
        result = nashpo.solve(game, EGPO(eta), steps=3000, tol=1e-12).check()
        assert abs(result.steps - count) <= 1
        law = np.log(float(nashpo.duality_gap(game, game.reference)) / 1e-12) / (-2 * np.log(1 - eta * beta))
        assert 0.75 * law < result.steps < law + 2
        exact = np.array(solution["kl_equilibrium"][str(beta)]["pi"])
        assert kl(np.log(exact), result.policy.log_probs()[0]) < 1e-12 / (2 * beta) * 10


@pytest.mark.parametrize("rule", [EGPO, INPO, OnlineIPO])
@pytest.mark.parametrize("beta", BETAS)
def test_equilibrium_does_not_move(beta, rule):
    """The exact answer of Newton's method, handed to the solver."""
    P, log_ref = random_games(5)
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    log_star = nashpo.equilibrium(game).log_probs()
    eta = min(4 * beta / (1 + 4 * beta**2), 1 / (beta + 0.5))
    iterates = path(P, log_ref, beta, rule(eta), STEPS, start=log_star)
    np.testing.assert_allclose(iterates, np.broadcast_to(log_star, iterates.shape), atol=1e-12 / beta)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_proven_factor_over_many_games_and_what_twice_the_step_does(seed):
    beta, every = 0.01, 500
    P, log_ref = random_games(20 + seed, count=60, actions=10)
    log_star = equilibrium(P, log_ref, beta)
    for start in (log_ref, adversarial_starts(log_ref, seed)):
        eta = 1 / (beta + 0.5)
        distance = precise_kl(log_star, path(P, log_ref, beta, EGPO(eta), every, start=start))
        assert np.all((distance[1:] <= (1 - eta * beta) * distance[:-1] * (1 + 1e-9))[distance[:-1] > 1e-24])
    with pytest.warns(StepSizeWarning, match="proven up to"):
        distance = precise_kl(log_star, path(P, log_ref, beta, EGPO(2 * eta), every, start=start))
    worst = np.max((distance[1:] / distance[:-1])[distance[:-1] > 1e-10])
    assert worst > 1.0, "no contraction at twice the limit"


def test_rock_paper_scissors_converges_where_mirror_descent_cycles():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, beta=0.01, reference=[0.5, 0.3, 0.2])
    converged = nashpo.solve(game, EGPO(1.0), steps=3000, every=3000)
    assert converged.trace["duality_gap"][-1] < 1e-12
    with pytest.warns(StepSizeWarning, match="proven up to"):
        cycling = nashpo.solve(game, INPO(1.0), steps=3000, every=3000)
    assert cycling.trace["duality_gap"][-1] > 0.1


def test_a_step_of_four_over_beta_plus_half_fails_on_some_games():
    rng = np.random.default_rng(0)
    upper = np.triu(rng.integers(0, 2, size=(60, 6, 6)), 1)
    P = upper + np.tril(1 - np.swapaxes(upper, 1, 2), -1) + 0.5 * np.eye(6)
    log_ref = normalise(rng.normal(size=(60, 6)))
    beta, every = 0.01, 4000
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    gaps = {}
    for share in (1.0, 4.0):
        rule = EGPO(share / (beta + 0.5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StepSizeWarning)
            gaps[share] = gap(P, nashpo.solve(game, rule, steps=every, every=every).policy.log_probs(), log_ref, beta)
    assert np.all(gaps[1.0] < 1e-12)
    assert np.sum(gaps[4.0] > 1e-3) >= 5


@record
class Jitter:
    """A table whose win rates carry independent uniform errors in [-width, width]."""

    table: Table
    width: float

    @property
    def scale(self):
        return self.table.scale

    @property
    def shape(self):
        return self.table.shape

    def win_rates(self, opponent, key=None):
        exact = self.table.win_rates(opponent)
        if key is None:
            return exact
        return exact + jax.random.uniform(key, exact.shape, exact.dtype, -self.width, self.width)


@pytest.mark.parametrize("eta", (0.2, 1.0, 1.6))
def test_noise_adds_at_most_the_proven_amount_a_step(eta):
    """Many copies of one game as prompts, all at the equilibrium; their mean stands for the expectation."""
    copies, beta, width = 500, 0.1, 0.2
    P, log_ref = random_games(2, count=1)
    tables = np.broadcast_to(P, (copies, *P.shape[1:]))
    game = nashpo.Game.from_oracle(Jitter(Table(jnp.asarray(tables)), width), beta=beta, reference=np.exp(log_ref[0]))
    log_star = equilibrium(P, log_ref, beta)
    start = Tabular(np.tile(log_star, (copies, 1)))
    iterates = nashpo.solve(game, EGPO(eta), steps=STEPS, start=start, metrics=[log_probs], key=1).trace["log_probs"]
    distance = np.concatenate([np.zeros((1, copies)), kl(log_star, iterates)])
    draws = np.random.default_rng(0).uniform(-width, width, size=(2, 100_000, P.shape[-1]))
    error = np.mean(np.max(np.abs(draws[0] - draws[1]), axis=-1) ** 2)
    added = eta**2 * error / (2 * (1 - eta / 2))
    change = distance[1:] - (1 - eta * beta) * distance[:-1]
    slack = 5 * change.std(axis=1) / np.sqrt(copies)
    assert np.all(change.mean(axis=1) <= added + slack)
    assert 0 < distance[-10:].mean() < added / (eta * beta) / 10

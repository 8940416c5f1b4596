"""Every oracle keeps the laws that `nashpo.testing` exports, and a few sharper ones of our own."""

import numpy as np
import pytest

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Mixture, Noisy, Table
from nashpo.oracles.base import logistic
from nashpo.testing import check_oracle

X, A = 2, 5
_numbers = np.random.default_rng(7)
EMBEDDINGS = _numbers.standard_normal((X, A, 4))
REWARDS = _numbers.standard_normal((X, A))
SCORES = EMBEDDINGS[..., 0][:, :, None] * REWARDS[:, None, :]
SCORES = SCORES - SCORES.swapaxes(1, 2)
ZERO_ONE = np.triu(np.ones((X, A, A)), 1) + 0.5 * np.eye(A)
EMBEDDED = {scale: GeneralPreference(EMBEDDINGS, scale, 0.7) for scale in ("score", "probability")}
REWARDED = {scale: BradleyTerry(REWARDS, scale) for scale in ("score", "probability")}
ORACLES = {
    "table": Table(logistic(SCORES)),
    "zero-one table": Table(ZERO_ONE),
    "score table": Table(SCORES, "score"),
    "rewards": REWARDED["probability"],
    "score rewards": REWARDED["score"],
    "embeddings": EMBEDDED["probability"],
    "score embeddings": EMBEDDED["score"],
    "mixture": Mixture.of([EMBEDDED["probability"], REWARDED["probability"], Table(ZERO_ONE)], [0.5, 0.3, 0.2]),
    "score mixture": Mixture.of([EMBEDDED["score"], REWARDED["score"]]),
    "noisy": Noisy(Table(logistic(SCORES)), votes=3, flip=0.2),
    "biased": Noisy(Table(logistic(SCORES)), votes=3, flip=0.2, corrected=False),
}
every = pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)


@pytest.fixture
def opponent(rng):
    return rng.dirichlet(np.ones(A), size=X)


@every
def test_every_law_holds(oracle):
    check_oracle(oracle, noisy=isinstance(oracle, Noisy), draws=1000)


@every
def test_the_payoff_is_constant_sum_to_the_last_bit(oracle):
    table = oracle.table()
    assert table.shape == (*oracle.shape, A)
    np.testing.assert_allclose(table + table.swapaxes(1, 2), 2 * oracle.value, atol=4e-16)


@every
def test_win_rates_stay_in_numpy_and_are_the_table_times_the_opponent(oracle, opponent):
    rates = oracle.win_rates(opponent)
    assert isinstance(rates, np.ndarray)
    np.testing.assert_allclose(rates, np.einsum("xij,xj->xi", oracle.table(), opponent), atol=1e-14)


@every
def test_the_bound_is_not_far(oracle):
    largest = np.abs(oracle.table() - oracle.value).max()
    assert oracle.bound() <= 2 * largest


@every
def test_a_game_says_what_its_payoffs_are(oracle):
    game = nashpo.Game.from_oracle(oracle, beta=0.1)
    words = {"probability": "win probabilities", "score": "scores (log-odds)"}
    assert words[oracle.scale] in repr(game)
    assert oracle.value == {"probability": 0.5, "score": 0.0}[oracle.scale]


@pytest.mark.parametrize("name", ["embeddings", "score embeddings", "mixture"])
def test_a_solver_reaches_the_equilibrium_of_the_table(name):
    oracle = ORACLES[name]
    game = nashpo.Game.from_oracle(oracle, beta=0.5)
    eta = 1 / (0.5 + nashpo.metrics.payoff_bound(game))
    result = nashpo.solve(game, nashpo.solvers.EGPO(eta=eta), steps=300, every=300)
    written_out = nashpo.Game.from_table(oracle.table(), beta=0.5, scale=oracle.scale)
    assert nashpo.duality_gap(written_out, np.asarray(result.policy.probs())) < 1e-12

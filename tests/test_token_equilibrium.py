"""The proof: from samples alone, token policies reach the exact equilibrium of a game whose answers can be listed."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import nashpo
from nashpo.learners import Batch, Extrapolate, Fresh, Sampled
from nashpo.learners.losses import PairLabel, SoftLogistic
from nashpo.policies import Token, Transformer
from nashpo.solvers import APO, DNO, EGPO, INPO, MNPO, SPO, NashMD
from nashpo.stage import Harmonic
from nashpo_games import token_length_bias, token_majority

STEPS, UPDATES, RESPONSES, SEEDS = 100, 16, 64, 3
DISTANCE, GAP = 0.03, 1.5e-3
"""Total variation and duality gap that sampling noise may leave: each gain is a mean of 64 votes with a standard
error of up to 1/16, over which eta and the last quarter of a cosine schedule average. Seen in three runs of each rule:
at most 0.02 and 1e-3."""


def start(answers, seed):
    decoder = Transformer(answers, features=2, width=16, heads=2, layers=1, rngs=nnx.Rngs(seed))
    return Token.from_module(decoder, np.eye(2, dtype=np.float32), answers)


def sampled(stages=1, **settings):
    rate = optax.cosine_decay_schedule(3e-3, STEPS * UPDATES * stages)
    usual = {"learning_rate": rate, "responses": RESPONSES, "gains": Fresh(RESPONSES), "updates": UPDATES}
    return Sampled(**{**usual, **settings})


def runs(game, rule, learner, steps=STEPS):
    starts = [start(game.oracle.answers, seed) for seed in range(SEEDS)]
    return nashpo.sweep(game, rule, learner=learner, starts=starts, seeds=SEEDS, steps=steps, every=steps)


def distances(found, game):
    """Total variation `[seeds, prompts]` of the answers from the exact equilibrium."""
    policies = found.data["policy"].values.reshape(SEEDS, *game.shape)
    return 0.5 * np.abs(policies - nashpo.equilibrium(game).policy.probs()).sum(-1)


PENALISED = {
    "EGPO": (EGPO(1.0), sampled()),
    "INPO": (INPO(1.0), sampled(loss=PairLabel())),
    "INPO, gains": (INPO(1.0), sampled()),
    "MNPO": (MNPO(1.0, history=(0.4, 0.3, 0.3)), sampled()),
    "Nash-MD": (NashMD(Harmonic()), sampled()),
    "DNO": (DNO(1.0, "current"), sampled(loss=SoftLogistic())),
    "APO": (APO(0.7, 0.3, base=INPO), sampled()),
    "APO, parameters": (APO(0.7, 0.3, base=INPO), Extrapolate(sampled())),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PENALISED)
def test_samples_alone_reach_the_exact_equilibrium(name):
    rule, learner = PENALISED[name]
    game = token_majority(length=2, prompts=2, gain=3.0, brevity=1.0, beta=0.2)
    found = runs(game, rule, learner)
    first = [nashpo.duality_gap(game, start(game.oracle.answers, seed)) for seed in range(SEEDS)]
    assert min(first) > 20 * GAP
    assert found.data["final_gap"].values.max() < GAP
    assert distances(found, game).max() < DISTANCE


@pytest.mark.slow
def test_the_average_of_self_play_reaches_the_minimax_winner():
    """Self-play has no pull back, so that errors of a fit last: the average may be 0.01 worse than the exact one.

    Over six seeds it is worse by 0.0066 with a deviation of 0.0012 from 64 votes and answers, 0.0058 and 0.0009 from
    128. Which answers are drawn depends on rounding, hence on the compiler: the bound has to hold for other draws too.
    """
    game = token_length_bias(length=2, prompts=2)
    equilibrium = nashpo.equilibrium(game)
    assert equilibrium.unique
    steps, eta = 1000, 0.2
    found = runs(game, SPO(eta), Sampled(1e-2, responses=128, gains=Fresh(128), updates=16), steps)
    exact = nashpo.solve(game, SPO(eta), steps=steps, every=steps).trace["duality_gap"][-1]
    first = [nashpo.duality_gap(game, start(game.oracle.answers, seed)) for seed in range(SEEDS)]
    gaps = found.data["final_gap"].values
    assert gaps.max() < exact + 0.01 < 0.2 * min(first)
    assert distances(found, game).max() < 0.08


@pytest.mark.slow
def test_the_win_rate_in_the_batch_is_enough_for_self_play():
    game = token_majority(length=2, prompts=2, gain=3.0, brevity=1.0, beta=0.2)
    learner = sampled(gains=Batch(own=True))
    found = runs(game, INPO(1.0), learner)
    assert found.data["final_gap"].values.max() < GAP
    assert distances(found, game).max() < DISTANCE


def test_a_token_run_is_reproducible_by_its_key():
    game = token_majority(length=2, prompts=2, beta=0.2)
    learner = Sampled(1e-3, responses=4)
    policy = start(game.oracle.answers, 0)
    first, again, other = (
        nashpo.solve(game, INPO(0.5), learner=learner, start=policy, steps=5, key=k) for k in (1, 1, 2)
    )
    for left, right in zip(jax.tree.leaves(first.policy), jax.tree.leaves(again.policy), strict=True):
        np.testing.assert_array_equal(left, right)
    assert np.any(np.asarray(first.policy.probs()) != np.asarray(other.policy.probs()))

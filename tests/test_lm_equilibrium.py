"""The proof: language models, from samples alone, reach the exact equilibrium of a game whose answers can be listed."""

import numpy as np
import optax
import pytest
from lm_worlds import SMALL, listed_probs, world

import nashpo
from nashpo.learners import Batch, Fresh
from nashpo.learners.losses import PairLabel, PolicyGradient, SoftLogistic
from nashpo.lm.learner import Generated
from nashpo.lm.training import train
from nashpo.policies import Tabular
from nashpo.solvers import APO, DNO, EGPO, INPO, MNPO, SPO, NashMD
from nashpo.stage import Harmonic
from nashpo_games import token_length_bias, token_majority

STEPS, UPDATES, RESPONSES = 60, 16, 128
DISTANCE, GAP = 0.02, 1e-3
"""Total variation and duality gap that sampling noise may leave: a gain is a mean of 128 votes, with a standard error
of up to 1/23, over which eta and the end of a cosine schedule average."""


def learner(rate=3e-3, steps=STEPS, **settings):
    schedule = optax.cosine_decay_schedule(rate, steps * UPDATES)
    usual = {"responses": RESPONSES, "gains": Fresh(RESPONSES), "updates": UPDATES, "prompts": 2}
    return Generated(schedule, **{"optimizer": optax.adam, **usual, **settings})


def measured(found, listed, table):
    """The exact gap, and the total variation from the exact equilibrium, of a policy."""
    probs = listed_probs(found, table.oracle.answers)
    np.testing.assert_allclose(probs.sum(-1), 1.0, atol=1e-5)
    policy = Tabular.from_probs(probs / probs.sum(-1, keepdims=True))
    distance = 0.5 * np.abs(policy.probs() - nashpo.equilibrium(listed).policy.probs()).sum(-1).max()
    return float(nashpo.duality_gap(listed, policy)), float(distance)


PENALISED = {
    "EGPO": (EGPO(1.0), {}),
    "INPO": (INPO(1.0), {"loss": PairLabel()}),
    "INPO, gains": (INPO(1.0), {"gains": Batch()}),
    "MNPO": (MNPO(1.0, history=(0.4, 0.3, 0.3)), {}),
    "Nash-MD": (NashMD(Harmonic()), {}),
    "DNO": (DNO(1.0, "current"), {"loss": SoftLogistic()}),
    "APO": (APO(0.7, 0.3, base=INPO), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PENALISED)
def test_samples_alone_reach_the_exact_equilibrium(name, seed):
    """With all weights trained in the first run and an adapter in the others."""
    rule, settings = PENALISED[name]
    table = token_majority(length=2, prompts=2, gain=3.0, brevity=1.0, beta=0.2)
    game, start, listed = world(table, SMALL if seed else None)
    assert measured(start, listed, table)[0] > 20 * GAP
    run = train(game, rule, learner=learner(1e-2, **settings), steps=STEPS, start=start, key=seed)
    gap, distance = measured(run.policy, listed, table)
    assert gap < GAP
    assert distance < DISTANCE


@pytest.mark.slow
def test_the_average_of_self_play_reaches_the_minimax_winner():
    """Self-play has no pull back, so that errors of a fit last: the average may be 0.01 worse than the exact one.

    After 500 steps that one is still a gap of 0.03 away from where the reference is almost never. Total variation is
    measured between answers that win and answers that lose. How the nine that win share their part is hardly worth
    anything: a linear program finds policies of that gap at a distance of up to 0.59, and at the same gap runs ended at
    0.08 to 0.27, by the draws, which rounding decides.
    """
    table = token_length_bias(length=2, prompts=2)
    answers = table.oracle.answers
    game, start, listed = world(table, SMALL)
    steps, eta = 500, 0.8
    fit = Generated(1e-2, gains=Batch(), responses=256, updates=UPDATES, prompts=2, pool=64, optimizer=optax.adam)
    run = train(game, SPO(eta), learner=fit, steps=steps, start=start, key=1)
    exact = nashpo.solve(listed, SPO(eta), steps=steps, every=steps)
    gap, least = measured(run.policy, listed, table)[0], exact.trace["duality_gap"][-1]
    assert gap < least + 0.01 < 0.2 * measured(start, listed, table)[0]
    losing = nashpo.equilibrium(listed).probs() < 1e-9
    lost, expected, first = (
        np.sum(probs * losing, -1)
        for probs in (listed_probs(run.policy, answers), exact.policy.probs(), listed_probs(start, answers))
    )
    assert np.max(lost) < np.max(expected) + 0.03 < 0.2 * np.min(first)


@pytest.mark.slow
def test_policy_gradients_of_whole_answers_reach_the_equilibrium():
    """Nash-MD's step along the policy gradient, whose penalty is the gradient of the KL divergence of whole answers."""
    table = token_majority(length=2, prompts=2, gain=3.0, brevity=1.0, beta=0.2)
    game, start, listed = world(table, SMALL)
    fit = Generated(3e-3, loss=PolicyGradient(), gains=Fresh(64), responses=256, prompts=2, optimizer=optax.adam)
    run = train(game, EGPO(0.5), learner=fit, steps=600, start=start, key=1)
    gap, distance = measured(run.policy, listed, table)
    assert gap < 5e-3
    assert distance < 0.05

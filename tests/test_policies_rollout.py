"""Networks that act: what they are refused for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nashpo
from nashpo.learners import GoldMargin, Queue, Replay, Sampled
from nashpo.learners.losses import DPO
from nashpo.oracles import Judge
from nashpo.policies import Rollout
from nashpo.policies.base import enumerable
from nashpo.solvers import SPO, IterativeDPO


@jax.tree_util.register_static
class Line:
    """A walk on a line from one of two places, one step to the left or right at a time."""

    actions, horizon = 2, 3

    def start(self, prompts):
        return jnp.asarray(prompts, jnp.float32)

    def step(self, states, actions):
        return states + 2 * actions - 1

    def observe(self, states, time):
        return jnp.stack([states, jnp.full(states.shape, time, states.dtype)], axis=-1)


class Walker(nnx.Module):
    def __init__(self, layer):
        self.read, self.layer, self.out = nnx.Linear(2, 4, rngs=nnx.Rngs(0)), layer, nnx.Linear(4, 2, rngs=nnx.Rngs(1))

    def __call__(self, observations):
        return self.out(self.layer(self.read(observations)))


@pytest.mark.parametrize("prompts", [1, 2])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: nnx.BatchNorm(4, rngs=nnx.Rngs(0)),
        lambda: nnx.Dropout(0.05, rngs=nnx.Rngs(0)),
        lambda: lambda values: values - values.mean(0),
    ],
    ids=["batch norm", "dropout", "by hand"],
)
def test_trajectories_that_see_each_other_are_refused(layer, prompts):
    module = Walker(layer())
    with pytest.raises(ValueError, match=r"Walker answers prompt 0 differently .* module.eval\(\)"):
        Rollout.from_module(module, Line(), prompts)
    if isinstance(module.layer, nnx.Module):
        module.eval()
        walker = Rollout.from_module(module, Line(), prompts)
        alone = walker.log_prob(jnp.zeros(1, int), walker.response(jnp.arange(8))[None])
        np.testing.assert_allclose(alone[0], walker.log_probs()[0], rtol=1e-5)


def test_what_is_no_trajectory_has_no_probability():
    walker = Rollout.from_module(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), Line(), prompts=1)
    actions = np.array([[[0, 1, 1], [0, -1, 1], [0, 1, 2]]])
    found = np.asarray(walker.log_prob(np.zeros(1, int), actions))[0]
    assert -10 < found[0] < 0 and found[1:].tolist() == [-1e9, -1e9]
    with pytest.raises(ValueError, match="but every answer has 3 positions"):
        walker.log_prob(np.zeros(1, int), actions[..., :2])


@jax.tree_util.register_static
class LongLine(Line):
    horizon = 30


def test_trajectories_too_many_to_list_are_remembered():
    walker = Rollout.from_module(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), LongLine(), prompts=2)
    assert not enumerable(walker)
    assert Sampled(0.1, gains=Queue(4)).carry(walker).memory["gains"].responses.shape == (2, 4, 30)
    assert Sampled(0.1, replay=Replay((0.3,))).carry(walker).memory["replay"].responses.shape == (1, 2, 2, 30)


def test_trajectories_that_do_not_fit_a_game_are_refused():
    walker, alone = (Rollout.from_module(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), LongLine(), prompts=x) for x in (2, 1))
    judge = Judge(lambda prompts, left, right: jax.nn.sigmoid((left - right).sum(-1) * 1.0))
    game = nashpo.Game.from_oracle(judge, reference=walker, prompts=np.ones(2))
    with pytest.raises(ValueError, match="start answers 1 prompts, the game has 2"):
        nashpo.solve(game, SPO(0.5), learner=Sampled(0.1), start=alone, steps=1)
    short = Sampled(0.1, loss=DPO(), selection=GoldMargin(np.zeros((2, 3), int), 0.1))
    with pytest.raises(ValueError, match=r"the gold answers have shape \(3,\), the policies' responses \(30,\)"):
        nashpo.solve(game, IterativeDPO(0.5), learner=short, steps=1)

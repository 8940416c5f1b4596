"""Networks that act: what they are refused for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nashpo.policies import Rollout


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

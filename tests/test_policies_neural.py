"""Network policies over a list: the module's softmax, its parameters in and out, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nashpo
from nashpo.learners import Regression
from nashpo.policies import Neural, Tabular
from nashpo.policies.trained import trained
from nashpo.solvers import EGPO
from nashpo.testing import check_policy

CONTEXTS = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]], np.float32)


class Mlp(nnx.Module):
    """Two layers, and two variables that are no parameters."""

    def __init__(self, rngs, outputs=4, dtype=jnp.float32):
        self.hidden = nnx.Linear(3, 5, rngs=rngs, param_dtype=dtype)
        self.out = nnx.Linear(5, outputs, rngs=rngs, param_dtype=dtype)
        self.scale = nnx.Variable(jnp.asarray(2.0, dtype))
        self.mean = nnx.BatchStat(jnp.full(3, 0.25, dtype))

    def __call__(self, contexts):
        return self.scale[...] * self.out(jnp.tanh(self.hidden(contexts - self.mean[...])))


def mlp(seed=0, **options):
    return Mlp(nnx.Rngs(seed), **options)


def by_hand(params, contexts=CONTEXTS):
    hidden, out = params["hidden"], params["out"]
    inner = np.tanh((contexts - 0.25) @ np.asarray(hidden["kernel"], float) + np.asarray(hidden["bias"], float))
    logits = 2.0 * (inner @ np.asarray(out["kernel"], float) + np.asarray(out["bias"], float))
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def two_prompts():
    table = np.array([[0.5, 0.9, 0.3, 0.6], [0.1, 0.5, 0.8, 0.4], [0.7, 0.2, 0.5, 0.9], [0.4, 0.6, 0.1, 0.5]])
    return nashpo.Game.from_table(np.stack([table, 1 - table]), beta=0.1)


def test_it_is_the_softmax_of_the_module():
    policy = Neural.from_module(mlp(), CONTEXTS)
    np.testing.assert_allclose(policy.log_probs(), by_hand(policy.params), atol=2e-6)
    np.testing.assert_allclose(policy.probs(), np.exp(by_hand(policy.params)), atol=1e-6)
    assert policy.log_probs().dtype == np.float32


def test_log_prob_and_samples_are_those_of_the_prompts_in_their_rows():
    policy = Neural.from_module(mlp(1), CONTEXTS)
    prompts, responses = np.array([1, 0, 1]), np.array([[3, 0], [1, 1], [2, 3]])
    expected = by_hand(policy.params)[prompts[:, None], responses]
    np.testing.assert_allclose(policy.log_prob(prompts, responses), expected, atol=2e-6)
    drawn = np.asarray(policy.sample(jax.random.key(0), prompts, 3000))
    assert drawn.shape == (3, 3000) and np.issubdtype(drawn.dtype, np.integer)
    assert not np.array_equal(drawn[0], drawn[2])
    for row, prompt in enumerate(prompts):
        share = np.bincount(drawn[row], minlength=4) / 3000
        np.testing.assert_allclose(share, np.exp(by_hand(policy.params))[prompt], atol=0.05)
    np.testing.assert_array_equal(policy.index(policy.response(responses)), responses)


def test_it_keeps_the_laws_of_policies():
    check_policy(Neural.from_module(mlp(2), CONTEXTS))
    check_policy(Neural.from_module(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), CONTEXTS))


def test_parameters_go_out_as_plain_arrays_and_come_back():
    module = mlp(3)
    policy = Neural.from_module(module, CONTEXTS)
    assert {layer: sorted(policy.params[layer]) for layer in sorted(policy.params)} == {
        "hidden": ["bias", "kernel"],
        "out": ["bias", "kernel"],
    }
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(policy.params))
    plain = jax.tree.map(np.asarray, policy.params)
    again = Neural.from_module(mlp(4), CONTEXTS).with_params(plain)
    np.testing.assert_array_equal(again.log_probs(), policy.log_probs())
    back = policy.module()
    assert isinstance(back, Mlp)
    np.testing.assert_array_equal(back(jnp.asarray(CONTEXTS)), module(jnp.asarray(CONTEXTS)))
    third = Neural.from_module(back, CONTEXTS)
    np.testing.assert_array_equal(third.log_probs(), policy.log_probs())


def test_only_parameters_are_trained_and_the_module_stays_as_it_was():
    module = mlp(5)
    before = np.asarray(module.out.kernel[...]).copy()
    policy = Neural.from_module(module, CONTEXTS)
    assert sorted(jax.tree.leaves(policy.rest), key=np.ndim)[0] == 2.0 and len(jax.tree.leaves(policy.rest)) == 2
    found = nashpo.solve(two_prompts(), EGPO(1.0), learner=Regression(0.3), start=policy, steps=5).check().policy
    assert float(jnp.abs(found.params["out"]["kernel"] - before).max()) > 1e-3
    for one, other in zip(jax.tree.leaves(found.rest), jax.tree.leaves(policy.rest), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(module.out.kernel[...], before)
    np.testing.assert_array_equal(found.contexts, CONTEXTS)


def test_precision_is_that_of_the_parameters():
    single, double = (Neural.from_module(mlp(6, dtype=d), CONTEXTS.astype(d)) for d in (jnp.float32, jnp.float64))
    assert single.log_probs().dtype == np.float32 and double.log_probs().dtype == np.float64
    wide = double.with_params(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), single.params))
    np.testing.assert_allclose(single.log_probs(), wide.log_probs(), atol=2e-6)
    np.testing.assert_allclose(wide.log_probs(), by_hand(single.params), atol=1e-13)


def test_half_precision_networks_give_normalised_probabilities():
    policy = Neural.from_module(mlp(7, dtype=jnp.bfloat16), CONTEXTS.astype(jnp.bfloat16))
    probs = np.asarray(policy.probs(), float)
    assert np.all(np.isfinite(probs))
    np.testing.assert_allclose(probs.sum(-1), 1.0, atol=0.02)


def test_one_architecture_is_one_structure_and_one_program():
    policies = [Neural.from_module(mlp(seed), CONTEXTS) for seed in range(3)]
    assert len({jax.tree.structure(policy) for policy in policies}) == 1
    program = jax.jit(lambda policy: policy.log_probs())
    answers = [np.asarray(program(policy)) for policy in policies]
    assert program._cache_size() == 1
    assert not np.allclose(answers[0], answers[1])
    other = Neural.from_module(mlp(0, outputs=3), CONTEXTS)
    assert jax.tree.structure(other) != jax.tree.structure(policies[0])


def test_many_networks_are_one_batch():
    policies = [trained(Neural.from_module(mlp(seed), CONTEXTS), jnp.zeros(())) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies)
    together = jax.vmap(lambda policy: policy.log_probs())(stacked)
    np.testing.assert_allclose(together, [policy.log_probs() for policy in policies], atol=1e-6)


def test_contexts_of_any_shape_and_the_smallest_policy():
    class Picture(nnx.Module):
        def __init__(self):
            self.out = nnx.Linear(6, 2, rngs=nnx.Rngs(0))

        def __call__(self, contexts):
            return self.out(contexts.reshape(len(contexts), -1))

    policy = Neural.from_module(Picture(), np.ones((1, 2, 3), np.float32), responses=2)
    assert policy.probs().shape == (1, 2)
    numbers = Neural.from_module(nnx.Embed(5, 2, rngs=nnx.Rngs(0)), np.arange(5))
    assert numbers.probs().shape == (5, 2)
    np.testing.assert_array_equal(numbers.log_prob(np.array([4]), np.array([[1]]))[0, 0], numbers.log_probs()[4, 1])
    alone = Neural.from_module(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), CONTEXTS)
    np.testing.assert_array_equal(alone.probs(), [[1.0], [1.0]])


class Says(nnx.Module):
    """A module with one parameter that answers with what it was told."""

    def __init__(self, function):
        self.kernel = nnx.Param(jnp.ones((3, 4)))
        self.function = function

    def __call__(self, contexts):
        return self.function(contexts @ self.kernel[...])


REFUSED = {
    "one row for all prompts": (lambda logits: logits[:1], r"Says maps contexts of shape \(2, 3\) to \(1, 4\)"),
    "no rows": (lambda logits: logits.sum(), r"Says maps contexts of shape \(2, 3\) to \(\), but"),
    "a further axis": (lambda logits: logits[..., None], r"to \(2, 4, 1\), but a policy over A responses needs"),
    "whole numbers": (lambda logits: logits.astype(int), "Says returns int64, but logits are floating-point numbers"),
    "two outputs": (lambda logits: (logits, logits), "Says returns a tuple, but a policy needs one array of logits"),
    "nothing": (lambda logits: None, "Says returns a NoneType, but a policy needs one array of logits"),
    "prompts that see each other": (
        lambda logits: logits - logits.mean(0),
        "Says answers prompt 0 differently when other prompts are in the batch",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_that_is_no_policy_is_refused(name):
    function, sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence):
        Neural.from_module(Says(function), CONTEXTS)


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match=r"is no flax.nnx module: give an instance, for example nnx.Linear"):
        Neural.from_module(nnx.Linear, CONTEXTS)  # type: ignore[arg-type]  that is the mistake
    with pytest.raises(ValueError, match="is no flax"):
        Neural.from_module(lambda contexts: contexts, CONTEXTS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"contexts has shape \(0, 3\): give one row for each prompt"):
        Neural.from_module(mlp(), CONTEXTS[:0])
    with pytest.raises(ValueError, match=r"contexts has shape \(\): give one row for each prompt"):
        Neural.from_module(mlp(), 1.0)  # type: ignore[arg-type]


def test_contexts_that_the_module_cannot_take_are_refused():
    with pytest.raises(ValueError, match=r"Linear does not take contexts of shape \(1, 5\): dot_general requires"):
        Neural.from_module(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), np.ones((1, 5)))


def test_dropout_and_batch_statistics_are_refused_in_training_mode_and_not_in_evaluation():
    class Noisy(nnx.Module):
        def __init__(self, layer):
            self.out, self.layer = nnx.Linear(3, 4, rngs=nnx.Rngs(0)), layer

        def __call__(self, contexts):
            return self.layer(self.out(contexts))

    for make in (lambda **_: nnx.Dropout(0.5, rngs=nnx.Rngs(1)), lambda **_: nnx.BatchNorm(4, rngs=nnx.Rngs(1))):
        module = Noisy(make())
        with pytest.raises(ValueError, match=r"Noisy answers prompt 0 differently .* module.eval\(\)"):
            Neural.from_module(module, CONTEXTS)
        module.eval()
        check_policy(Neural.from_module(module, CONTEXTS), extreme=None, draws=500)


class Dropped(nnx.Module):
    """Dropout between two layers, told at the call how it runs."""

    def __init__(self, seed=0, kernel=nnx.initializers.lecun_normal(), **options):  # noqa: B008 - a function
        rngs = nnx.Rngs(seed)
        self.hidden, self.drop = nnx.Linear(3, 8, rngs=rngs), nnx.Dropout(0.1, rngs=rngs)
        self.out = nnx.Linear(8, 4, rngs=rngs, kernel_init=kernel)
        self.options = options

    def __call__(self, contexts):
        return self.out(self.drop(nnx.relu(self.hidden(contexts)), **self.options))


def test_rare_dropout_is_refused_whatever_it_happens_to_drop():
    class Attending(nnx.Module):
        def __init__(self):
            self.heads = nnx.MultiHeadAttention(
                1, 3, out_features=4, dropout_rate=0.01, deterministic=False, decode=False, rngs=nnx.Rngs(0)
            )

        def __call__(self, contexts):
            return self.heads(contexts[:, None])[:, 0]

    modules = [
        *(Dropped(seed) for seed in range(6)),
        Dropped(kernel=nnx.initializers.zeros),
        Dropped(deterministic=False),
        Attending(),
    ]
    for module in modules:
        with pytest.raises(ValueError, match=r"answers prompt 0 differently .* module.eval\(\)"):
            Neural.from_module(module, CONTEXTS)


def test_dropout_that_the_call_switches_off_is_in_order():
    told = Dropped(deterministic=True)
    np.testing.assert_array_equal(Neural.from_module(told, CONTEXTS).outputs(CONTEXTS), told(CONTEXTS))
    assert told.drop.deterministic is False and told.drop.rngs is not None


def test_a_run_refuses_a_network_that_does_not_fit_thetwo_prompts():
    small = Neural.from_module(mlp(outputs=3), CONTEXTS)
    with pytest.raises(ValueError, match=r"start has shape \(2, 3\), the game \[prompts, responses\] = \(2, 4\)"):
        nashpo.solve(two_prompts(), EGPO(1.0), learner=Regression(0.3), start=small, steps=1)
    with pytest.raises(ValueError, match=r"policy's \[prompts, responses\] are \(2, 3\), those of the game \(2, 4\)"):
        nashpo.Game.from_table(np.full((2, 4, 4), 0.5), reference=small)


def test_a_network_may_be_the_reference_and_a_table_the_start():
    reference = Neural.from_module(mlp(8), CONTEXTS)
    game = nashpo.Game.from_table(np.asarray(two_prompts().oracle.table()), beta=0.5, reference=reference)
    start = Tabular(np.zeros((2, 4)))
    found = nashpo.solve(game, EGPO(1.0), learner=Regression(1.0), start=start, steps=100, every=100)
    probs = np.exp(by_hand(reference.params))
    table = nashpo.Game.from_table(np.asarray(two_prompts().oracle.table()), beta=0.5, reference=probs)
    np.testing.assert_allclose(found.policy.probs(), nashpo.equilibrium(table).policy.probs(), atol=1e-4)

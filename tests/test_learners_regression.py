"""The enumerated learner: on a table it is the tabular method, on a network a gradient loop written by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import SOLVERS
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from recursions import iterate, kl, normalise, random_tables, textbook_extragradient, win_rates

import nashpo
from nashpo.learners import Extrapolate, Regression
from nashpo.metrics import Last
from nashpo.mirror import Mirror
from nashpo.policies import Mixture, Neural, Tabular
from nashpo.solver import SolveError, Status
from nashpo.solvers import (
    APO,
    EGPO,
    GPO,
    INPO,
    MNPO,
    MPO,
    SPO,
    Averaged,
    FictitiousPlay,
    IterativeDPO,
    NashMD,
    RegretMatching,
)
from nashpo.stage import Stage, StepSizeWarning, against, pull
from nashpo.testing import check_learner

X, A, BETA, ETA, STEPS = 3, 5, 0.2, 3.0, 100
WEIGHTS = np.array([0.5, 0.2, 0.3])
pytestmark = pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")


def log_probs(game, policy):
    return policy.log_probs()


LOG = {"log": Last(log_probs)}


def trajectory(game, rule, start, steps=STEPS, learner=None):
    """`[T + 1, X, A]` log-probabilities of the iterates."""
    found = nashpo.solve(game, rule, steps=steps, start=start, learner=learner, metrics=LOG).check()
    return np.concatenate([np.asarray(start.log_probs())[None], found.trace["log"]])


def worlds(seed, prompts):
    rng = np.random.default_rng(seed)
    P, log_ref, start = random_tables(rng, prompts, A), *(normalise(rng.normal(size=(prompts, A))) for _ in range(2))
    return 0.1 + 0.8 * P, log_ref, start


RESCALED = {
    "EGPO": lambda c: EGPO(c * ETA),
    "INPO": lambda c: INPO(c * ETA),
    "Nash-MD": lambda c: NashMD(c * ETA, mix=ETA * BETA),
    "MNPO": lambda c: MNPO(c * ETA),
    "SPO": lambda c: Averaged(SPO(c * ETA)),
    "APO": lambda c: APO(c * ETA, c * 0.4),
    "MPO": lambda c: MPO(c * ETA / (1 + (1 - c) * ETA * BETA), 30.0, BETA),
}
"""The tabular rule that gradient steps of the fraction c of the way make of the rule with c = 1."""


@pytest.mark.parametrize("prompts", [1, X])
@pytest.mark.parametrize("name", RESCALED)
def test_plain_gradient_steps_on_a_table_are_the_tabular_method(name, prompts):
    P, log_ref, start = worlds(1, prompts)
    weights = WEIGHTS[:prompts] / WEIGHTS[:prompts].sum()
    rate = 0.4
    game = nashpo.Game.from_table(P, BETA, np.exp(log_ref), prompts=weights)
    found = trajectory(game, RESCALED[name](1.0), Tabular(start), learner=Regression(rate))
    for x in range(prompts):
        alone = nashpo.Game.from_table(P[x], BETA, np.exp(log_ref[x]))
        rule = RESCALED[name](4 * rate * weights[x] / A)
        expected = trajectory(alone, rule, Tabular(start[x : x + 1]))
        np.testing.assert_allclose(found[:, x], expected[:, 0], atol=1e-12)


def test_egpo_is_not_the_textbook_extragradient():
    P, log_ref, start = worlds(2, 1)
    game = nashpo.Game.from_table(P, BETA, np.exp(log_ref))
    found = trajectory(game, EGPO(ETA), Tabular(start), learner=Regression(0.4))
    textbook = iterate(lambda log: textbook_extragradient(P, log, log_ref, 4 * 0.4 / A * ETA, BETA), start, STEPS)
    assert np.max(np.abs(np.exp(found[:20]) - np.exp(textbook[:20]))) > 1e-3


def test_a_history_is_stepped_towards_and_extrapolated_parameters_are_apo():
    P, log_ref, start = worlds(3, 1)
    game, c = nashpo.Game.from_table(P, BETA, np.exp(log_ref)), 4 * 0.4 / A
    found = trajectory(game, MNPO(ETA, history=(0.5, 0.3, 0.2)), Tabular(start), 30, Regression(0.4))
    path = [start]
    for step in range(30):
        weights = np.array([0.5, 0.3, 0.2])[: step + 1]
        weights /= weights.sum()
        history = path[-1 : -len(weights) - 1 : -1]
        anchor = sum(w * log for w, log in zip(weights, history, strict=True))
        gains = sum(w * win_rates(P, log) for w, log in zip(weights, history, strict=True))
        target = (1 - ETA * BETA) * anchor + ETA * BETA * log_ref + ETA * gains
        path.append(normalise(path[-1] + c * (target - path[-1])))
    np.testing.assert_allclose(found, path, atol=1e-12)
    fast = trajectory(game, APO(1.0, 0.4), Tabular(start), 30, Extrapolate(Regression(0.4)))
    np.testing.assert_allclose(fast, trajectory(game, APO(c, 0.4), Tabular(start), 30), atol=1e-12)


MIRROR = [name for name in SOLVERS if hasattr(SOLVERS[name].make(0.3), "stages")]


@pytest.mark.parametrize("name", MIRROR)
def test_steps_of_the_whole_way_are_the_rule_itself(name):
    P, log_ref, start = worlds(4, 1)
    game = nashpo.Game.from_table(P, 0.1, np.exp(log_ref))
    rule = SOLVERS[name].make(0.3)
    found = trajectory(game, rule, Tabular(start), 12, Regression(A / 4))
    np.testing.assert_allclose(found, trajectory(game, rule, Tabular(start), 12), atol=1e-9)


def test_scores_are_learned_like_win_rates():
    P, log_ref, start = worlds(5, 1)
    game = nashpo.Game.from_table(np.log(P / (1 - P)), BETA, np.exp(log_ref), scale="score")
    found = trajectory(game, EGPO(0.5), Tabular(start), 20, Regression(A / 4))
    np.testing.assert_allclose(found, trajectory(game, EGPO(0.5), Tabular(start), 20), atol=1e-12)
    assert np.max(np.abs(found[-1] - found[0])) > 0.1


@pytest.mark.parametrize("solver", [RegretMatching(), FictitiousPlay()])
def test_solvers_of_their_own_take_no_learner(solver):
    game = nashpo.Game.from_table(np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=f"{type(solver).__name__} is a solver of its own: it takes no learner"):
        nashpo.solve(game, solver, learner=Regression(0.1), steps=1)


# The gradient


@functools.partial(jax.jit, static_argnames="sampling")
def moved(game, now, weights, sampling):
    learner = Regression(1.0, sampling=sampling)
    game = nashpo.Game(game.oracle, game.reference, game.beta, weights)
    slots = {"now": now, "reference": game.reference}
    return learner.fit(
        learner.carry(now), jax.random.key(0), now, slots, Stage(pull(0.7, BETA), against("now"), 0.7), game
    )


@given(seed=st.integers(0, 2**31), sampling=st.sampled_from(["uniform", "start", "reference"]))
def test_the_gradient_is_the_centred_error_times_the_law(seed, sampling):
    P, log_ref, start = worlds(seed, X)
    weights = np.random.default_rng(seed).dirichlet(np.ones(X))
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(P, BETA, np.exp(log_ref)))
    _, policy, info = moved(game, Tabular(jnp.asarray(start)), jnp.asarray(weights), sampling)
    target = (1 - 0.7 * BETA) * start + 0.7 * BETA * log_ref + 0.7 * win_rates(P, start)
    d = start - target
    rho = np.exp({"uniform": np.full_like(start, -np.log(A)), "start": start, "reference": log_ref}[sampling])
    centred = d - np.sum(rho * d, -1, keepdims=True)
    np.testing.assert_allclose(start - policy.logits, 4 * weights[:, None] * rho * centred, atol=1e-13)
    pairs = rho[:, :, None] * rho[:, None, :] * (d[:, :, None] - d[:, None, :]) ** 2
    np.testing.assert_allclose(info["loss"], np.sum(weights * pairs.sum((1, 2))), rtol=1e-10)
    np.testing.assert_allclose(info["gradient_norm"], np.linalg.norm(start - policy.logits), rtol=1e-12)
    assert info["bad_parameter"] == -1


def test_padding_gets_no_gradient_and_no_probability():
    small, large = nashpo.Game.from_table(np.full((2, 2), 0.5), BETA), nashpo.Game.from_table(worlds(6, 1)[0], BETA)
    game = nashpo.stack([small, large])
    for sampling in ("uniform", "start"):
        learner = Regression(0.5, sampling=sampling, optimizer=optax.adam)
        found = nashpo.solve(game, EGPO(ETA), learner=learner, steps=30).check().policy
        assert np.all(np.asarray(found.probs())[0, 2:] == 0.0)
        np.testing.assert_array_equal(found.logits[0, 2:], game.reference.logits[0, 2:])
        np.testing.assert_allclose(found.probs()[0, :2], 0.5, atol=1e-12)


# Networks


class Mlp(nnx.Module):
    def __init__(self, rngs, outputs=A, dtype=jnp.float64, width=6):
        self.hidden = nnx.Linear(X, width, rngs=rngs, param_dtype=dtype)
        self.out = nnx.Linear(width, outputs, rngs=rngs, param_dtype=dtype)

    def __call__(self, contexts):
        return self.out(jnp.tanh(self.hidden(contexts)))


def network(seed=0, outputs=A, dtype=jnp.float64):
    return Neural.from_module(Mlp(nnx.Rngs(seed), outputs, dtype), np.eye(X, dtype=dtype))


def linear(seed=0, dtype=jnp.float64):
    return Neural.from_module(nnx.Linear(X, A, rngs=nnx.Rngs(seed), param_dtype=dtype), np.eye(X, dtype=dtype))


def game_of_prompts(seed=7):
    P, log_ref, _ = worlds(seed, X)
    return nashpo.Game.from_table(P, BETA, np.exp(log_ref), prompts=WEIGHTS)


def clipped(rate):
    return optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(rate, weight_decay=0.01))


def by_hand(game, policy, optimizer, updates, steps):
    """EGPO from a network: two regressions a step, after the first of which the optimizer's state is restored."""
    P, log_ref = np.asarray(game.oracle.table()), np.asarray(game.reference.log_probs())

    @jax.jit
    def fitted(params, state, target):
        def loss(params):
            d = policy.with_params(params).log_probs() - target
            return jnp.sum(WEIGHTS[:, None, None] * (d[:, :, None] - d[:, None, :]) ** 2) / A**2

        for _ in range(updates):
            change, state = optimizer.update(jax.grad(loss)(params), state, params)
            params = optax.apply_updates(params, change)
        return params, state

    params, state = policy.params, optimizer.init(policy.params)
    for _ in range(steps):
        now = np.asarray(policy.with_params(params).log_probs())
        anchor = (1 - ETA * BETA) * now + ETA * BETA * log_ref
        half, _ = fitted(params, state, anchor + ETA * win_rates(P, now))
        ahead = np.asarray(policy.with_params(half).log_probs())
        params, state = fitted(params, state, anchor + ETA * win_rates(P, ahead))
    return params, state


LOOPS = {
    "Adam": (optax.adam, 0.02, 1),
    "clipping, weight decay, a schedule, several updates": (clipped, optax.exponential_decay(0.05, 5, 0.5), 3),
}


@pytest.mark.parametrize("name", LOOPS)
def test_networks_follow_the_loop_written_by_hand(name):
    make, rate, updates = LOOPS[name]
    game, policy = game_of_prompts(), network()
    expected, state = by_hand(game, policy, make(rate), updates, steps=7)
    learner = Regression(rate, optimizer=make, updates=updates)
    found = nashpo.solve(game, EGPO(ETA), learner=learner, start=policy, steps=7).check()
    for one, other in zip(jax.tree.leaves(found.policy.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    assert jax.tree.structure(found.state.carry) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(found.state.carry), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    counts = [leaf for leaf in jax.tree.leaves(found.state.carry) if jnp.issubdtype(leaf.dtype, jnp.integer)]
    assert [int(count) for count in counts] == [7 * updates] * len(counts)


def test_a_network_reaches_the_equilibrium_from_either_optimizer():
    game = game_of_prompts()
    exact = nashpo.equilibrium(game).policy.probs()
    runs = {
        "sgd": (Regression(0.2), 4000),
        "adam": (Regression(optax.cosine_decay_schedule(0.02, 2000), optax.adam), 2000),
    }
    for learner, steps in runs.values():
        found = nashpo.solve(game, EGPO(1.5), learner=learner, start=network(1), steps=steps, every=steps)
        assert found.trace["duality_gap"][-1] < 1e-6
        np.testing.assert_allclose(found.policy.probs(), exact, atol=2e-3)


@pytest.mark.parametrize(
    ("learner", "stays"),
    [
        (Regression(0.001, optimizer=optax.adam), False),
        (Regression(optax.cosine_decay_schedule(0.001, 10_000), optimizer=optax.adam), True),
        (Regression(0.01, optimizer=optax.amsgrad), True),
        (Regression(0.001, optimizer=optax.adam, updates=4), True),
    ],
    ids=["Adam", "Adam, a rate that falls", "AMSGrad", "Adam, four updates a stage"],
)
def test_adam_forgets_how_large_gradients_were_and_leaves_the_equilibrium(learner, stays):
    P = [[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]]
    game = nashpo.Game.from_table(P, beta=0.1, reference=[0.5, 0.3, 0.2])
    gaps = nashpo.solve(game, EGPO(eta=1.0), learner=learner, steps=10_000, every=100).trace["duality_gap"]
    assert gaps.min() < 1e-15
    worst = gaps[-20:].max()
    assert worst < 1e-25 if stays else worst > 1e-6


def test_the_average_of_networks_is_a_table():
    game = game_of_prompts()
    learner = Regression(0.01, optimizer=optax.adam)
    found = nashpo.solve(game, SPO(1.0), learner=learner, start=network(), steps=9, metrics=LOG)
    assert isinstance(found.policy, Tabular) and isinstance(found.last, Neural)
    iterates = np.concatenate([np.asarray(network().log_probs())[None], found.trace["log"]])
    np.testing.assert_allclose(found.policy.probs(), np.exp(iterates[:-1]).mean(0), atol=1e-13)
    np.testing.assert_allclose(found.last.log_probs(), iterates[-1], atol=1e-13)
    assert found.trace["duality_gap"][-1] == pytest.approx(float(nashpo.duality_gap(game, found.policy)), rel=1e-9)


def test_it_keeps_the_laws_of_learners():
    check_learner(Extrapolate(Regression(0.6)), exact=False)
    check_learner(Regression(0.03, optimizer=optax.adam), start=linear(), exact=False, fits=40)


def test_magnets_and_histories_of_networks_keep_their_structure():
    game = game_of_prompts()
    for rule in (MPO(0.5, 2.0, 0.1), APO(0.3, 0.3, base=MNPO(0.3, (0.5, 0.5)))):
        learner = Regression(0.01, optimizer=optax.adam)
        solver = Mirror(rule, learner)
        state = solver.init(game, linear())
        after = nashpo.solve(game, rule, learner=learner, start=linear(), steps=3).check().state
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
    magnet = nashpo.solve(game, MPO(0.5, 2.0, 0.1), learner=learner, start=linear(), steps=5).state.slots["magnet"]
    at_four = nashpo.solve(game, MPO(0.5, 2.0, 0.1), learner=learner, start=linear(), steps=4).last
    np.testing.assert_array_equal(magnet.log_probs(), at_four.log_probs())


@pytest.mark.parametrize("rule", [IterativeDPO(0.5), GPO(0.2)])
def test_other_targets_are_fitted_by_networks(rule):
    game = game_of_prompts()
    learner = Regression(0.02, optimizer=optax.adam, updates=400)
    found = nashpo.solve(game, rule, learner=learner, start=linear(2), steps=1, every=1).last
    exact = nashpo.solve(game, rule, start=Tabular(np.asarray(linear(2).log_probs())), steps=1).last
    distance = kl(np.asarray(exact.log_probs()), np.asarray(found.log_probs()))
    assert np.all(distance < 1e-3 * kl(np.asarray(exact.log_probs()), np.asarray(linear(2).log_probs())))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_networks_of_lower_precision_stay_so_and_learn(dtype):
    game = game_of_prompts()
    policy = linear(3, dtype)
    learner = Regression(0.02, optimizer=optax.adam)
    found = nashpo.solve(game, EGPO(ETA), learner=learner, start=policy, steps=200, every=200).check()
    assert {leaf.dtype for leaf in jax.tree.leaves(found.policy.params)} == {jnp.dtype(dtype)}
    assert found.trace["duality_gap"][-1] < 0.1 * float(nashpo.duality_gap(game, policy))


def test_the_smallest_game():
    game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], BETA)
    exact = nashpo.solve(game, EGPO(1.0), steps=20)
    found = nashpo.solve(game, EGPO(1.0), learner=Regression(0.5), steps=20)
    np.testing.assert_allclose(found.policy.log_probs(), exact.policy.log_probs(), atol=1e-13)
    alone = nashpo.solve(nashpo.Game.from_table([[0.5]], BETA), EGPO(1.0), learner=Regression(0.5), steps=3).check()
    assert alone.policy.probs().tolist() == [[1.0]]


def test_without_a_start_the_reference_is_trained():
    game = game_of_prompts()
    found, same = (
        nashpo.solve(game, EGPO(ETA), learner=Regression(0.4), start=start, steps=10)
        for start in (None, game.reference)
    )
    np.testing.assert_array_equal(found.policy.log_probs(), same.policy.log_probs())
    nets = nashpo.Game.from_table(np.asarray(game.oracle.table()), BETA, network(4))
    trained = nashpo.solve(nets, EGPO(ETA), learner=Regression(0.1), steps=3)
    assert isinstance(trained.policy, Neural)
    np.testing.assert_array_equal(nets.reference.log_probs(), network(4).log_probs())


def test_steps_no_larger_than_proven_for_exact_fits_make_no_warning(recwarn):
    game = game_of_prompts()
    nashpo.solve(game, EGPO(100.0), learner=Regression(0.01), steps=1)
    assert not [warning for warning in recwarn if issubclass(warning.category, StepSizeWarning)]


# What is refused, and what goes wrong


class Unstable(nnx.Module):
    """Divides by a parameter that gradient descent moves through zero."""

    def __init__(self):
        self.inner = nnx.Linear(X, A, rngs=nnx.Rngs(0), param_dtype=jnp.float64)
        self.temperature = nnx.Param(jnp.full((), 1.0))

    def __call__(self, contexts):
        return jnp.sqrt(self.temperature[...]) * self.inner(contexts)


def test_a_gradient_that_is_not_finite_names_the_step_and_the_parameter():
    P = np.asarray(game_of_prompts().oracle.table())
    game = nashpo.Game.from_table(P, 50.0)
    policy = Neural.from_module(Unstable(), np.eye(X))
    found = nashpo.solve(game, INPO(0.02), learner=Regression(0.3), start=policy, steps=500, every=10)
    assert found.status is Status.NONFINITE
    failed = found._outcome.failed
    with pytest.raises(
        SolveError, match=rf"step {failed} produced .*: the gradient in the parameter \S+ is not finite"
    ):
        found.check()


def test_a_learning_rate_that_overflows_says_so():
    found = nashpo.solve(game_of_prompts(), EGPO(ETA), learner=Regression(1e200), start=network(), steps=10)
    assert found.status is Status.NONFINITE and found.steps < 10
    with pytest.raises(SolveError, match=r"step [0-9] produced a number that is not finite: .* learning rate usually"):
        found.check()


BAD = {
    "rate zero": (Regression(0.0), r"Regression\(learning_rate=0.0\): must be a positive finite number"),
    "rate negative": (Regression(-1.0), r"Regression\(learning_rate=-1.0\)"),
    "rate undefined": (Regression(float("nan")), r"Regression\(learning_rate=nan\)"),
    "rate in words": (Regression("fast"), r"Regression\(learning_rate=fast\): must be a positive finite number"),
    "no optimizer": (Regression(0.1, optimizer=3), r"Regression\(optimizer=int\): give a function from a learning"),
    "an optimizer already made": (Regression(0.1, optimizer=optax.adam(0.1)), r"Regression\(optimizer=Gradient\w*\)"),
    "nothing made": (
        Regression(0.1, optimizer=lambda rate: rate),
        r"makes a float of a learning rate, which is no opta",
    ),
    "more than a rate asked for": (
        Regression(0.1, optimizer=lambda rate, decay: optax.adamw(rate, weight_decay=decay)),
        r"Regression\(optimizer=<lambda>\): cannot be called with a learning rate alone: .*'decay'",
    ),
    "a class": (Regression, r"learner=<class .*Regression'>: give an instance"),
    "no learner": (3, "learner=3: give an instance"),
    "no updates": (Regression(0.1, updates=0), r"Regression\(updates=0\): must be a whole number, at least 1"),
    "updates in parts": (Regression(0.1, updates=1.5), r"Regression\(updates=1.5\)"),
    "law": (Regression(0.1, sampling="now"), r"Regression\(sampling='now'\): the options are"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_refused(name):
    learner, sentence = BAD[name]
    game = nashpo.Game.from_table(np.full((2, 2), 0.5), BETA)
    with pytest.raises(ValueError, match=sentence):
        nashpo.solve(game, INPO(1.0), learner=learner, steps=1)


def test_a_policy_without_parameters_is_refused_as_a_start_and_taken_as_a_reference():
    game = game_of_prompts()
    frozen = Mixture.of([Tabular(np.asarray(game.reference.log_probs()))])
    with pytest.raises(ValueError, match="Mixture has no parameters to train: start from a policy that has"):
        nashpo.solve(game, INPO(1.0), learner=Regression(0.1), start=frozen, steps=1)
    other = nashpo.Game(game.oracle, frozen, game.beta, game.prompts)
    settings = {"learner": Regression(0.1), "start": network(), "steps": 5}
    found, expected = (nashpo.solve(one, INPO(1.0), **settings).policy for one in (other, game))
    np.testing.assert_allclose(found.log_probs(), expected.log_probs(), atol=1e-12)

    class Fixed(nnx.Module):
        def __call__(self, contexts):
            return contexts @ jnp.ones((X, A))

    with pytest.raises(ValueError, match="Neural has no parameters to train"):
        policy = Neural.from_module(Fixed(), np.eye(X))
        nashpo.solve(game, INPO(1.0), learner=Regression(0.1), start=policy, steps=1)


def test_parameters_are_mixed_only_with_parameters_of_their_kind():
    game = game_of_prompts()
    with pytest.raises(
        ValueError, match="Extrapolate: 'reference' is a Tabular and has not the parameters of the Neural"
    ):
        rule = nashpo.solvers.DNO(0.3, "pulled")
        nashpo.solve(game, rule, learner=Extrapolate(Regression(0.1)), start=network(), steps=1)

"""The learner from samples: unbiased against enumeration, bookkeeping of its steps, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from recursions import kl, normalise, random_tables, win_rates
from scipy.stats import chisquare

import nashpo
from nashpo.learners import (
    Batch,
    BestAgainstWorst,
    Extrapolate,
    Fresh,
    FromOpponent,
    FromReference,
    FromStart,
    Listed,
    Regression,
    Replay,
    Sampled,
    Uniform,
)
from nashpo.learners.fitting import minibatch
from nashpo.learners.losses import (
    DPO,
    PairLabel,
    Pointwise,
    PolicyGradient,
    ProximalPolicyGradient,
    SoftLogistic,
    SquaredGains,
)
from nashpo.learners.losses.base import Samples, Terms
from nashpo.learners.samplers import Scene, sample_blend
from nashpo.metrics import Last
from nashpo.oracles import Judge
from nashpo.policies import Mixture, Neural, Tabular
from nashpo.solver import SolveError, Status
from nashpo.solvers import APO, EGPO, GPO, INPO, MNPO, ONPO, SPO, SPPO, Averaged, IterativeDPO, NashMD
from nashpo.stage import Opponent, Stage, UpdateRule, against, pull
from nashpo.struct import record
from nashpo.testing import check_learner

X, A, BETA, ETA = 2, 4, 0.3, 0.7
WEIGHTS = np.array([0.7, 0.3])
LOG_PAST = normalise(np.random.default_rng(9).normal(size=(X, A)))
pytestmark = pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")


def build():
    """A game of two prompts, and the log-policies of the slots."""
    rng = np.random.default_rng(3)
    P = 0.1 + 0.8 * random_tables(rng, X, A)
    log_ref, now = (normalise(rng.normal(size=(X, A))) for _ in range(2))
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(P, BETA, np.exp(log_ref), prompts=WEIGHTS))
    return P, log_ref, now, game


P, LOG_REF, NOW, GAME = build()


def slots():
    return {
        "now": Tabular(jnp.asarray(NOW)),
        "past1": Tabular(jnp.asarray(LOG_PAST)),
        "reference": GAME.reference,
    }


SELF = Stage(pull(ETA, BETA), against("now"), ETA)
DOUBLE = Stage(pull(ETA, BETA), (Opponent(2.0, {"now": 1.0}),), ETA)
MIXED = Stage(
    {"now": 1.2, "past1": -0.2},
    (Opponent(1.5, {"now": 1.0}), Opponent(-0.5, {"past1": 0.6, "reference": 0.4})),
    ETA,
)
TWO = Stage(pull(ETA, BETA), (Opponent(0.25, {"now": 1.0}), Opponent(0.75, {"past1": 0.5, "reference": 0.5})), ETA)


def gains_of(stage):
    """Exact gains `[X, A]` of a stage, by hand."""
    logs = {"now": NOW, "past1": LOG_PAST, "reference": LOG_REF}
    blends = [(o.weight, normalise(sum(a * logs[k] for k, a in o.blend.items()))) for o in stage.opponents]
    return sum(weight * win_rates(P, log) for weight, log in blends)


def anchor_of(stage):
    logs = {"now": NOW, "past1": LOG_PAST, "reference": LOG_REF}
    return sum(a * logs[k] for k, a in stage.anchor.items())


@functools.partial(jax.jit, static_argnames=("make", "runs"))
def gradients(key, stage, make, runs):
    """`[runs, X, A]` gradients in the logits, each from samples of its own."""

    def one(key):
        learner, start = make(), slots()["now"]
        _, policy, _ = learner.fit(learner.carry(start), key, start, slots(), stage, GAME)
        return start.logits - policy.logits

    return jax.vmap(one)(jax.random.split(key, runs))


def unbiased(found, expected):
    """Every entry within five standard errors, which must be small compared with the gradient."""
    found, error = np.asarray(found).mean(0), np.asarray(found).std(0) / np.sqrt(len(found))
    assert error.max() < 0.2 * np.abs(expected).max()
    assert np.all(np.abs(found - expected) < 5 * error + 1e-12), (np.abs(found - expected) / error).max()


def sampled(**options):
    return Sampled(1.0, optimizer=optax.sgd, **{"prompts": 256, **options})


def squared_slope(stage, law):
    """The gradient of `E (d(y) - d(y'))^2` with independent responses of one law."""
    d = NOW - anchor_of(stage) - ETA * gains_of(stage)
    return 4 * WEIGHTS[:, None] * law * (d - np.sum(law * d, -1, keepdims=True))


LAWS = {
    FromStart: lambda: np.exp(NOW),
    FromReference: lambda: np.exp(LOG_REF),
    Uniform: lambda: np.full((X, A), 1 / A),
}
UNBIASED = {
    "one fresh rival": (lambda: sampled(), FromStart, SELF),
    "rivals, one of negative weight, a geometric one": (
        lambda: sampled(sampler=FromReference(), gains=Fresh(2)),
        FromReference,
        MIXED,
    ),
    "exact gains, uniform responses": (lambda: sampled(sampler=Uniform(), gains=Listed()), Uniform, MIXED),
    "win rates of the batch": (lambda: sampled(gains=Batch(), responses=4), FromStart, SELF),
    "labels of pairs": (lambda: sampled(loss=PairLabel(), responses=3), FromStart, SELF),
    "every prompt once": (lambda: sampled(prompts=None, responses=64), FromStart, SELF),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_gradients_are_those_of_the_enumeration_in_the_mean(name):
    make, sampler, stage = UNBIASED[name]
    unbiased(gradients(jax.random.key(1), stage, make, 400), squared_slope(stage, LAWS[sampler]()))


def test_enumerated_and_sampled_losses_are_one():
    learner = Regression(1.0, sampling="reference")
    start = slots()["now"]
    _, policy, _ = learner.fit(learner.carry(start), jax.random.key(0), start, slots(), MIXED, GAME)
    np.testing.assert_allclose(start.logits - policy.logits, squared_slope(MIXED, np.exp(LOG_REF)), atol=1e-13)


@pytest.mark.parametrize("gains", [Fresh(2), Batch()])
def test_the_policy_gradient_is_that_of_the_penalised_value(gains):
    def make():
        return sampled(loss=PolicyGradient(), gains=gains, responses=4)

    advantage = ETA * gains_of(SELF) - (NOW - anchor_of(SELF))
    pi = np.exp(NOW)
    expected = -WEIGHTS[:, None] * pi * (advantage - np.sum(pi * advantage, -1, keepdims=True))
    unbiased(gradients(jax.random.key(2), SELF, make, 400), expected)


def test_a_mixture_of_opponents_is_sampled_with_its_weights():
    scene = Scene(slots()["now"], slots(), TWO, GAME)
    drawn = np.asarray(FromOpponent().draw(jax.random.key(0), np.array([0, 1, 1]), 4000, scene))
    law = 0.25 * np.exp(NOW) + 0.75 * np.exp(normalise(0.5 * LOG_PAST + 0.5 * LOG_REF))
    for row, prompt in enumerate([0, 1, 1]):
        counts = np.bincount(drawn[row], minlength=A)
        assert chisquare(counts, 4000 * law[prompt]).pvalue > 1e-4
    assert not np.array_equal(drawn[1], drawn[2])


def test_geometric_blends_are_drawn_exactly():
    scene = Scene(slots()["now"], slots(), SELF, GAME)
    blend = {"now": 1.7, "past1": -0.9, "reference": 0.2}
    drawn = np.asarray(sample_blend(jax.random.key(3), blend, np.array([1]), 8000, scene))[0]
    law = np.exp(normalise(1.7 * NOW - 0.9 * LOG_PAST + 0.2 * LOG_REF))[1]
    assert chisquare(np.bincount(drawn, minlength=A), 8000 * law).pvalue > 1e-4


def test_uniform_draws_leave_padding_out():
    small, large = (nashpo.Game.from_table(np.full((n, n), 0.5), BETA) for n in (2, 4))
    game = nashpo.stack([small, large])
    scene = Scene(game.reference, {"reference": game.reference}, SELF, game)
    drawn = np.asarray(Uniform().draw(jax.random.key(0), np.array([0, 1]), 4000, scene))
    for row, count in enumerate((2, 4)):
        assert chisquare(np.bincount(drawn[row], minlength=count)).pvalue > 1e-4
    found = nashpo.solve(game, INPO(0.5), learner=Sampled(0.05, sampler=Uniform()), steps=20).check().policy
    assert np.all(np.asarray(found.probs())[0, 2:] == 0)


# Bookkeeping


@jax.jit
def refitted(learner, carry, start):
    """One fit of a step of self-play."""
    return learner.fit(carry, jax.random.key(4), start, slots() | {"now": start}, SELF, GAME)


def fitted(**options):
    learner, start = Sampled(**{"learning_rate": 0.05, "gains": Fresh(2), **options}), slots()["now"]
    return refitted(learner, learner.carry(start), start)


def counts(state):
    return {int(leaf) for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.integer)}


def test_runs_do_not_depend_on_when_they_are_measured():
    learner = Sampled(0.05, gains=Fresh(2))
    each, some = (nashpo.solve(GAME, INPO(ETA), learner=learner, steps=12, every=e, key=4).policy for e in (1, 5))
    np.testing.assert_array_equal(each.logits, some.logits)
    other = nashpo.solve(GAME, INPO(ETA), learner=learner, steps=12, key=5).policy
    assert not np.array_equal(other.logits, each.logits)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, pieces, single = (fitted(prompts=12, microbatch=size)[1].logits for size in (None, 4, 1))
    np.testing.assert_allclose(pieces, whole, atol=1e-12)
    np.testing.assert_allclose(single, whole, atol=1e-12)
    halves, quarters = (fitted(prompts=12, minibatch=6, microbatch=size, updates=2)[1].logits for size in (None, 3))
    np.testing.assert_allclose(halves, quarters, atol=1e-12)
    assert np.max(np.abs(whole - halves)) > 1e-3


def test_a_pass_of_minibatches_visits_every_prompt_once():
    rows = jnp.arange(12)
    samples = Samples(rows, jnp.full(12, 1 / 12), rows[:, None], *[rows[:, None].astype(float)] * 7)
    key = jax.random.key(0)
    visited = [minibatch(3, key, samples, number) for number in range(8)]
    passes = [np.concatenate([some.prompts for some in visited[first : first + 4]]) for first in (0, 4)]
    for order in passes:
        assert sorted(order.tolist()) == list(range(12))
    assert not np.array_equal(*passes)
    for some in visited:
        np.testing.assert_allclose(some.weights, 1 / 3)
        np.testing.assert_array_equal(some.responses[:, 0], some.prompts)
        np.testing.assert_array_equal(some.gains[:, 0], some.prompts)


def test_schedules_count_gradient_steps_and_a_look_ahead_counts_none():
    stopping = jax.tree_util.Partial(optax.piecewise_constant_schedule(0.05, {6: 0.0}))
    learner, start = Sampled(stopping, prompts=6, minibatch=3, updates=4), slots()["now"]
    carry, first, _ = refitted(learner, learner.carry(start), start)
    assert counts(carry) == {4}
    carry, second, _ = refitted(learner, carry, first)
    carry, third, _ = refitted(learner, carry, second)
    assert counts(carry) == {12}
    assert np.max(np.abs(first.logits - second.logits)) > 1e-3
    np.testing.assert_array_equal(second.logits, third.logits)


def test_a_look_ahead_leaves_the_moments_alone():
    learner = Sampled(0.05, gains=Listed(), prompts=32)
    found = nashpo.solve(GAME, EGPO(ETA), learner=learner, steps=1, key=4)
    assert counts(found.state.carry) == {1}
    key = jax.random.fold_in(jax.random.key(4), 0)
    start = Tabular(GAME.reference.logits)
    both = {"now": start, "reference": start}
    ahead, look = Stage(pull(ETA, BETA), against("now"), ETA), Stage(pull(ETA, BETA), against("half"), ETA)
    carry = learner.carry(start)
    _, half, _ = learner.fit(carry, jax.random.fold_in(key, 0), start, both, ahead, GAME)
    carry, policy, _ = learner.fit(carry, jax.random.fold_in(key, 1), start, both | {"half": half}, look, GAME)
    np.testing.assert_allclose(found.policy.logits, policy.logits, atol=1e-14)
    for one, other in zip(jax.tree.leaves(found.state.carry), jax.tree.leaves(carry), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)


@pytest.mark.slow
def test_it_keeps_the_laws_of_learners():
    check_learner(Sampled(0.1, gains=Listed(), responses=16), exact=False, fits=60)


class Linear(nnx.Linear):
    def __init__(self, seed, dtype=jnp.float64):
        super().__init__(X, A, rngs=nnx.Rngs(seed), param_dtype=dtype)


def network(seed=0, dtype=jnp.float64):
    return Neural.from_module(Linear(seed, dtype), np.eye(X, dtype=dtype))


def test_extrapolated_parameters_are_the_point_of_the_stage_where_policies_are_log_linear():
    learner, now, past = Extrapolate(Sampled(0.1)), network(0), network(1)
    stage = Stage({"now": 1.4, "past1": -0.4})
    carry = learner.carry(now)
    same, policy, info = learner.fit(carry, jax.random.key(0), now, {"now": now, "past1": past}, stage, GAME)
    expected = normalise(1.4 * np.asarray(now.log_probs()) - 0.4 * np.asarray(past.log_probs()))
    np.testing.assert_allclose(policy.log_probs(), expected, atol=1e-13)
    assert same is carry and info == {}
    found = nashpo.solve(GAME, APO(0.5, 0.4), learner=learner, start=now, steps=3, key=0).check()
    assert counts(found.state.carry) == {3}
    with pytest.raises(ValueError, match="Extrapolate: 'past1' is a Tabular and has not the parameters of the Neural"):
        learner.fit(carry, jax.random.key(0), now, {"now": now, "past1": slots()["past1"]}, stage, GAME)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_networks_of_lower_precision_stay_so(dtype):
    learner = Sampled(0.05, gains=Fresh(2), updates=2)
    found = nashpo.solve(GAME, SPO(ETA), learner=learner, start=network(dtype=dtype), steps=20, key=0).check()
    assert {leaf.dtype for leaf in jax.tree.leaves(found.last.params)} == {jnp.dtype(dtype)}
    assert isinstance(found.policy, Tabular) and found.trace["now_loss"].shape == (20,)


def test_the_smallest_game_from_samples():
    game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], 0.5)
    learner = Sampled(optax.linear_schedule(0.1, 0.0, 300), responses=2, gains=Listed())
    found = nashpo.solve(game, EGPO(1.0), learner=learner, steps=300, every=300)
    assert found.trace["duality_gap"][-1] < 1e-4


TARGETS = {
    "scores": (GPO(0.5), SquaredGains()),
    "half baseline": (SPPO(0.5, "half"), Pointwise()),
    "optimism": (ONPO(0.5), SquaredGains()),
    "distillation": (INPO(0.5), SoftLogistic()),
    "Bradley-Terry": (IterativeDPO(0.5), DPO()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_reached_from_samples(name):
    rule, loss = TARGETS[name]
    learner = Sampled(optax.cosine_decay_schedule(0.1, 400), loss=loss, responses=512, gains=Listed(), updates=200)
    found, exact = (nashpo.solve(GAME, rule, learner=one, steps=1, key=0).check().last for one in (learner, None))
    logs = [np.asarray(policy.log_probs()) for policy in (exact, found, GAME.reference)]
    assert np.all(kl(logs[0], logs[1]) < 0.1 * kl(logs[0], logs[2]))


# Responses that cannot be listed


@record
class Gaussian:
    """Numbers around a mean, one for each prompt: responses `[B, K]` that nobody can list."""

    params: jax.Array

    def with_params(self, params):
        return Gaussian(params)

    def log_prob(self, prompts, responses):
        return jax.scipy.stats.norm.logpdf(responses, self.params[prompts][:, None], 0.5)

    def sample(self, key, prompts, count):
        noise = 0.5 * jax.random.normal(key, (len(prompts), count), self.params.dtype)
        return self.params[prompts][:, None] + noise


def closer(prompts, left, right):
    """Prompt x prefers what is closer to x."""
    goal = prompts[:, None]
    return jax.nn.sigmoid(4 * (jnp.abs(right - goal) - jnp.abs(left - goal)))


def unlisted(function=closer, beta=0.01, mean=0.5):
    return nashpo.Game.from_oracle(Judge(function), beta, reference=Gaussian(jnp.full(2, mean)), prompts=[1.0, 1.0])


def test_a_judge_alone_teaches_and_no_gap_is_claimed():
    game = unlisted()
    learner = Sampled(0.05, responses=64, gains=Fresh(4))
    found = nashpo.solve(game, INPO(1.0), learner=learner, steps=60, every=20, key=0).check()
    assert isinstance(found.policy, Gaussian) and found.status is Status.FINISHED
    assert found.policy.params[0] < 0.25 and found.policy.params[1] > 0.75
    assert set(found.trace) == {"step", "now_loss", "now_gradient_norm"}
    assert found.trace["step"].tolist() == [20, 40, 60] and np.all(np.isfinite(found.trace["now_loss"]))
    assert repr(found) == "Result(INPO(eta=1.0), FINISHED, 60 steps)"
    assert repr(game) == "Game(unlisted responses, 2 prompts, beta=0.01, win probabilities)"
    assert set(found.to_dataframe().columns) == {"now_loss", "now_gradient_norm"}


def test_what_needs_a_list_says_that_there_is_none(tmp_path):
    game, learner = unlisted(), Sampled(0.05)
    with pytest.raises(ValueError, match="the duality gap is not known, because Judge cannot list its responses"):
        nashpo.solve(game, INPO(1.0), learner=learner, steps=1, tol=1e-3)
    found = nashpo.solve(game, INPO(1.0), learner=learner, steps=2)
    for ask in (found.to_xarray, lambda: found.save(tmp_path / "run.nc")):
        with pytest.raises(ValueError, match=r"the responses of a Gaussian cannot be listed.* result.to_dataframe"):
            ask()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"INPO: Judge cannot list its responses.* learner=Sampled"):
        nashpo.solve(game, INPO(1.0), steps=1)
    with pytest.raises(ValueError, match=r"Regression: Judge cannot list its responses.* Sampled"):
        nashpo.solve(game, INPO(1.0), learner=Regression(0.1), steps=1)
    with pytest.raises(ValueError, match=r"Uniform: the responses of a Gaussian cannot be listed; use FromStart"):
        nashpo.solve(game, INPO(1.0), learner=Sampled(0.1, sampler=Uniform()), steps=1)
    with pytest.raises(ValueError, match=r"Listed.*: Judge cannot list its responses; use Fresh"):
        nashpo.solve(game, INPO(1.0), learner=Sampled(0.1, gains=Listed()), steps=1)
    with pytest.raises(ValueError, match="the opponent is a geometric mixture of now and reference, but the responses"):
        nashpo.solve(game, NashMD(1.0), learner=learner, steps=1)
    with pytest.raises(ValueError, match="Judge cannot list its responses"):
        nashpo.duality_gap(game, found.policy)
    with pytest.raises(ValueError, match=r"sweep: .*Judge cannot list its responses"):
        nashpo.sweep(game, INPO(1.0), learner=learner, steps=1)


def test_the_average_of_what_cannot_be_listed_is_a_mixture():
    game = unlisted()
    learner = Sampled(0.05, responses=16, pool=8)
    metrics = {"params": Last(lambda game, policy: policy.params)}
    found = nashpo.solve(game, Averaged(INPO(1.0)), learner=learner, steps=6, key=0, metrics=metrics).check()
    assert isinstance(found.policy, Mixture) and not hasattr(found.policy, "log_probs")
    kept = np.concatenate([game.reference.params[None], found.trace["params"][:-1]])
    np.testing.assert_allclose(found.policy.members.params[:6], kept, atol=1e-14)
    np.testing.assert_allclose(found.policy.weights, [1 / 6] * 6 + [0, 0], atol=1e-15)
    drawn = found.policy.sample(jax.random.key(0), np.array([0, 1]), 5)
    assert drawn.shape == (2, 5) and np.all(np.isfinite(found.policy.log_prob(np.array([0, 1]), drawn)))
    assert "duality_gap" not in found.trace


def test_a_judge_may_give_scores():
    judge = Judge(lambda prompts, left, right: 4 * (left - right), scale="score")
    game = nashpo.Game.from_oracle(judge, 0.01, reference=Gaussian(jnp.zeros(2)), prompts=[1.0, 1.0])
    found = nashpo.solve(game, INPO(0.2), learner=Sampled(0.05, responses=16), steps=20, key=0).check()
    assert np.all(np.asarray(found.policy.params) > 0.2)


def test_a_mixture_is_a_reference_that_is_not_trained():
    pool = Mixture.of([Gaussian(jnp.full(2, 0.4)), Gaussian(jnp.full(2, 0.6))])
    game = nashpo.Game.from_oracle(Judge(closer), 0.01, reference=pool, prompts=[1.0, 1.0])
    learner = Sampled(0.05, responses=32)
    found = nashpo.solve(game, INPO(1.0), learner=learner, start=Gaussian(jnp.full(2, 0.5)), steps=20, key=0).check()
    assert found.policy.params[0] < 0.45 and found.policy.params[1] > 0.55
    with pytest.raises(ValueError, match="Mixture has no parameters to train"):
        nashpo.solve(game, INPO(1.0), learner=learner, steps=1)


def test_answers_that_are_no_payoffs_are_refused_before_the_run():
    game = unlisted(lambda prompts, left, right: 1.5 + 0 * left)
    with pytest.raises(ValueError, match=r"Judge: the answer for prompt 0, response .* is not a number in \[0, 1\]"):
        nashpo.solve(game, INPO(1.0), learner=Sampled(0.05), steps=1)


@pytest.mark.parametrize("loss", [SquaredGains(), PairLabel()])
def test_answers_that_break_in_the_middle_name_the_step_and_the_oracle(loss):
    def further(prompts, left, right):
        return jnp.where(jnp.abs(left) > 3.5, 1.7, jax.nn.sigmoid(left - right))

    learner = Sampled(0.1, loss=loss, responses=8)
    found = nashpo.solve(unlisted(further, mean=0.0), INPO(3.0), learner=learner, steps=400, every=10, key=0)
    assert found.status is Status.NONFINITE and 0 < found.steps < 400
    failed = found._outcome.failed
    assert found.steps <= failed < found.steps + 10
    sentence = rf"step {failed} produced a number that is not finite: \d+ of the oracle's answers were not finite, or"
    with pytest.raises(SolveError, match=sentence):
        found.check()
    assert np.all(np.isfinite(found.policy.params))


@record
class Rooted(Gaussian):
    """A policy whose slope is infinite at 0."""

    def with_params(self, params):
        return Rooted(params)

    def log_prob(self, prompts, responses):
        shift = jnp.sqrt(jnp.abs(self.params[prompts] - 0.5))
        return jax.scipy.stats.norm.logpdf(responses, shift[:, None], 0.5)


def test_a_gradient_that_is_not_finite_names_the_step_and_the_parameter():
    game = nashpo.Game.from_oracle(Judge(closer), 0.1, reference=Rooted(jnp.full(2, 0.5)), prompts=[1.0, 1.0])
    found = nashpo.solve(game, INPO(1.0), learner=Sampled(0.05), steps=5)
    with pytest.raises(SolveError, match=r"step 0 produced .*: the gradient in the parameter itself is not finite"):
        found.check()


# What is refused


@record
class Against(UpdateRule):
    """Any one stage."""

    stage: Stage

    def stages(self, beta, step):
        return (self.stage,)


REFUSED_LEARNERS = {
    "labels from another law": (
        lambda: Sampled(0.1, loss=PairLabel(), sampler=FromReference()),
        "PairLabel is biased for responses from FromReference; use FromOpponent",
    ),
    "batch gains from another law": (
        lambda: Sampled(0.1, gains=Batch(), sampler=Uniform()),
        "Batch is biased for responses from Uniform; use FromOpponent or FromStart",
    ),
    "old samples": (lambda: Sampled(0.1, loss=PolicyGradient(), updates=2), "PolicyGradient is biased after the first"),
    "one response": (lambda: Sampled(0.1, responses=1), r"Sampled\(responses=1\): must be a whole number, at least 2"),
    "no updates": (lambda: Sampled(0.1, updates=0), r"Sampled\(updates=0\): must be a whole number, at least 1"),
    "parts of responses": (lambda: Sampled(0.1, responses=2.5), r"Sampled\(responses=2.5\): must be a whole number"),
    "no prompts": (lambda: Sampled(0.1, prompts=0), r"Sampled\(prompts=0\): .* at least 1, or None for all"),
    "no microbatch": (lambda: Sampled(0.1, microbatch=0), r"Sampled\(microbatch=0\)"),
    "no minibatch": (lambda: Sampled(0.1, minibatch=-1), r"Sampled\(minibatch=-1\)"),
    "a class": (lambda: Sampled(0.1, loss=PairLabel), r"Sampled\(loss=<class .*PairLabel'>\): give an instance"),
    "a name": (lambda: Sampled(0.1, sampler="start"), r"Sampled\(sampler='start'\): give an instance"),
    "replay of what must be fresh": (
        lambda: Sampled(0.1, loss=Pointwise(), replay=Replay()),
        r"Sampled\(replay=Replay\): Pointwise reads responses of the policy that is trained one by one, and not resp",
    ),
    "pairs that nobody reads": (
        lambda: Sampled(0.1, loss=PolicyGradient(), selection=BestAgainstWorst()),
        r"Sampled\(selection=BestAgainstWorst\): PolicyGradient reads responses .* and not pairs; leave it out",
    ),
    "no room for an average": (lambda: Sampled(0.1, pool=1), r"Sampled\(pool=1\): must be a whole number, at least 2"),
    "no rivals": (lambda: Sampled(0.1, gains=Fresh(0)), r"Fresh\(count=0\): must be a whole number, at least 1"),
}


@pytest.mark.parametrize("name", REFUSED_LEARNERS)
def test_a_learner_that_would_be_wrong_is_refused_when_it_is_built(name):
    make, sentence = REFUSED_LEARNERS[name]
    with pytest.raises(ValueError, match=sentence):
        make()


REFUSED_RUNS = {
    "rate": (INPO(0.5), lambda: Sampled(-0.1), r"Sampled\(learning_rate=-0.1\): must be a positive finite number"),
    "optimizer": (INPO(0.5), lambda: Sampled(0.1, optimizer="adam"), r"Sampled\(optimizer=str\): give a function"),
    "rates": (INPO(0.5), lambda: Sampled([0.1, 0.2]), r"Sampled\(learning_rate=\[0.1, 0.2\]\): must be a positive"),
    "another target": (
        IterativeDPO(0.5),
        lambda: Sampled(0.1),
        r"Sampled\(loss=SquaredGains\(\)\): IterativeDPO asks for the target 'bradley_terry', and SquaredGains fits",
    ),
    "half baseline": (SPPO(0.5), lambda: Sampled(0.1, loss=Pointwise()), "SPPO asks for the target 'win_rate', and Po"),
    "pieces": (
        INPO(0.5),
        lambda: Sampled(0.1, prompts=10, microbatch=4),
        r"Sampled\(microbatch=4\): must divide the 10 prompts of a step",
    ),
    "minibatches": (
        INPO(0.5),
        lambda: Sampled(0.1, prompts=12, minibatch=5),
        r"Sampled\(minibatch=5\): must divide the 12 prompts of a fit",
    ),
    "pieces of a minibatch": (
        INPO(0.5),
        lambda: Sampled(0.1, prompts=12, minibatch=6, microbatch=4),
        r"Sampled\(microbatch=4\): must divide the 6 prompts of a step",
    ),
    "negative opponents": (
        Against(MIXED),
        lambda: Sampled(0.1, loss=PairLabel()),
        r"Sampled\(sampler=FromOpponent\(\)\): Against has an opponent with a negative weight",
    ),
    "another anchor than oneself": (
        INPO(0.5),
        lambda: Sampled(0.1, loss=ProximalPolicyGradient()),
        r"Sampled\(loss=ProximalPolicyGradient\(\)\): INPO steps from another point than the policy that is trained",
    ),
    "batches of earlier fits": (
        INPO(0.5),
        lambda: Sampled(0.1, gains=Batch(), replay=Replay()),
        "Batch: replayed responses would meet earlier policies; use Fresh gains, or no replay",
    ),
    "labels without opponents": (
        APO(0.5, 0.3),
        lambda: Sampled(0.1, loss=PairLabel()),
        r"PairLabel: a stage of the rule has no opponents, .* use SquaredGains, or Extrapolate\(learner\)",
    ),
    "importance weights without opponents": (
        APO(0.5, 0.3),
        lambda: Sampled(0.1, loss=ProximalPolicyGradient()),
        "ProximalPolicyGradient: a stage of the rule has no opponents",
    ),
    "responses of nobody": (
        APO(0.5, 0.3),
        lambda: Sampled(0.1, sampler=FromOpponent()),
        r"FromOpponent: a stage of the rule has no opponents, .* use FromStart\(\)",
    ),
    "more responses than asked for": (
        INPO(0.5),
        lambda: Sampled(0.1, sampler=Generous()),
        r"Generous: drew responses of shape \(2, 3\), asked for 2 to each of 2 prompts, \[2, 2, ...\]",
    ),
    "batches of opponents that count twice": (
        Against(DOUBLE),
        lambda: Sampled(0.1, gains=Batch()),
        "Sampled: the opponents of Against have weights that sum to 2, and Batch meets their mean; let them sum to 1",
    ),
    "labels of opponents that count twice": (
        Against(DOUBLE),
        lambda: Sampled(0.1, loss=PairLabel()),
        "the opponents of Against have weights that sum to 2, and PairLabel meets their mean",
    ),
    "others than oneself": (
        EGPO(0.5),
        lambda: Sampled(0.1, gains=Batch()),
        r"Sampled\(gains=Batch\(.*\)\): EGPO plays against another policy than the one that is sampled",
    ),
}


@record
class Generous(FromStart):
    def draw(self, key, prompts, count, scene):
        return super().draw(key, prompts, count + 1, scene)


@pytest.mark.parametrize("name", REFUSED_RUNS)
def test_a_run_that_would_be_wrong_is_refused_before_it_begins(name):
    rule, make, sentence = REFUSED_RUNS[name]
    with pytest.raises(ValueError, match=sentence):
        nashpo.solve(GAME, rule, learner=make(), steps=1)


def test_an_anchor_that_begins_with_the_policy_alone_is_refused_for_what_it_becomes():
    """At the first step no past policy exists, and MNPO without penalty steps from the present one."""
    game, rule = nashpo.Game.from_table(P), MNPO(0.5, (1.0, 1.0), "current")
    assert rule.stages(0.0, 0.0)[0].anchor["past1"] == 0
    with pytest.raises(ValueError, match="MNPO steps from another point than the policy that is trained"):
        nashpo.solve(game, rule, learner=Sampled(0.1, loss=ProximalPolicyGradient()), steps=1)


def test_parameters_are_mixed_where_a_loss_fits_no_stage_without_opponents():
    learner = Extrapolate(Sampled(0.1, loss=DPO()))
    assert nashpo.solve(GAME, APO(0.5, 0.3, base=IterativeDPO), learner=learner, steps=2).status is Status.FINISHED
    for wrong in (None, Sampled):
        with pytest.raises(ValueError, match=r"Extrapolate\(.*\): give a learner"):
            Extrapolate(wrong)


def test_a_single_response_gives_the_policy_gradient_too():
    """E over the response of the loss's gradient is minus the gradient of `eta E_pi g - KL(pi || anchor)`."""
    logits, anchor = jnp.array([[0.3, -0.4, 0.1]]), jax.nn.log_softmax(jnp.array([[0.0, 0.5, -0.2]]))
    gains, terms = jnp.array([[0.7, 0.2, 0.6]]), Terms(eta=0.8, beta=0.5, value=0.5, target="win_rate")

    def objective(logits):
        log_pi = jax.nn.log_softmax(logits)
        return -jnp.sum(jnp.exp(log_pi) * (terms.eta * gains - (log_pi - anchor)))

    def expected(logits):
        now = jax.nn.softmax(logits)[0]

        def single(response):
            def one(logits):
                own = jnp.array([[response]])
                log_pi, near, gain = (
                    jnp.take_along_axis(values, own, 1) for values in (jax.nn.log_softmax(logits), anchor, gains)
                )
                samples = Samples(None, jnp.ones(1), own, near, near, gain, *(None,) * 4)
                return PolicyGradient()(log_pi, samples, terms)[0]

            return jax.grad(one)(logits)

        return sum(now[y] * single(y) for y in range(3))

    np.testing.assert_allclose(expected(logits), jax.grad(objective)(logits), atol=1e-12)
    assert Sampled(0.1, loss=PolicyGradient(), responses=1).responses == 1
    for refused in ({"loss": SquaredGains()}, {"loss": PolicyGradient(), "gains": Batch()}):
        with pytest.raises(ValueError, match=r"Sampled\(responses=1\): must be a whole number, at least 2"):
            Sampled(0.1, responses=1, **refused)

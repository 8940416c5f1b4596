"""Parts that break one law only, the quiet ones: hidden state, wrong precision, numbers that are not leaves."""

import dataclasses
import itertools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from test_oracles import SCORES

from nashpo import testing
from nashpo.learners import Exact, Regression
from nashpo.mirror import Mirror
from nashpo.oracles import Noisy, Table
from nashpo.oracles.base import logistic
from nashpo.policies import Neural, Tabular
from nashpo.solvers import EGPO, INPO, IterativeDPO
from nashpo.stage import Move, Opponent, Stage, UpdateRule, against, pull
from nashpo.struct import record, static

TABLE = logistic(SCORES)
LOGITS = np.random.default_rng(3).normal(size=(2, 5))
CALLS = itertools.count()


def breaks(law):
    """The check must raise the sentence that names the law."""
    return pytest.raises(testing.BrokenLaw, match=re.escape(f'breaks the law "{law}'))


@record
class Tiring(Table):
    def win_rates(self, opponent, key=None):
        return super().win_rates(opponent) + 1e-15 * (next(CALLS) % 100)


@record
class Moody(Noisy):
    def win_rates(self, opponent, key=None):
        key = None if key is None else jax.random.fold_in(key, next(CALLS))
        return super().win_rates(opponent, key)


@record
class Hosted(Table):
    def win_rates(self, opponent, key=None):
        return np.einsum("xij,xj->xi", np.asarray(self.payoff), np.asarray(opponent))


@record
class Miscounting(Table):
    def scores(self, opponent):
        return self.win_rates(opponent)


@record
class Picky(Table):
    def check(self):
        raise ValueError("not today.")


@record
class HostedVotes(Table):
    def compare(self, key, prompts, left, right):
        return np.asarray(self.payoff)[np.asarray(prompts)[:, None], left, right]


@record
class RowByRow(Table):
    def compare(self, key, prompts, left, right):
        return self.payoff[::-1][: len(left)][np.arange(len(left))[:, None], left, right]


@record
class HalfVotes(Table):
    def compare(self, key, prompts, left, right):
        payoff = super().compare(key, prompts, left, right)
        return payoff.astype(np.float16).astype(payoff.dtype) if payoff.dtype == np.float32 else payoff


@record
class BothWays(Noisy):
    def draw(self, key):
        return self._vote(key, self.oracle.table())


@record
class Alike(Noisy):
    def compare(self, key, prompts, left, right):
        odds = self.oracle.table()[prompts[:, None], left, right]
        return (jax.random.uniform(key, odds.shape[1:]) < odds).astype(odds.dtype)


@record
class AlikeInRows(Noisy):
    def compare(self, key, prompts, left, right):
        odds = self.oracle.table()[prompts[:, None], left, right]
        return (jax.random.uniform(key, (len(odds), 1)) < odds).astype(odds.dtype)


@record
class Tempered(Table):
    temperature: float = static(default=1.0)


@pytest.mark.parametrize(
    ("oracle", "law"),
    [
        (Tiring(TABLE), "without a key the expectation is returned"),
        (Moody(Table(TABLE), votes=2), "one key is one draw"),
        (Hosted(TABLE), "the same numbers come out compiled and batched"),
        (HostedVotes(TABLE), "the same numbers come out compiled and batched"),
        (RowByRow(TABLE), "compare agrees with table()"),
        (HalfVotes(TABLE), "float32 stays float32 and agrees to its precision"),
        (Miscounting(TABLE), "scores are the expected log-odds of the table"),
        (Picky(TABLE), "check() accepts a sound oracle"),
        (BothWays(Table(TABLE), votes=2), "every draw is constant-sum"),
        (Alike(Table(TABLE)), "another key is another draw"),
        (AlikeInRows(Table(TABLE)), "another key is another draw"),
        (Tempered(TABLE), "a number is a leaf, structure is static"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_oracle_breaks_one_law(oracle, law):
    with breaks(law):
        testing.check_oracle(oracle, noisy=isinstance(oracle, Noisy), draws=500)


@record
class Empty:
    def log_probs(self):
        return np.log(np.full((1, 2), 0.5))


@record
class Sideways(Tabular):
    def sample(self, key, prompts, count):
        return super().sample(key, prompts, count).T


@record
class HostedPolicy(Tabular):
    def log_probs(self):
        return np.asarray(jax.nn.log_softmax(np.asarray(self.logits)))


@record
class Doubled(Tabular):
    def log_probs(self):
        return jnp.asarray(super().log_probs(), jnp.float64)


@record
class HostedPick(Tabular):
    def log_prob(self, prompts, responses):
        return np.asarray(self.log_probs())[np.asarray(prompts)[:, None], responses]


@record
class HostedSample(Tabular):
    def sample(self, key, prompts, count):
        return np.asarray(super().sample(key, prompts, count))


@record
class Keyless(Tabular):
    def sample(self, key, prompts, count):
        return super().sample(jax.random.key(7), prompts, count)


@record
class Renormalised(Tabular):
    def log_prob(self, prompts, responses):
        return jax.nn.log_softmax(super().log_prob(prompts, responses))


@record
class Stratified(Tabular):
    def sample(self, key, prompts, count):
        places, order = jax.random.split(key)
        total = jnp.cumsum(jnp.exp(jnp.asarray(self.log_probs()))[prompts], -1)
        levels = (jnp.arange(count) + jax.random.uniform(places, (len(prompts), 1))) / count
        drawn = jnp.sum(levels[:, :, None] > total[:, None, :-1], -1)
        return jax.random.permutation(order, drawn, axis=1, independent=True)


@record
class Echoing(Tabular):
    def sample(self, key, prompts, count):
        return jnp.tile(super().sample(key, prompts, (count + 1) // 2), 2)[:, :count]


@record
class Sharing(Tabular):
    def sample(self, key, prompts, count):
        drawn = super().sample(key, prompts, count)
        same = (prompts[1:] == prompts[:-1])[:, None] & (jnp.arange(count) < count // 2)
        return drawn.at[1:].set(jnp.where(same, drawn[:-1], drawn[1:]))


@record
class Stuck(Tabular):
    def log_probs(self):
        return jax.lax.stop_gradient(jnp.asarray(super().log_probs()))


@record
class StuckPick(Tabular):
    def log_prob(self, prompts, responses):
        return jax.lax.stop_gradient(jnp.asarray(super().log_prob(prompts, responses)))


@record
class Stubborn(Tabular):
    def with_params(self, params):
        return self


@record
class InPlace(Tabular):
    def with_params(self, params):
        object.__setattr__(self, "logits", params)
        return self


@record
class Forgetting(Tabular):
    shift: Any = 0.0

    def log_probs(self):
        return jax.nn.log_softmax(jnp.asarray(self.logits) + jnp.asarray(self.shift))

    def sample(self, key, prompts, count):
        return Tabular(self.log_probs()).sample(key, prompts, count)


@record
class Cached:
    """A policy whose log-probabilities were computed from the parameters once."""

    params: Any
    table: Any

    def log_probs(self):
        return jax.nn.log_softmax(jnp.asarray(self.table))

    def log_prob(self, prompts, responses):
        return self.log_probs()[prompts[:, None], responses]

    def sample(self, key, prompts, count):
        return Tabular(self.log_probs()).sample(key, prompts, count)

    def with_params(self, params):
        return dataclasses.replace(self, params=params)


@record
class Detached(Tabular):
    """A policy whose normaliser has no gradient."""

    def log_probs(self):
        logits = jnp.asarray(self.logits)
        return logits - jax.lax.stop_gradient(jax.nn.logsumexp(logits, axis=-1, keepdims=True))

    def log_prob(self, prompts, responses):
        return self.log_probs()[prompts[:, None], responses]

    def with_params(self, params):
        return dataclasses.replace(self, logits=params)


@record
class Jagged(Tabular):
    def log_probs(self):
        return super().log_probs() + 0.0 * jnp.sqrt(0.0 * jnp.asarray(self.logits))


@pytest.mark.parametrize(
    ("policy", "law"),
    [
        (Empty(), "parameters are leaves"),
        (Sideways(LOGITS), "sample(key, prompts, count) is [B, count] response indices"),
        (HostedPolicy(LOGITS), "the same numbers come out compiled and batched"),
        (HostedPick(LOGITS), "the same numbers come out compiled and batched"),
        (HostedSample(LOGITS), "the same numbers come out compiled and batched"),
        (Keyless(LOGITS), "sample(key, prompts, count) is [B, count] response indices"),
        (Renormalised(LOGITS), "log_prob picks from log_probs()"),
        (Stratified(LOGITS), "samples follow the probabilities"),
        (Echoing(LOGITS), "rows and draws are independent"),
        (Sharing(LOGITS), "rows and draws are independent"),
        (Stuck(LOGITS), "gradients go through log_probs() and through log_prob"),
        (StuckPick(LOGITS), "gradients go through log_probs() and through log_prob"),
        (Doubled(LOGITS), "float32 stays float32 and agrees to its precision"),
        (Jagged(LOGITS), "gradients of log-probabilities are finite"),
        (Stubborn(LOGITS), "with_params gives the policy of other parameters"),
        (InPlace(LOGITS), "with_params gives the policy of other parameters"),
        (Cached(LOGITS, LOGITS), "gradients are the slopes of log_probs()"),
        (Detached(LOGITS), "gradients are the slopes of log_probs()"),
        (Forgetting(LOGITS, shift=LOGITS[::-1]), "with_params gives the policy of other parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_breaks_one_law(policy, law):
    with breaks(law):
        testing.check_policy(policy)


class Fitting(Exact):
    """An exact learner whose log-probabilities pass through `spoil`."""

    def fit(self, carry, key, start, slots, stage, game):
        carry, policy, info = super().fit(carry, key, start, slots, stage, game)
        return carry, Tabular(self.spoil(policy.log_probs()), normalised=True), info


@record
class Remembering(Fitting):
    def spoil(self, log_probs):
        return log_probs + 1e-6 * next(CALLS)


@record
class Accumulating(Exact):
    def fit(self, carry, key, start, slots, stage, game):
        return (jnp.zeros(()), *super().fit(carry, key, start, slots, stage, game)[1:])


@record
class Crowded(Fitting):
    def spoil(self, log_probs):
        if len(log_probs) == 1:
            raise ValueError("one prompt is too few.")
        return log_probs


@record
class Floored(Fitting):
    def spoil(self, log_probs):
        return jnp.maximum(log_probs, -50.0)


@record
class Wide(Fitting):
    def spoil(self, log_probs):
        return log_probs.astype(jnp.float64)


@record
class Untargeted(Exact):
    def fit(self, carry, key, start, slots, stage, game):
        return super().fit(carry, key, start, slots, dataclasses.replace(stage, target="win_rate"), game)


@record
class Refusing(Untargeted):
    def check(self, rule, game):
        if any(stage.target != "win_rate" for stage in rule.stages(game.beta, 0.0)):
            raise ValueError("Refusing: win rates only.")


def test_a_learner_may_refuse_a_target():
    testing.check_learner(Refusing())


@pytest.mark.parametrize(
    ("learner", "law"),
    [
        (Untargeted(), "a fit hits its target (a step of log-odds)"),
        (Remembering(), "fit is a pure function"),
        (Accumulating(), "carry and policy keep their structure"),
        (Crowded(), "prompts are fitted as if alone"),
        (Floored(), "padded responses stay without probability"),
        (Wide(), "float32 stays float32 and agrees to its precision"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_learner_breaks_one_law(learner, law):
    with breaks(law):
        testing.check_learner(learner)


class Reading(Regression):
    """A partial learner that takes a stage or a game for another one."""

    def fit(self, carry, key, start, slots, stage, game):
        return super().fit(carry, key, start, slots, *self.taken(stage, game))


@record
class Weightless(Reading):
    def taken(self, stage, game):
        return dataclasses.replace(stage, opponents=tuple(Opponent(1.0, o.blend) for o in stage.opponents)), game


@record
class Unmixed(Reading):
    def taken(self, stage, game):
        met = tuple(Opponent(o.weight, {next(iter(o.blend)): 1.0}) for o in stage.opponents)
        return dataclasses.replace(stage, opponents=met), game


@record
class Halved(Reading):
    def taken(self, stage, game):
        return dataclasses.replace(stage, eta=stage.eta / 2), game


@record
class Unanchored(Reading):
    def taken(self, stage, game):
        kept = {slot: weight for slot, weight in stage.anchor.items() if slot != "reference"}
        return dataclasses.replace(stage, anchor=kept), game


@record
class Unweighted(Reading):
    def taken(self, stage, game):
        return stage, dataclasses.replace(game, prompts=jnp.full(3, 1 / 3))


@pytest.mark.parametrize(
    ("learner", "law"),
    [
        (Weightless(0.6), "fits heed weights of opponents"),
        (Unmixed(0.6), "fits heed mixtures of opponents"),
        (Halved(0.6), "fits heed mixtures of opponents"),
        (Unanchored(0.6), "fits heed the anchor"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_partial_learner_misreads_a_stage(learner, law):
    with breaks(law):
        testing.check_learner(learner, exact=False)


def linear():
    """A network of float32 in which prompts share parameters."""
    return Neural.from_module(nnx.Linear(2, 5, rngs=nnx.Rngs(0)), np.array([[1, 0], [0, 1], [1, 1]], np.float32))


def test_a_partial_learner_of_a_network_ignores_the_weights_of_prompts():
    with breaks("a prompt of weight 0 teaches nothing"):
        testing.check_learner(Unweighted(0.03, optimizer=optax.adam), start=linear(), exact=False, fits=40)


@record
class OtherBeta(Exact):
    def fit(self, carry, key, start, slots, stage, game):
        return super().fit(carry, key, start, slots, stage, dataclasses.replace(game, beta=0.3))


def test_an_exact_learner_ignores_beta():
    with breaks("a fit hits its target (a step of policy gradient)"):
        testing.check_learner(OtherBeta())


@record
class Misreporting(INPO):
    report = "half"


@record
class Listing(INPO):
    def stages(self, beta, step):
        return [Stage(pull(self.eta, beta), against("now"), self.eta)]


@record
class Moving(INPO):
    def moves(self, step):
        return {"magnet": Move("now")}


@record
class Boasting(INPO):
    def proven_step(self, beta, bound):
        return -1.0


@record
class Unscaled(INPO):
    def proven_step(self, beta, bound):
        return 2.0


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (Misreporting(0.3), "memory, stored and report fit together"),
        (Listing(0.3), "stages are a tuple of Stage"),
        (Moving(0.3), "moves go between slots"),
        (Boasting(0.3), "proven_step is a step size"),
        (Unscaled(0.3), "proven_step is a step size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_breaks_one_law(rule, law):
    with breaks(law):
        testing.check_rule(rule)


@record
class Losing(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), (Opponent(-1.0, {"now": 1.0}),), self.eta),)


@record
class Offside(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("reference"), self.eta),)


@pytest.mark.parametrize(
    ("rule", "options", "law"),
    [
        (Losing(0.3), {}, "a response that beats all others is played more"),
        (Offside(0.3), {"rest": "regularised"}, "an equilibrium is not left (beta = 0.1)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_of_another_game_is_told_so(rule, options, law):
    with breaks(law):
        testing.check_rule(rule, **options)


@record
class Louder(Mirror):
    def policy(self, state):
        return Tabular(state.slots["now"].log_probs() + 0.1, normalised=True)


@record
class Random(Mirror):
    def step(self, game, state, key):
        return super().step(game, state._replace(step=state.step + next(CALLS)), key)


@record
class Rounds(Mirror):
    rounds: int = static(default=1)


@record
class DoubledAnswer(Mirror):
    def policy(self, state):
        return Tabular(state.slots["now"].log_probs().astype(jnp.float64), normalised=True)


@record
class Calling(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        now = state.slots["now"].log_probs()
        same = jax.pure_callback(lambda log: log, jax.ShapeDtypeStruct(now.shape, now.dtype), now)
        return state._replace(slots={"now": Tabular(same, True)}), info


RULE = EGPO(0.3)


@pytest.mark.parametrize(
    ("solver", "options", "law"),
    [
        (Louder(RULE), {}, "answers are policies"),
        (Random(RULE), {}, "the same run gives the same bits"),
        (Rounds(RULE, rounds=1), {"other": Rounds(RULE, rounds=2)}, "new numbers do not compile again"),
        (DoubledAnswer(RULE), {}, "float32 stays float32 and agrees to its precision"),
        (Calling(RULE), {}, "runs can be batched with jax.vmap"),
        (Mirror(IterativeDPO(0.3)), {"affine": False}, "win rates of 0 and 1 are borne"),
        (Mirror(RULE), {"rest": "both"}, "the rest point is one of those that are known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_solver_breaks_one_law(solver, options, law):
    with breaks(law):
        testing.check_solver(solver, **options)

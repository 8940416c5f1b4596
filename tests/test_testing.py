"""The conformance checks: every part of the library passes its own, and every broken part is told what is wrong."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_oracles import REWARDS, SCORES

from nashpo import testing
from nashpo.learners import Exact
from nashpo.mirror import Mirror
from nashpo.oracles import BradleyTerry, Noisy, Table
from nashpo.oracles.base import logistic
from nashpo.policies import Tabular
from nashpo.solvers import EGPO, IterativeDPO, RegretMatching
from nashpo.stage import Stage, UpdateRule, against, pull
from nashpo.struct import record, static

LOGITS = np.random.default_rng(3).normal(size=(2, 5))


def breaks(law):
    """The check must raise the sentence that names the law."""
    return pytest.raises(AssertionError, match=re.escape(f'breaks the law "{law}'))


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray], ids=["NumPy", "JAX"])
def test_every_policy_passes(make):
    testing.check_policy(Tabular(make(LOGITS)))
    normalised = LOGITS - np.log(np.sum(np.exp(LOGITS), axis=-1, keepdims=True))
    testing.check_policy(Tabular(make(normalised), normalised=True), extreme=None)


def test_every_learner_passes():
    testing.check_learner(Exact())


@record
class Transposed(Table):
    def win_rates(self, opponent, key=None):
        return jnp.einsum("xji,xj->xi", self.payoff, opponent)


@record
class Normalising(Table):
    def win_rates(self, opponent, key=None):
        return super().win_rates(opponent / opponent.sum(-1, keepdims=True), key)


@record
class Mixing(Table):
    def win_rates(self, opponent, key=None):
        return super().win_rates(opponent[::-1], key)


@record
class Backwards(Table):
    def compare(self, key, prompts, left, right):
        return super().compare(key, prompts, right, left)


@record
class Secretive(Table):
    def win_rates(self, opponent, key=None):
        rates = super().win_rates(opponent)
        return rates if key is None else rates + 1e-3 * jax.random.normal(key, rates.shape)


@record
class Wide(Table):
    def table(self):
        return jnp.asarray(self.payoff, jnp.float64)


@record
class Modest(Table):
    def bound(self):
        return 0.01


@record
class Deaf(Noisy):
    def win_rates(self, opponent, key=None):
        return self.oracle.win_rates(opponent)


@record
class Biased(Noisy):
    def table(self):
        return 0.5 + 0.9 * (self.oracle.table() - 0.5)

    def win_rates(self, opponent, key=None):
        rates = super().win_rates(opponent, key)
        return rates if key is not None else 0.9 * rates + 0.05 * opponent.sum(-1, keepdims=True)


TABLE = logistic(SCORES)
UNEVEN = TABLE.copy()
UNEVEN[1, 0, 2] += 0.01
ORACLE_LAWS = {
    "payoffs are constant-sum": Table(UNEVEN),
    "win rates of p against q and of q against p are constant-sum": Mixing(TABLE),
    "win_rates agrees with table()": Transposed(SCORES, "score"),
    "win rates are linear in the opponent": Normalising(TABLE),
    "compare agrees with table()": Backwards(TABLE),
    "only a noisy oracle uses its key": Secretive(TABLE),
    "float32 stays float32 and agrees to its precision": Wide(TABLE),
    "bound() is a bound": Modest(TABLE),
    "table() is [prompts, responses, responses], finite and on its scale": Table(2 * TABLE),
    "it is a pytree": type("Opaque", (BradleyTerry,), {})(REWARDS),
    "it has scale, shape, table, win_rates and compare": Exact(),
}
NOISY_LAWS = {
    "another key is another draw": Deaf(Table(TABLE), votes=3),
    "draws have the stated expectation": Biased(Table(TABLE), votes=3),
}


@pytest.mark.parametrize("law", [*ORACLE_LAWS, *NOISY_LAWS])
def test_a_broken_oracle_is_told_its_law(law):
    noisy = law in NOISY_LAWS
    with breaks(law):
        testing.check_oracle((NOISY_LAWS if noisy else ORACLE_LAWS)[law], noisy=noisy)


@record
class Loud(Tabular):
    def log_prob(self, prompts, responses):
        return self.logits[prompts[:, None], responses]


@record
class Uniform(Tabular):
    def sample(self, key, prompts, count):
        return jax.random.randint(key, (len(prompts), count), 0, self.logits.shape[1])


@record
class Copying(Tabular):
    def sample(self, key, prompts, count):
        logits = jnp.asarray(self.logits)[prompts]
        return jax.vmap(lambda row: jax.random.categorical(key, row, shape=(count,)))(logits)


@record
class Steep(Tabular):
    def log_probs(self):
        exponents = jnp.exp(jnp.asarray(self.logits))
        return jnp.log(exponents / exponents.sum(-1, keepdims=True))


POLICY_LAWS = {
    "log_probs() is normalised": Tabular(LOGITS, normalised=True),
    "log_prob picks from log_probs()": Loud(LOGITS),
    "samples follow the probabilities": Uniform(LOGITS),
    "rows and draws are independent": Copying(LOGITS),
    "log_probs() is [prompts, responses] and finite": Steep(LOGITS),
}


@pytest.mark.parametrize("law", POLICY_LAWS)
def test_a_broken_policy_is_told_its_law(law):
    with breaks(law):
        testing.check_policy(POLICY_LAWS[law])


@record
class Lazy(Exact):
    def fit(self, carry, key, start, slots, stage, game):
        return carry, start, {}


@record
class Shy(Exact):
    def fit(self, carry, key, start, slots, stage, game):
        stage = dataclasses.replace(stage, eta=0.5 * stage.eta) if stage.tentative else stage
        return super().fit(carry, key, start, slots, stage, game)


@record
class Geometric(Exact):
    def average(self, average, policy, count):
        mixed = (count * average.log_probs() + policy.log_probs()) / (count + 1)
        return Tabular(mixed - jax.nn.logsumexp(mixed, axis=-1, keepdims=True), normalised=True)


@record
class Forgetful(Exact):
    def init(self, policy, like):
        return super().init(Tabular(jnp.zeros_like(policy.log_probs())), like)


@pytest.mark.parametrize(
    ("learner", "exact", "law"),
    [
        (Lazy(), True, "a fit hits its target (a mirror step)"),
        (Lazy(), False, "fits approach their target (a mirror step)"),
        (Shy(), True, "a tentative stage is fitted like any other"),
        (Geometric(), True, "average is the arithmetic mean"),
        (Forgetful(), True, "init keeps the policy"),
    ],
)
def test_a_broken_learner_is_told_its_law(learner, exact, law):
    with breaks(law):
        testing.check_learner(learner, exact=exact)


@record
class Leaky(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage({"now": 1.0 - self.eta * beta}, against("now"), self.eta),)


@record
class Early(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("half"), self.eta),)


@record
class Aside(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("now"), self.eta, write="half"),)


@record
class Frozen(UpdateRule):
    eta: float = static(default=0.3)

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("now"), self.eta),)


@record
class Anything(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("now"), self.eta),)

    def check(self, game, bound):
        pass


@record
class Unaware(EGPO):
    eta: float
    penalised = False


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (Unaware(0.3), "`penalised` says whether beta matters"),
        (Leaky(0.3), "weights of a mixture sum to one"),
        (Early(0.3), "stages read slots that exist"),
        (Aside(0.3), "the last iterate is written"),
        (Frozen(), "a number is a leaf, structure is static"),
        (Anything(0.3), "a step size is positive and finite, or refused"),
        (object(), "it is an update rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_told_its_law(rule, law):
    with breaks(law):
        testing.check_rule(rule)


@record
class Elsewhere(Mirror):
    def init(self, game, start):
        return super().init(game, game.reference)


@record
class Counting(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        return state._replace(step=state.step + 1.0), info


@record
class Positional(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        logits = state.slots["now"].log_probs()
        return state._replace(slots={"now": Tabular(jax.nn.log_softmax(logits.at[:, 0].add(0.01)), True)}), info


@record
class Sharpening(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        now = jax.nn.log_softmax(1.01 * state.slots["now"].log_probs())
        return state._replace(slots={"now": Tabular(now, True)}), info


@record
class Smoothing(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        probs = jnp.exp(state.slots["now"].log_probs())
        now = jnp.log(0.999 * probs + 0.001 / probs.shape[-1])
        return state._replace(slots={"now": Tabular(now, True)}), info


@record
class Gossiping(Mirror):
    def step(self, game, state, key):
        state, info = super().step(game, state, key)
        logits = state.slots["now"].log_probs()
        logits = logits + 0.01 * (logits.mean(0, keepdims=True) - logits)
        return state._replace(slots={"now": Tabular(jax.nn.log_softmax(logits), True)}), info


RULE = EGPO(0.3)


@pytest.mark.parametrize(
    ("solver", "options", "law"),
    [
        (object(), {}, "it has init, step, policy and last"),
        (Elsewhere(RULE), {}, "a run begins at its start"),
        (Counting(RULE), {}, "the state keeps its structure"),
        (Smoothing(RULE), {}, "padding is exact"),
        (Gossiping(RULE), {}, "prompts are solved as if alone"),
        (Mirror(IterativeDPO(0.3)), {"certain": False}, "payoffs 2P - 1 with 2 beta and eta / 2 change only the units"),
        (Positional(RULE), {}, "relabelled responses give the relabelled answer"),
        (Sharpening(RULE), {"rest": "any"}, "an equilibrium is not left"),
        (RegretMatching(), {"certain": False}, "win rates of 0 and 1 are refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_solver_is_told_its_law(solver, options, law):
    with breaks(law):
        testing.check_solver(solver, **options)


@record
class Switching(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage(pull(self.eta, beta), against("now"), self.eta if step < 3 else self.eta / 2),)


def test_a_branch_on_a_value_is_told_what_to_do_whichever_law_met_it():
    with pytest.raises(
        testing.BrokenLaw, match=r"TracerBoolConversionError was raised .*; it is compiled: compute with"
    ):
        testing.check_rule(Switching(0.3))


@pytest.mark.parametrize(
    ("check", "part"),
    [
        (testing.check_oracle, Table),
        (testing.check_policy, Tabular),
        (testing.check_rule, EGPO),
        (testing.check_learner, Exact),
        (testing.check_solver, RegretMatching),
    ],
)
def test_a_class_is_asked_for_an_instance(check, part):
    with pytest.raises(
        testing.BrokenLaw, match=rf"^{part.__name__} breaks the law .*it is the class; give {part.__name__}\("
    ):
        check(part)


def test_a_sentence_says_who_where_by_how_much_and_what_to_do():
    with pytest.raises(testing.BrokenLaw) as caught:
        testing.check_oracle(Table(UNEVEN))
    sentence = str(caught.value)
    for part in ("Table breaks", "prompt 1, response 0, against 2", "off by 0.01", "fill table[x, j, i]"):
        assert part in sentence

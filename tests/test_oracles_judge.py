"""Judges that cannot be listed, and listed oracles that are asked about tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Judge, Noisy, Sequences, Table
from nashpo.policies import Answers, Tabular
from nashpo.policies.listed import Listed
from nashpo.struct import record
from nashpo.testing import check_oracle
from nashpo_games.judges import DuelJudge

ANSWERS = Answers(vocabulary=3, length=2, end=True)
TOKENS = np.asarray(ANSWERS.tokens())
X, A = 2, ANSWERS.count
TABLE = Table(np.asarray(DuelJudge(length=2)(np.arange(X), TOKENS[None, :, None], TOKENS[None, None])))
EMBEDDED = GeneralPreference(np.random.default_rng(0).standard_normal((X, A, 4)))
JUDGE = Judge(DuelJudge(length=2))
PROMPTS = np.array([1, 0, 1])
LEFT, RIGHT = np.random.default_rng(1).integers(0, A, (2, 3, 7))
KEY = jax.random.key(0)


def biased(prompts, left, right):
    """Prefers what it sees first."""
    return 0.9 * DuelJudge(length=2)(prompts, left, right) + 0.1


def scored(prompts, left, right):
    """Log-odds in place of probabilities."""
    payoff = DuelJudge(length=2)(prompts, left, right)
    return jnp.log(payoff) - jnp.log1p(-payoff)


# Listed oracles


@pytest.mark.parametrize("name", ["oracle", "value", "shape", "scale"])
def test_sequences_are_the_listed_oracle(name):
    for oracle in (TABLE, EMBEDDED):
        assert getattr(Sequences(oracle, ANSWERS), name) == (oracle if name == "oracle" else getattr(oracle, name))


@record
class Numbered(Sequences):
    """Asked in numbers, as `check_oracle` does."""

    def compare(self, key, prompts, left, right):
        return Sequences(self.oracle, self.answers).compare(
            key, prompts, self.answers.tokens(left), self.answers.tokens(right)
        )


@pytest.mark.parametrize("oracle", [TABLE, EMBEDDED], ids=["table", "scores"])
def test_every_law_of_oracles_holds(oracle):
    check_oracle(Numbered(oracle, ANSWERS))


def test_tokens_are_looked_up_with_their_key():
    noisy = Noisy(TABLE, votes=3)
    found = Sequences(noisy, ANSWERS).compare(KEY, PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])
    np.testing.assert_array_equal(found, noisy.compare(KEY, PROMPTS, LEFT, RIGHT))


def test_what_is_no_answer_is_no_payoff():
    left, right = TOKENS[LEFT].copy(), TOKENS[RIGHT].copy()
    left[1, 2], right[2, 0] = [7, 0], [-1, -1]
    for xp in (np, jnp):
        found = np.asarray(Sequences(TABLE, ANSWERS).compare(KEY, PROMPTS, xp.asarray(left), xp.asarray(right)))
        assert np.argwhere(np.isnan(found)).tolist() == [[1, 2], [2, 0]]


def test_an_oracle_over_other_responses_is_refused():
    with pytest.raises(ValueError, match="Table compares 13 responses, but there are 9 answers"):
        nashpo.Game.from_oracle(Sequences(TABLE, Answers(3, 2)))
    rewards = BradleyTerry(np.full((1, 9), np.nan))
    with pytest.raises(ValueError, match="finite"):
        nashpo.Game.from_oracle(Sequences(rewards, Answers(3, 2)))


def test_a_game_of_sequences_is_solved_like_its_table():
    game = nashpo.Game.from_oracle(Sequences(TABLE, ANSWERS), beta=0.2)
    plain = nashpo.Game.from_oracle(TABLE, beta=0.2)
    results = [nashpo.solve(g, nashpo.solvers.EGPO(eta=1.0), steps=200, every=200) for g in (game, plain)]
    np.testing.assert_array_equal(*(np.asarray(result.policy.probs()) for result in results))
    assert float(nashpo.duality_gap(game, results[0].policy)) < 1e-12
    assert float(nashpo.equilibrium(game).gap) < 1e-20


# Judges


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("symmetrise", [False, True])
def test_a_judge_agrees_with_the_sequences_of_its_table(xp, symmetrise):
    judge = Judge(DuelJudge(length=2), symmetrise=symmetrise)
    left, right = xp.asarray(TOKENS[LEFT]), xp.asarray(TOKENS[RIGHT])
    found = judge.compare(KEY, xp.asarray(PROMPTS), left, right)
    np.testing.assert_allclose(found, Sequences(TABLE, ANSWERS).compare(KEY, PROMPTS, left, right), atol=1e-14)
    np.testing.assert_allclose(found, TABLE.payoff[PROMPTS[:, None], LEFT, RIGHT], atol=1e-14)
    judge.probe(xp.asarray(PROMPTS), left, right)


def test_a_judge_writes_its_table_out():
    np.testing.assert_allclose(JUDGE.tabulate(X, ANSWERS), TABLE.payoff, atol=1e-14)


def test_asking_in_both_orders_takes_a_bias_away():
    raw = Judge(biased).compare(KEY, PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])
    fair = Judge(biased, symmetrise=True).tabulate(X, ANSWERS)
    np.testing.assert_allclose(raw, 0.9 * TABLE.payoff[PROMPTS[:, None], LEFT, RIGHT] + 0.1, atol=1e-14)
    np.testing.assert_allclose(fair, 0.9 * TABLE.payoff + 0.05, atol=1e-14)
    np.testing.assert_allclose(fair + jnp.swapaxes(fair, 1, 2), 1, atol=1e-14)
    with pytest.raises(ValueError, match=r"both orders sum to 1\.1 in row 0, pair 0, .* set symmetrise=True"):
        Judge(biased).probe(PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])
    Judge(biased, symmetrise=True).probe(PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])


@pytest.mark.parametrize("symmetrise", [False, True])
def test_scores_are_judged_too(symmetrise):
    judge = Judge(scored, scale="score", symmetrise=symmetrise)
    assert judge.value == 0.0
    judge.probe(PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])
    found = judge.tabulate(X, ANSWERS)
    np.testing.assert_allclose(found, np.log(TABLE.payoff) - np.log1p(-TABLE.payoff), atol=1e-12)


@pytest.mark.parametrize(
    ("said", "scale", "judged"),
    [
        ([0.0, 0.25, 1.0], "probability", [0.0, 0.25, 1.0]),
        ([1.5, -0.2, 0.5], "probability", [np.nan, np.nan, 0.5]),
        ([np.nan, np.inf, -np.inf], "probability", [np.nan] * 3),
        ([1 + 1e-9, -1e-9, 1 + 1e-5], "probability", [1.0, 0.0, np.nan]),
        ([3.0, np.inf, np.nan], "score", [3.0, np.nan, np.nan]),
        ([True, False, True], "probability", [1.0, 0.0, 1.0]),
    ],
)
def test_what_is_no_payoff_becomes_nan(said, scale, judged):
    judge = Judge(lambda prompts, left, right: jnp.asarray(said)[left], scale=scale)
    index = np.arange(3)[None]
    found = jax.jit(lambda j: j.compare(None, np.array([0]), index, index))(judge)
    assert jnp.issubdtype(found.dtype, jnp.floating)
    np.testing.assert_array_equal(found, [judged])


def test_one_wrong_order_spoils_a_symmetrised_comparison():
    judge = Judge(lambda prompts, left, right: jnp.where(left > right, 1.2, 0.5), symmetrise=True)
    found = judge.compare(None, np.array([0]), np.array([[0, 1]]), np.array([[1, 1]]))
    np.testing.assert_array_equal(found, [[np.nan, 0.5]])
    with pytest.raises(ValueError, match=r"the judge says 1\.2 of row 0, pair 0: win probabilities lie between"):
        judge.probe(np.array([0]), np.array([[0, 1]]), np.array([[1, 1]]))


@pytest.mark.parametrize("shape", [(3,), (3, 7, 1), (7, 3)])
def test_another_shape_is_refused_while_tracing(shape):
    judge = Judge(lambda prompts, left, right: jnp.zeros(shape))
    with pytest.raises(ValueError, match=r"the judge <lambda> returns shape .* \[B, K\] = \(3, 7\)"):
        jax.jit(judge.compare)(KEY, PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [
        (Judge(lambda *_: 0.5, scale="odds"), r"scale='odds': a judge pays on the scale"),  # type: ignore[arg-type]
        (Judge(0.5), r"function=0.5: a judge is a function"),  # type: ignore[arg-type]
    ],
)
def test_games_of_no_judge_are_refused(judge, sentence):
    reference = Listed(Tabular(np.zeros((X, A))), ANSWERS)
    with pytest.raises(ValueError, match=sentence):
        nashpo.Game.from_oracle(judge, beta=0.1, reference=reference, prompts=np.ones(X))


def test_a_game_of_a_judge_lists_nothing():
    reference = Listed(Tabular(np.zeros((X, A))), ANSWERS)
    game = nashpo.Game.from_oracle(JUDGE, beta=0.1, reference=reference, prompts=np.ones(X))
    assert game.scale == "probability"
    assert not hasattr(game.oracle, "win_rates")


def test_judges_of_equal_settings_share_a_program():
    traces = []

    @jax.jit
    def asked(judge):
        traces.append(judge)
        return judge.compare(KEY, PROMPTS, TOKENS[LEFT], TOKENS[RIGHT])

    asked(Judge(DuelJudge(length=2)))
    asked(Judge(DuelJudge(length=2)))
    assert len(traces) == 1


def test_single_precision_stays_single():
    with jax.enable_x64(False):
        found = JUDGE.compare(KEY, PROMPTS, jnp.asarray(TOKENS[LEFT]), jnp.asarray(TOKENS[RIGHT]))
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, TABLE.payoff[PROMPTS[:, None], LEFT, RIGHT], atol=1e-6)

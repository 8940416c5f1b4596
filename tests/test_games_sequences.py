"""Token games: what their docstrings claim, that nobody wins them, and the exact equilibrium."""

import itertools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.describe import describe
from nashpo.oracles import Judge
from nashpo_games import judges, sequences

GAMES = {
    "token_majority": judges.MajorityJudge(),
    "token_duels": judges.DuelJudge(),
    "token_features": judges.FeatureJudge(),
    "token_length_bias": judges.LengthBiasedJudge(),
}
every = pytest.mark.parametrize("name", GAMES)


def game_of(name, **arguments):
    return getattr(sequences, name)(**arguments)


def beats(a, b, vocabulary=3):
    """1, 0 or -1: whether token a beats the (V - 1)/2 tokens that follow it in the circle."""
    ahead = (b - a) % vocabulary
    reach = (vocabulary - 1) // 2
    return 1 if 1 <= ahead <= reach else -1 if 1 <= (-ahead) % vocabulary <= reach else 0


def majority(x, y, z):
    """The log-odds of `token_majority`, from its docstring."""

    def leader(said):
        counts = [*Counter(said).most_common(), (None, 0), (None, 0)]
        return counts[0][0], counts[0][1] - counts[1][1]

    (a, m), (b, n) = leader(y), leader(z)
    aim = 1 + x % 3
    cycle = beats(a, b) * (m + n) / 2 if m and n else 0
    return 2.0 * cycle - 0.3 * (abs(len(y) - aim) - abs(len(z) - aim))


def duels(x, y, z, bonus=0.6, cost=0.1):
    """The log-odds of `token_duels`, from its docstring."""
    wins = sum(0.7**t * beats(a, b) for t, (a, b) in enumerate(zip(y, z, strict=False)))
    favourite = (x % 3 in y) - (x % 3 in z)
    return 2.0 * (-1) ** x * wins + bonus * favourite - cost * (len(y) - len(z))


def features(x, y, z):
    """The log-odds of `token_features`, from its docstring."""
    weights = judges._projections(3, 2, 12, 0)[x]

    def point(said):
        phi = np.zeros(13)
        phi[0] = 1
        for a in said:
            phi[1 + a] += 1
        for a, b in itertools.pairwise(said):
            phi[4 + 3 * a + b] += 1
        v = phi @ weights
        return v / np.linalg.norm(v)

    v, w = point(y), point(z)
    return sum(v[2 * k] * w[2 * k + 1] - v[2 * k + 1] * w[2 * k] for k in range(6)) / 0.3


def sigmoid(s):
    return 1 / (1 + math.exp(-s))


RULES = {
    "token_majority": lambda *pair: sigmoid(majority(*pair)),
    "token_duels": lambda *pair: sigmoid(duels(*pair)),
    "token_features": lambda *pair: sigmoid(features(*pair)),
    "token_length_bias": lambda x, y, z: 0.8 * sigmoid(duels(x, y, z, 0, 0)) + 0.2 * (0.5 + (len(y) - len(z)) / 6),
}


@every
def test_the_table_is_what_the_docstring_says(name, rng):
    game = game_of(name)
    said = [[t for t in row if t < 3] for row in np.asarray(game.oracle.answers.tokens()).tolist()]
    table = game.oracle.table()
    for x, i, j in zip(*(rng.integers(0, n, 300) for n in (game.shape[0], 40, 40)), strict=True):
        assert table[x, i, j] == pytest.approx(RULES[name](int(x), said[i], said[j]), abs=1e-12)


@every
def test_answers_have_names_and_every_length(name):
    game = game_of(name)
    answers = game.oracle.answers
    assert game.shape[1] == answers.count == 40
    assert [len(item.replace("-", "")) for item in game.items] == answers.lengths().tolist()
    assert set(answers.lengths().tolist()) == {0, 1, 2, 3}


@every
def test_the_reference_is_uniform_over_next_tokens(name):
    game = game_of(name, beta=0.1)
    lengths = np.asarray(game.oracle.answers.lengths())
    np.testing.assert_allclose(game.reference.probs()[0], 4.0 ** -np.minimum(lengths + 1, 3), rtol=1e-12)
    np.testing.assert_allclose(game.reference.probs().sum(-1), 1, rtol=1e-14)


@every
def test_nobody_beats_everybody(name):
    game = game_of(name)
    assert game.shape[0] >= 2
    for table in game.oracle.table():
        report = describe(table)
        assert report.condorcet_winner is None
        assert len(report.smith_set) > 30
        assert report.cyclic_triples > 300
        assert report.cyclic_share > 0.1


@every
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_the_exact_equilibrium_is_known_and_mixed(name, beta):
    game = game_of(name, beta=beta)
    solution = nashpo.equilibrium(game)
    assert solution.gap < 1e-14
    assert float(nashpo.duality_gap(game, solution)) < 1e-14
    probs = np.asarray(solution.probs())
    assert (np.sum(probs > 1e-6, axis=-1) >= 3).all()
    assert float(nashpo.duality_gap(game, game.reference)) > 1e-2


@pytest.mark.parametrize("name", ["token_majority", "token_features"])
def test_prompts_have_equilibria_of_their_own(name):
    probs = np.asarray(nashpo.equilibrium(game_of(name, beta=0.1)).probs())
    lengths = game_of(name).oracle.answers.lengths()
    assert 0.5 * np.abs(probs[0] - probs[1]).sum() > 0.2
    assert abs(np.diff(probs @ lengths)[0]) > 0.5


def test_the_prompt_turns_the_duels_and_changes_the_favourite():
    game = sequences.token_duels(beta=0.1)
    names, table = game.items, game.oracle.table()
    a, b = names.index("a"), names.index("b")
    assert table[0, a, b] > 0.5 > table[1, a, b]
    assert table[2, a, b] > 0.5
    np.testing.assert_allclose(game.prompts, np.array([1, 2, 3]) / 6)
    probs = np.asarray(nashpo.equilibrium(game).probs())
    has = np.array([[letter in name for name in names] for letter in "abc"])
    shares = probs @ has.T
    assert (shares.argmax(axis=1) == np.arange(3)).all()
    unloved = np.asarray(nashpo.equilibrium(sequences.token_duels(bonus=0.0, beta=0.1)).probs()) @ has.T
    assert (np.diag(shares) > unloved.max() + 0.05).all()


def test_length_pays_the_more_the_more_it_is_liked():
    lengths = sequences.token_length_bias().oracle.answers.lengths()
    biases = (0.0, 0.2, 0.6, 1.0)
    games = [sequences.token_length_bias(bias=bias, beta=0.1) for bias in biases]
    means = [float((nashpo.equilibrium(game).probs() @ lengths).mean()) for game in games]
    assert means == sorted(means)
    assert means[0] == pytest.approx(float(games[0].reference.probs()[0] @ lengths), abs=1e-9)
    assert means[-1] > 2.5
    table = sequences.token_length_bias(bias=1.0).oracle.table()[0]
    full = np.where(np.asarray(lengths) == 3, np.random.default_rng(0).random(40), 0.0)
    assert (table @ (full / full.sum())).max() <= 0.5 + 1e-14


@pytest.mark.parametrize("beta", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("vocabulary", [3, 5])
def test_without_bonus_and_cost_the_reference_is_the_equilibrium(vocabulary, beta):
    game = sequences.token_duels(vocabulary, length=2, bonus=0.0, cost=0.0, beta=beta)
    assert float(nashpo.duality_gap(game, game.reference)) < 1e-14
    np.testing.assert_allclose(game.oracle.win_rates(np.asarray(game.reference.probs())), 0.5, atol=1e-14)


def test_renaming_the_tokens_round_the_circle_changes_nothing():
    game = sequences.token_majority(beta=0.1)
    answers = game.oracle.answers
    tokens = np.asarray(answers.tokens())
    renamed = answers.index(np.where(tokens < 3, (tokens + 1) % 3, 3))
    table, probs = game.oracle.table(), np.asarray(nashpo.equilibrium(game).probs())
    np.testing.assert_array_equal(table[:, renamed][:, :, renamed], table)
    np.testing.assert_allclose(probs[:, renamed], probs, atol=1e-12)


@every
def test_the_judge_is_a_function_of_tokens_that_compiles(name, rng):
    game, judge = game_of(name), Judge(GAMES[name])
    judge.check()
    prompts = np.array([1, 0])
    left, right = rng.integers(0, 40, (2, 2, 60))
    tokens = game.oracle.answers.tokens
    found = jax.jit(judge.compare)(None, prompts, jnp.asarray(tokens(left)), jnp.asarray(tokens(right)))
    expected = game.oracle.compare(None, prompts, tokens(left), tokens(right))
    np.testing.assert_allclose(found, expected, atol=1e-13)
    alike = [GAMES[name], type(GAMES[name])()]
    assert len(set(alike)) == 1
    rubbish = np.array([[[0, 3, 1]], [[0, 3, 7]]])
    clean = np.array([[[0, 3, 3]], [[0, 3, 3]]])
    other = tokens(np.array([[39], [12]]))
    np.testing.assert_array_equal(GAMES[name](prompts, rubbish, other), GAMES[name](prompts, clean, other))


def test_features_follow_their_seed():
    first, again, other = (sequences.token_features(length=2, seed=seed).oracle.table() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(first[0] - first[1]).max() > 0.1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sequences.token_majority(2), r"vocabulary is 2, but must be a whole number, 3 or more"),
        (lambda: sequences.token_duels(length=0), r"length is 0"),
        (lambda: sequences.token_majority(3, 8), r"make 9,841 answers: at most 2,500 fit in a table"),
        (lambda: sequences.token_majority(3, 10**6), r"make inf answers: at most 2,500"),
        (lambda: sequences.token_duels(prompts=0), r"prompts is 0"),
        (lambda: sequences.token_majority(gain=-1), r"gain is -1"),
        (lambda: sequences.token_duels(decay=1.5), r"decay is 1.5, but must lie between 0 and 1"),
        (lambda: sequences.token_features(d=5), r"d is 5, but must be even"),
        (lambda: sequences.token_features(temperature=0), r"temperature is 0, but must be a positive number"),
        (lambda: sequences.token_length_bias(bias=2), r"bias is 2"),
    ],
)
def test_bad_arguments_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)

"""Games: what goes in comes out, bad input is named, stacking changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import REFERENCE, random_table

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Mixture, Noisy, Table
from nashpo.policies import Tabular


def test_a_numpy_table_stays_what_it_is():
    table = random_table(0)
    game = nashpo.Game.from_table(table, beta=0.1)
    assert game.oracle.table().dtype == np.float64
    np.testing.assert_array_equal(game.oracle.table()[0], table)
    assert nashpo.Game.from_table(table.astype(np.float32), beta=0.1).oracle.table().dtype == np.float32


def test_a_jax_table_stays_in_jax():
    table = jnp.asarray(random_table(0))
    assert nashpo.Game.from_table(table, beta=0.1).oracle.table() is not None
    assert isinstance(nashpo.Game.from_table(table, beta=0.1).oracle.table(), jax.Array)


def test_a_game_can_be_made_inside_a_compiled_function():
    @jax.jit
    def gap(table, beta, reference):
        game = nashpo.Game.from_table(table, beta=beta, reference=reference)
        return nashpo.duality_gap(game, game.reference)

    expected = nashpo.Game.from_table(random_table(0), beta=0.1, reference=REFERENCE)
    np.testing.assert_allclose(
        gap(random_table(0), 0.1, REFERENCE), nashpo.duality_gap(expected, REFERENCE), rtol=1e-10
    )
    assert gap(random_table(0), 0.0, REFERENCE) > 0


def test_one_reference_serves_every_prompt_and_weights_are_normalised():
    game = nashpo.Game.from_table(np.stack([random_table(0)] * 2), beta=0.1, reference=REFERENCE, prompts=[1, 3])
    np.testing.assert_allclose(game.reference.probs(), [REFERENCE] * 2, rtol=1e-12)
    np.testing.assert_allclose(game.prompts, [0.25, 0.75])
    assert game.shape == (2, 5)


def test_a_game_says_what_it_is():
    game = nashpo.Game.from_table(random_table(0), beta=0.1, items=list("abcde"))
    assert repr(game) == "Game(5 responses, 1 prompt, beta=0.1, win probabilities)"
    assert game.items == tuple("abcde")
    scores = nashpo.Game.from_table(np.zeros((2, 3, 3)), beta=0.0, scale="score")
    assert repr(scores) == "Game(3 responses, 2 prompts, beta=0.0, scores (log-odds))"


GOOD = [[0.5, 0.9], [0.1, 0.5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"P": [[0.5, 0.9, 0.1], [0.1, 0.5, 0.2]]}, "square"),
        ({"P": [[0.5, 0.9], [0.2, 0.5]]}, r"1\.1"),
        ({"P": [[0.5, float("nan")], [0.1, 0.5]]}, "(?i)nan|finite"),
        ({"P": [[0.5, 1.2], [-0.2, 0.5]]}, r"1\.2"),
        ({"beta": -0.1}, "beta=-0.1"),
        ({"beta": float("nan")}, "beta=nan"),
        ({"beta": "0.1"}, "beta=0.1"),
        ({"beta": None}, "beta=None"),
        ({"reference": [1.0, 0.0]}, "reference"),
        ({"reference": [0.5, 0.3, 0.2]}, "reference"),
        ({"prompts": [1.0, 1.0]}, "prompts has shape"),
        ({"prompts": [-1.0]}, r"prompts\[0\] = -1"),
        ({"prompts": "half"}, "prompts must be a full array"),
        ({"beta": [0.1, 0.2]}, r"beta=\[0.1, 0.2\]"),
        ({"beta": 1j}, "beta=1j"),
        ({"items": ["a"]}, "items|names"),
        ({"items": ["a", "a"]}, "a"),
        ({"scale": "odds"}, "odds"),
    ],
)
def test_bad_input_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        nashpo.Game.from_table(**({"P": GOOD, "beta": 0.1} | options))
    assert "\n" not in str(caught.value)


def test_names_appear_in_the_complaint():
    with pytest.raises(ValueError, match=r"tea.*coffee|coffee.*tea"):
        nashpo.Game.from_table([[0.5, 0.9], [0.2, 0.5]], items=["tea", "coffee"])


def test_stacking_averages_by_prompts_and_keeps_gaps():
    games = [
        nashpo.Game.from_table(random_table(0, 3), beta=0.1),
        nashpo.Game.from_table(np.stack([random_table(1, 5), random_table(2, 5)]), beta=0.1, reference=REFERENCE),
    ]
    together = nashpo.stack(games)
    assert together.shape == (3, 5)
    gaps = [nashpo.duality_gap(game, game.reference) for game in games]
    np.testing.assert_allclose(
        nashpo.duality_gap(together, together.reference), (gaps[0] + 2 * gaps[1]) / 3, rtol=1e-12
    )
    np.testing.assert_array_equal(nashpo.best_response(together, together.reference).probs()[0, 3:], 0.0)


def test_padding_loses_where_all_scores_are_zero_too():
    """All zeros leave no largest score by which padding could lose."""
    large = nashpo.Game.from_table([[0.0, 2, -1], [-2, 0, 3], [1, -3, 0]], scale="score")
    together = nashpo.stack([nashpo.Game.from_table(np.zeros((2, 2)), scale="score"), large])
    np.testing.assert_allclose(nashpo.equilibrium(together).probs()[0], [0.5, 0.5, 0.0], atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1e-4, 50.0])
def test_padding_never_answers(beta):
    for scale, table in (("probability", random_table(0, 3)), ("score", 5 * (random_table(0, 3) - 0.5))):
        small = nashpo.Game.from_table(table, beta=beta, scale=scale)
        large = nashpo.Game.from_table(np.full((4, 4), small.oracle.table()[0, 0, 0]), beta=beta, scale=scale)
        together = nashpo.stack([small, large])
        response = nashpo.best_response(together, together.reference).probs()
        assert response[0, 3] == 0
        np.testing.assert_allclose(response[0, :3], nashpo.best_response(small, small.reference).probs()[0], rtol=1e-12)


def test_only_games_of_a_kind_are_stacked():
    with pytest.raises(ValueError, match="agree in scale and beta"):
        nashpo.stack([nashpo.Game.from_table(GOOD, beta=0.1), nashpo.Game.from_table(GOOD, beta=0.2)])
    with pytest.raises(ValueError, match="at least one game"):
        nashpo.stack([])
    with pytest.raises(ValueError, match="stack takes a Game, not a list"):
        nashpo.stack([GOOD])


def test_a_tabular_policy_evaluates_and_samples():
    policy = Tabular.from_probs([[0.2, 0.8], [1.0, 0.0]])
    np.testing.assert_allclose(
        policy.log_prob(np.array([0, 1]), np.array([[0, 1], [0, 0]])), np.log([[0.2, 0.8], [1, 1]])
    )
    draws = policy.sample(jax.random.key(0), jnp.array([0, 1, 0]), 20_000)
    assert draws.shape == (3, 20_000)
    np.testing.assert_allclose(np.mean(draws, axis=1), [0.8, 0.0, 0.8], atol=0.02)


@pytest.mark.parametrize(
    ("probs", "sentence"),
    [
        ([1.2, -0.2], r"probs\[1\] = -0.2 is not a probability"),
        ([[0.5, 0.5], [0.5, 0.6]], "probs sums to 1.1 in row 1, but must sum to 1: divide it by its sum"),
        ([np.inf, 0.0], r"probs\[0\] = inf is not a probability"),
    ],
)
def test_what_is_no_distribution_becomes_no_policy(probs, sentence):
    with pytest.raises(ValueError, match=sentence):
        Tabular.from_probs(probs)


def test_a_probability_that_is_undefined_does_not_become_certainty():
    policy = Tabular.from_probs([0.5, np.nan])
    assert np.isnan(policy.probs()).all()
    game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    assert np.isnan(nashpo.duality_gap(game, policy))


def test_an_oracle_is_checked_when_a_game_is_made_of_it():
    embeddings = np.ones((1, 3, 2))
    embeddings[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        nashpo.Game.from_oracle(nashpo.oracles.GeneralPreference(embeddings), beta=0.1)
    with pytest.raises(ValueError, match=r"flip=0\.7"):
        nashpo.Game.from_oracle(nashpo.oracles.Noisy(nashpo.oracles.Table(np.full((1, 2, 2), 0.5)), flip=0.7))


@pytest.mark.parametrize(
    "oracle",
    [
        lambda kind: BradleyTerry(np.array([[3, 1, 0]], kind)),
        lambda kind: GeneralPreference(np.array([[[1, 0], [0, 1], [-1, -1]]], kind)),
        lambda kind: Table(np.array([[[0, 1, -2], [-1, 0, 1], [2, -1, 0]]], kind), scale="score"),
    ],
)
def test_oracles_of_whole_numbers_are_played_in_floats(oracle):
    settings = {"beta": 0.5, "reference": [0.2, 0.3, 0.5]}
    whole, exact = (nashpo.Game.from_oracle(oracle(kind), **settings) for kind in (int, float))
    np.testing.assert_allclose(whole.reference.probs(), [[0.2, 0.3, 0.5]], rtol=1e-12)
    np.testing.assert_allclose(nashpo.equilibrium(whole).probs(), nashpo.equilibrium(exact).probs(), atol=1e-14)
    last = [nashpo.solve(game, nashpo.solvers.EGPO(0.1), steps=5).policy.probs() for game in (whole, exact)]
    np.testing.assert_allclose(*last, rtol=1e-6)


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (Table(np.ones((1, 2, 2))), r"P\[0, 0, 0\] \+ P\[0, 0, 0\] = 2"),
        (Table(np.array([[[0.5, np.nan], [0.1, 0.5]]])), "is nan|is NaN"),
        (Table(np.full((2, 2), 0.5)), r"payoff has shape \(2, 2\)"),
        (Table(np.full((1, 2, 2), 0.5), scale="Probability"), "scale is 'Probability'"),
        (BradleyTerry(np.ones((1, 2)), scale="Probability"), "scale is 'Probability'"),
        (Mixture((Table(np.full((1, 2, 2), 0.5)),), [1.0]), "Mixture.of"),
        (Mixture((), np.ones(0)), "Mixture.of"),
        (Mixture((np.full((1, 2, 2), 0.5),), np.ones(1)), "Mixture takes oracles, not a ndarray"),  # type: ignore[arg-type]
        (Noisy(np.full((1, 2, 2), 0.5)), "Noisy takes oracles, not a ndarray"),  # type: ignore[arg-type]
        (Noisy(Table(np.full((1, 2, 2), 0.5)), votes="many"), "votes must be a full array of real numbers"),  # type: ignore[arg-type]
        (np.full((2, 2), 0.5), "from_oracle takes oracles, not a ndarray"),
        (BradleyTerry([[0.0, 1.0]]), "rewards must be an array"),  # type: ignore[arg-type]
        (Table([[[0.5]]]), "payoff must be an array"),  # type: ignore[arg-type]
        (GeneralPreference([[[0.5, 0.5]]]), "embeddings must be an array"),  # type: ignore[arg-type]
    ],
)
def test_an_oracle_that_is_none_is_refused(oracle, message):
    with pytest.raises(ValueError, match=message):
        nashpo.Game.from_oracle(oracle, beta=0.1)

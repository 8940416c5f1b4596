"""Mixtures of annotators: weighted means, groups within reach, scales that do not mix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Judge, Mixture, Noisy, Sequences, Table
from nashpo.policies import Answers

RANKINGS = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])


def _society(weights=None):
    return Mixture.of([BradleyTerry(50 * ranking[None]) for ranking in RANKINGS], weights)


def test_transitive_groups_make_a_condorcet_cycle():
    society = _society()
    P = society.table()[0]
    assert P[0, 1] == pytest.approx(2 / 3)
    assert P[1, 2] == pytest.approx(2 / 3)
    assert P[2, 0] == pytest.approx(2 / 3)
    game = nashpo.Game.from_oracle(society)
    assert nashpo.duality_gap(game, np.full(3, 1 / 3)) == pytest.approx(0, abs=1e-15)


def test_each_group_stays_within_reach():
    society = _society([0.2, 0.3, 0.5])
    for group, ranking in zip(society.annotators, RANKINGS, strict=True):
        assert np.argmax(group.win_rates(np.full((1, 3), 1 / 3))) == np.argmax(ranking)


def test_one_annotator_of_weight_one_is_that_annotator(rng):
    q = rng.dirichlet(np.ones(3), size=1)
    np.testing.assert_array_equal(_society([0.0, 1.0, 0.0]).win_rates(q), _society().annotators[1].win_rates(q))


def test_weights_are_leaves(rng):
    q = rng.dirichlet(np.ones(3), size=1)
    rates = jax.jit(lambda oracle: oracle.win_rates(q))
    first, second = rates(_society([0.2, 0.3, 0.5])), rates(_society([0.5, 0.3, 0.2]))
    assert rates._cache_size() == 1
    assert not np.allclose(first, second)


def test_noisy_annotators_draw_independently():
    even = Noisy(Table(np.full((1, 2, 2), 0.5)), votes=1)
    pair = Mixture.of([even, even])
    rates = jax.vmap(lambda key: pair.win_rates(jnp.array([[0.0, 1.0]]), key)[0, 0])
    draws = set(rates(jax.random.split(jax.random.key(0), 24)).tolist())
    assert draws == {0.0, 0.5, 1.0}
    assert pair.win_rates(np.array([[0.0, 1.0]]))[0, 0] == 0.5


def test_score_groups_mix_in_log_odds(rng):
    v, r = rng.standard_normal((1, 4, 2)), rng.standard_normal((1, 4))
    mixed = Mixture.of([GeneralPreference(v), BradleyTerry(r, "score")], [0.25, 0.75])
    S = 0.25 * GeneralPreference(v).table() + 0.75 * BradleyTerry(r, "score").table()
    np.testing.assert_allclose(mixed.table(), S, atol=1e-15)


def test_annotators_with_scores_in_whole_numbers_count_equally():
    one, other = np.array([[[0, 2], [-2, 0]]]), np.array([[[0, 4], [-4, 0]]])
    mixed = Mixture.of([Table(one, "score"), Table(other, "score")])
    assert mixed.weights.tolist() == [0.5, 0.5] and mixed.table().tolist() == [[[0.0, 3.0], [-3.0, 0.0]]]


def test_equal_weights_are_as_precise_as_any_annotator():
    single, double = (Table(np.array([[[0.5, 0.75], [0.25, 0.5]]], kind)) for kind in (np.float32, np.float64))
    for annotators in ((single, double, double), (double, single, double)):
        table = Mixture.of(annotators).table()
        np.testing.assert_allclose(table + table.swapaxes(1, 2), 1.0, atol=1e-15)


def test_what_does_not_fit_together_is_refused_at_the_door(rng):
    r = rng.standard_normal((1, 4))
    probabilities, scores = BradleyTerry(r), BradleyTerry(r, "score")
    sentence = "annotator 0 pays on the scale 'probability', annotator 1 on 'score'"
    with pytest.raises(ValueError, match=sentence):
        Mixture.of([probabilities, scores])
    with pytest.raises(ValueError, match=sentence):
        _ = Mixture((probabilities, scores), np.ones(2) / 2).scale
    with pytest.raises(ValueError, match=r"annotator 1 knows \(1, 3\)"):
        nashpo.Game.from_oracle(Mixture((probabilities, BradleyTerry(r[:, :3])), np.ones(2) / 2))
    with pytest.raises(ValueError, match="weights"):
        nashpo.Game.from_oracle(Mixture((probabilities, probabilities), np.ones(3) / 3))
    with pytest.raises(ValueError, match=r"weights sums to 1\.1"):
        Mixture.of([probabilities, probabilities], [0.5, 0.6])
    with pytest.raises(ValueError, match="at least one annotator"):
        Mixture.of([])
    judge = Judge(lambda prompts, left, right: 0.5 + 0.0 * left)
    with pytest.raises(ValueError, match=r"Mixture\.of takes oracles over responses that are listed, not a Judge"):
        Mixture.of([judge])
    for oracle in (Noisy(judge), Sequences(judge, Answers(vocabulary=2, length=1))):
        with pytest.raises(ValueError, match=f"{type(oracle).__name__} takes oracles over responses that are listed"):
            oracle.check()


def test_certain_wins_have_finite_scores_as_in_a_table():
    certain = np.array([[[0.5, 1.0, 0.3], [0.0, 0.5, 0.6], [0.7, 0.4, 0.5]]])
    expected = Table(certain).scores(np.array([[0.5, 0.0, 0.5]]))
    assert np.all(np.isfinite(expected))
    for oracle in (Mixture.of([Table(certain), Table(certain)]), Noisy(Table(certain), votes=3)):
        np.testing.assert_array_equal(oracle.scores(np.array([[0.5, 0.0, 0.5]])), expected)

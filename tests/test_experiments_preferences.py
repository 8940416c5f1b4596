"""What the experiments on learned preferences build on: curves, groups, flipped games, and findings that can fail."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nashpo
from nashpo.preferences import sample_annotators, sample_comparisons

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

import annotator_groups
import learned_oracle
import noise_robustness


def test_the_curve_of_the_truth_is_the_truth():
    truth = learned_oracle.true_oracle(0)
    rows = learned_oracle.curve(truth, truth, (1.0, 0.1, 0.0))
    kl, said, won, claimed, real, error = rows.T
    np.testing.assert_array_equal(error, 0.0)
    np.testing.assert_array_equal(said, won)
    np.testing.assert_array_equal(claimed, real)
    assert np.all(np.diff(kl) > 0)
    assert abs(real[-1]) < 1e-9 < real[0]
    game = nashpo.Game.from_oracle(truth)
    path = nashpo.equilibrium_path(game, (1.0, 0.1))
    for answer, gap in zip(path, real, strict=False):
        assert gap == pytest.approx(float(nashpo.exploitability(game, answer.policy)))


def test_both_models_see_the_same_votes_and_only_one_is_transitive():
    truth = learned_oracle.true_oracle(1)
    tables = [np.asarray(learned_oracle.learned(model, truth, 5000, 0).table())[0] for model in learned_oracle.MODELS]
    errors = [np.abs(table - np.asarray(truth.table())[0]).mean() for table in tables]
    assert errors[1] < 0.5 * errors[0]
    lottery = nashpo.equilibrium(nashpo.Game.from_table(tables[0])).probs()[0]
    assert lottery.max() == 1.0


def test_findings_of_the_learned_oracle_can_fail():
    found = np.random.default_rng(0).uniform(0.1, 0.11, (2, 2, 3, 4, 6))
    found[..., 5] = 1.0
    results = learned_oracle.findings(found, found[0, 0], (300, 3000))
    assert results[0].holds
    assert not any(one.holds for one in results[1:2] + results[3:6])
    found[..., 5] = -1.0
    assert not learned_oracle.findings(found, found[0, 0], (300, 3000))[0].holds


def test_no_policy_serves_the_worst_off_better_than_maxmin_with_true_rewards():
    truth = annotator_groups.population(0)
    np.testing.assert_allclose(annotator_groups.rewards_of(truth).sum(axis=-1), 0.0, atol=1e-12)
    votes, groups = sample_annotators(truth, jax.random.key(0), 30, 60)
    answers, found = annotator_groups.policies(truth, votes, 0)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)
    objective = [annotator_groups.measures(truth, pi)[0] for pi in answers]
    random = np.random.default_rng(0).dirichlet(np.ones(10), 50)
    best = max(objective[1:] + [annotator_groups.measures(truth, pi)[0] for pi in random])
    assert objective[0] >= best
    assert annotator_groups.agreement(groups, found) > 0.9


def test_agreement_does_not_depend_on_names():
    true = np.array([0, 0, 1, 1, 2])
    assert annotator_groups.agreement(true, np.array([2, 2, 0, 0, 1])) == 1.0
    assert annotator_groups.agreement(true, np.array([2, 2, 0, 2, 1])) == 0.8


def test_flipped_preferences_are_the_same_game_with_another_beta():
    assert noise_robustness.same_game((0.1, 0.4)) < 1e-9
    P = np.asarray(learned_oracle.true_oracle(0).table())[0]
    flipped = 0.6 * P + 0.2
    pi = noise_robustness.solved(flipped, 0.05)
    np.testing.assert_allclose(pi, noise_robustness.solved(P, 0.05 / 0.6), atol=1e-9)
    assert noise_robustness.true_gap(P, pi, 0.05) > 1e-3
    assert noise_robustness.true_gap(P, noise_robustness.solved(P, 0.05), 0.05) < 1e-12


def test_every_fit_learns_its_own_table():
    truth = learned_oracle.true_oracle(2)
    clean = sample_comparisons(truth, jax.random.key(0), 100_000)
    flipped = sample_comparisons(truth, jax.random.key(1), 100_000, flip=0.3)
    P = np.asarray(truth.table())[0]
    fits = {fit: noise_robustness.fitted(fit, clean, flipped, 0.3) for fit in noise_robustness.FITS}
    error = {fit: np.abs(table - P).mean() for fit, table in fits.items()}
    assert error["clean votes"] < error["corrected likelihood"] < error["plain"] < error["smoothed"]
    assert error["corrected loss"] < 0.5 * error["plain"]
    assert np.abs(fits["plain"] - (0.4 * P + 0.3)).mean() < 0.05


def test_findings_of_noise_can_fail():
    found = np.random.default_rng(1).uniform(0.1, 0.11, (1, 2, 3, 5))
    results = noise_robustness.findings(found, (3000, 30_000), (0.2,))
    assert results[0].holds
    assert not any(one.holds for one in results[1:5])

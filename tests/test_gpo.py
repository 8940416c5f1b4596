"""GPO plays another game than the one of win rates: log-odds."""

import numpy as np
import pytest
from cyclic import biased_cycle, minimax
from recursions import iterate, kl, normalise, path, random_games, win_rates

import nashpo
from nashpo.learners.score import LogOdds
from nashpo.oracles import Table
from nashpo.solvers import GPO, SPO, Averaged

STEPS = 200
TABLE = biased_cycle(0.9, 0.7, 0.6)
SCORES = np.log(TABLE / TABLE.T)


def score_games(seed, bound=3.0):
    P, log_ref = random_games(seed)
    return 2 * bound * (P - 0.5), log_ref


def test_it_is_multiplicative_weights_on_expected_scores():
    S, log_ref = score_games(51)
    P = 1 / (1 + np.exp(-S))
    logs = path(P, log_ref, 0.1, GPO(0.2), STEPS)
    expected = iterate(lambda log: normalise(log + 0.2 * win_rates(S, log)), log_ref, STEPS)
    np.testing.assert_allclose(logs, expected, rtol=1e-9, atol=1e-9)
    game = nashpo.Game.from_table(S, reference=np.exp(log_ref), scale="score")
    direct = nashpo.solve(game, GPO(0.2), steps=STEPS, every=STEPS)
    np.testing.assert_allclose(direct.last.log_probs(), expected[-1], rtol=1e-9, atol=1e-9)
    spo = nashpo.solve(game, SPO(0.2), steps=STEPS, every=STEPS)
    np.testing.assert_allclose(spo.last.log_probs(), expected[-1], rtol=1e-9, atol=1e-9)


def test_nearly_certain_preferences_keep_their_log_odds_in_single_precision():
    odds = 18.0 * np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    P = (1 / (1 + np.exp(-odds))).astype(np.float32)[None]
    assert P[0, 0, 1] == 1.0 and P[0, 1, 0] > 0
    listed = Table(P).scores(np.array([[0.0, 1.0, 0.0]], np.float32))
    np.testing.assert_allclose(listed[0], odds[:, 1], atol=1e-5)
    compared = LogOdds(Table(P)).compare(None, np.zeros(1, int), np.array([[0, 1, 2]]), np.array([[1, 1, 1]]))
    np.testing.assert_allclose(compared[0], odds[:, 1], atol=1e-5)


@pytest.mark.parametrize("eta", [0.02, 0.2, 1.0])
def test_the_average_obeys_its_bound_at_every_step(eta):
    S, log_ref = score_games(52)
    game = nashpo.Game.from_table(S, reference=np.exp(log_ref), scale="score")
    trace = nashpo.solve(game, Averaged(GPO(eta)), steps=STEPS, metrics={"gap": nashpo.metrics.gap_by_prompt}).trace
    bound = np.max(-log_ref, axis=-1) / (eta * trace["step"][:, None]) + eta * 3.0**2 / 2
    assert np.all(trace["gap"] / 2 <= bound + 1e-12)


def test_it_finds_the_equilibrium_of_the_scores_and_not_of_the_win_rates():
    game = nashpo.Game.from_table(TABLE)
    scores, rates = minimax(SCORES + 0.5), minimax(TABLE)
    np.testing.assert_allclose(scores, [0.246, 0.118, 0.637], atol=5e-4)
    np.testing.assert_allclose(rates, [0.286, 0.143, 0.571], atol=5e-4)
    assert nashpo.duality_gap(game, scores) == pytest.approx(0.058, abs=5e-4)
    found = nashpo.solve(game, Averaged(GPO(0.01)), steps=20_000, every=20_000)
    np.testing.assert_allclose(found.policy.probs()[0], scores, atol=0.01)
    assert found.trace["duality_gap"][-1] > 0.05
    score_game = nashpo.Game.from_table(SCORES, scale="score")
    assert nashpo.duality_gap(score_game, found.policy) < 0.02
    assert nashpo.duality_gap(score_game, scores) == pytest.approx(0.0, abs=1e-14)
    assert nashpo.duality_gap(score_game, rates) > 0.1


def test_the_last_iterate_which_is_the_answer_leaves_the_equilibrium():
    scores = minimax(SCORES + 0.5)
    start = np.full((1, 3), -np.log(3))
    distance = kl(np.log(scores)[None, None], path(TABLE[None], start, 0.0, GPO(0.1), STEPS))
    assert np.all(np.diff(distance, axis=0) >= -1e-13)
    assert distance[-1] > 1.3 * distance[0]
    result = nashpo.solve(nashpo.Game.from_table(TABLE), GPO(0.1), steps=STEPS)
    np.testing.assert_array_equal(result.policy.probs(), result.last.probs())


def test_infinite_scores_are_refused_by_name_and_padding_is_not():
    table = np.array(TABLE)
    table[0, 2], table[2, 0] = 0.0, 1.0
    named = nashpo.Game.from_table(table, items=["rock", "paper", "scissors"])
    for rule in (GPO(0.1), Averaged(GPO(0.1))):
        with pytest.raises(ValueError, match=r"P\[0, 2\] = 0 \(row 'rock' against column 'scissors'\)"):
            nashpo.solve(named, rule, steps=1)
    with pytest.raises(ValueError, match=r"P\[1, 0, 2\] = 0"):
        nashpo.solve(nashpo.Game.from_table(np.stack([TABLE, table])), GPO(0.1), steps=1)
    small, large = nashpo.Game.from_table(TABLE), nashpo.Game.from_table(0.5 + 0.9 * (random_games(53)[0][0] - 0.5))
    together = nashpo.solve(nashpo.stack([small, large]), GPO(0.1), steps=20)
    alone = nashpo.solve(small, GPO(0.1), steps=20)
    np.testing.assert_allclose(together.policy.probs()[0, :3], alone.policy.probs()[0], atol=1e-13)

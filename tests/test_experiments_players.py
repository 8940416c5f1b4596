"""The formulas of the experiments on APO, MNPO, n players and real tables, and what they do without the real tables."""

import numpy as np
import pytest

from nashpo.cli.reproduce import find_scripts, load_script


def script(name):
    return load_script(find_scripts()[name])


def test_momentum_none_is_the_base_and_the_true_constant_bounds_what_the_printed_one_does_not():
    apo = script("apo_transitive_cyclic")
    exact, leading = apo.predicted_growth(0.001)
    assert exact[0] == pytest.approx(np.log(abs(1 + 0.001j)), rel=1e-8)
    np.testing.assert_allclose(exact, leading, rtol=1e-3)
    missing, printed = apo.printed_constant()
    true = np.log(2) / apo.gamma(0.5, np.array([0.3]), np.array([5]))[0, 0]
    assert printed < missing < true
    rates, none = np.ones((1, 2)) / (1 - apo.MOMENTA[:, None]), np.zeros((len(apo.MOMENTA), 3, 2))
    measured = {"APO": none, "larger": none, "gamma": none[..., 0]}
    found = apo.transitive_findings(rates, measured, (missing, printed))
    assert all(one.holds for one in found), "a claim that fails is pinned as it fails"


@pytest.mark.parametrize("opponents", ["current", "mixture"])
def test_the_largest_root_is_the_growth_of_the_recursion(opponents):
    mnpo, step = script("mnpo_history"), 0.05
    for weights in ([1.0], [1.0, 1.0], [1.0, 0.5, 2.0]):
        share = np.array(weights) / np.sum(weights)
        turn = 1j * step * (share if opponents == "mixture" else np.eye(len(share))[0])
        past = [1.0 + 0j] * len(share)
        for _ in range(400):
            past = [np.dot(share + turn, past), *past[:-1]]
        growth = np.log(np.abs(past[0]))
        for _ in range(400):
            past = [np.dot(share + turn, past), *past[:-1]]
        expected = mnpo.largest_root(np.array(weights), opponents, step)
        assert (np.log(np.abs(past[0])) - growth) / 400 == pytest.approx(expected, rel=1e-6)
        assert mnpo.leading_order(np.array(weights), opponents, step) == pytest.approx(expected, rel=0.02)


def test_equal_players_have_no_spread_whatever_their_normaliser():
    players = script("n_player_consensus")
    log = np.log(players.starts(1, 4))
    assert players.spread(np.concatenate([log, log + 3.0])) == pytest.approx(0.0, abs=1e-14)
    assert players.spread(np.log(players.starts(2, 4))) > 0.1


def test_the_lottery_that_is_closest_to_the_reference():
    path = script("beta_path")
    limit, target = path.closest_lottery(path.REFERENCE), np.array([1, 1, 2, 2]) / 6
    np.testing.assert_allclose(path.closest_lottery(np.full(4, 0.25)), target, atol=1e-15)

    def kl(p):
        return np.sum(p * np.log(p / path.REFERENCE))

    for t in np.linspace(0.01, 0.32, 32):
        lottery = np.array([t, 1 / 3 - t, 2 * t, 2 / 3 - 2 * t])
        np.testing.assert_allclose(path.MANY @ lottery, 0.5, atol=1e-15)
        assert kl(limit) <= kl(lottery) + 1e-15


def test_wins_drawn_anew_keep_the_counts_and_the_shares(rng):
    bars = script("error_bars")
    wins = np.array([[0, 12.5, 7], [7.5, 0, 0], [0, 0, 0]])
    drawn = bars.resampled(wins, 4000, rng)
    np.testing.assert_array_equal(drawn + drawn.swapaxes(-1, -2), np.broadcast_to(wins + wins.T, drawn.shape))
    np.testing.assert_allclose(drawn.mean(0), wins, atol=0.2)
    assert drawn[:, 0, 1].std() == pytest.approx(np.sqrt(20 * 0.625 * 0.375), rel=0.05)
    both = bars.resampled(np.stack([wins, wins.T]), 3, rng)
    assert both.shape == (3, 2, 3, 3) and (both[:, 0, 0, 2] == 7).all() and (both[:, 1, 0, 2] == 0).all()


def test_a_bradley_terry_model_is_fitted_to_its_own_wins():
    bars = script("error_bars")
    strength = np.array([1.0, 2.0, 5.0, 0.5])
    table = strength[:, None] / (strength[:, None] + strength)
    wins = 10 * table * (1 - np.eye(4))
    np.testing.assert_allclose(bars.bradley_terry(wins), table, atol=1e-10)


@pytest.mark.parametrize("name", ["beta_path", "error_bars"])
def test_without_the_real_tables_the_games_that_ship_are_used_and_named(name, monkeypatch, tmp_path):
    module = script(name)
    monkeypatch.setattr(module, "DATA", tmp_path / "absent")
    monkeypatch.setattr(module, "results_folder", lambda file, smoke: tmp_path)
    findings = module.main(smoke=True)
    assert [one for one in findings if one.exact and not one.holds] == []
    assert any("ship" in one.source for one in findings) and not any("real wins" in one.source for one in findings)
    assert list(tmp_path.glob("*.png"))

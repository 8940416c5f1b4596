"""Self-play without KL penalty: the average converges, the last iterate may not; SPO, SPPO and ONPO."""

import numpy as np
import pytest
from recursions import ROCK_PAPER_SCISSORS, gap, iterate, normalise, path, random_games, win_rates

import nashpo
from nashpo.players import MultiplayerMNPO
from nashpo.solvers import INPO, ONPO, SPO, SPPO, Averaged, FictitiousPlay, RegretMatching
from nashpo.stage import StepSizeWarning

STEPS = 60


def average_gaps(P, log):
    """`DualGap_0` of the mean of the first T iterates, T = 1, 2, ...; `[T, X]`."""
    means = np.cumsum(np.exp(log), axis=0) / np.arange(1, len(log) + 1)[:, None, None]
    return np.array([gap(P, np.log(mean), mean, 0.0) for mean in means])


def optimistic(P, log_start, eta, steps):
    """Optimistic multiplicative weights in one line."""
    log, before, out = log_start, None, [log_start]
    for _ in range(steps):
        rates = win_rates(P, log)
        log, before = normalise(log + eta * (2 * rates - (0.0 if before is None else before))), rates
        out.append(log)
    return np.array(out)


@pytest.mark.parametrize("eta", (0.1, 1.0))
def test_spo_sppo_and_inpo_without_penalty_are_multiplicative_weights(eta):
    P, log_start = random_games(0)
    expected = iterate(lambda log: normalise(log + eta * win_rates(P, log)), log_start, STEPS)
    for rule in (SPO(eta), SPPO(eta), INPO(eta)):
        np.testing.assert_allclose(path(P, log_start, 0.0, rule, STEPS), expected, atol=1e-11)


@pytest.mark.parametrize("eta", (0.05, 0.5, 2.0))
@pytest.mark.parametrize("seed", range(3))
def test_self_play_average_obeys_both_bounds(seed, eta):
    P, log_start = random_games(seed)
    gaps = average_gaps(P, path(P, log_start, 0.0, SPO(eta), STEPS)[:-1])
    D, T = np.max(-log_start, axis=-1), np.arange(1, STEPS + 1)[:, None]
    hedge = 2 * (D / (eta * T) + eta / 8)
    assert np.all(gaps <= hedge + 1e-12)
    assert np.all(gaps <= 1 - (1 - np.exp(-eta)) / eta + 2 * D / (eta * T) + 1e-12)
    if eta == 2.0:
        assert np.max(gaps / hedge) > 0.3, "the bound says something"


@pytest.mark.parametrize("eta", (0.2, 0.7))
def test_onpo_is_optimistic_multiplicative_weights(eta):
    P, log_start = random_games(1)
    found = path(P, log_start, 0.0, ONPO(eta), STEPS)
    np.testing.assert_allclose(found, optimistic(P, log_start, eta, STEPS), atol=1e-11)
    ignored = path(P, log_start, 0.3, ONPO(eta), STEPS)
    np.testing.assert_allclose(ignored, found, atol=1e-12)


@pytest.mark.parametrize("eta", (0.1, 0.4, 2**-0.5))
@pytest.mark.parametrize("seed", range(3))
def test_onpo_average_obeys_the_derived_bound(seed, eta):
    P, log_start = random_games(seed)
    log_start = normalise(3 * log_start) if seed == 2 else log_start
    log = path(P, log_start, 0.0, ONPO(eta), STEPS)[:-1]
    D, T = np.max(-log_start, axis=-1), np.arange(1, STEPS + 1)[:, None]
    assert np.all(average_gaps(P, log) <= 2 / T * (D / eta + eta / 4) + 1e-12)


def test_onpo_bound_as_printed_does_not_hold():
    """`4 sqrt(D) / T` at `eta = min(1/2, sqrt(D))`, from a start that hardly plays what always wins."""
    start = np.array([[np.exp(-10.0), -np.expm1(-10.0)]])
    game = nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]])
    result = nashpo.solve(game, Averaged(ONPO(0.5)), steps=50, every=50, start=start)
    measured = result.trace["duality_gap"][-1]
    assert 4 * np.sqrt(10.0) / 50 == pytest.approx(0.253, abs=1e-3)
    assert measured == pytest.approx(0.78, abs=5e-3)
    assert measured <= 2 / 50 * (10 / 0.5 + 0.5 / 4)


def test_on_rock_paper_scissors_the_last_iterate_needs_optimism():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS)
    start = [0.5, 0.3, 0.2]
    found = {
        name: nashpo.solve(game, rule, steps=4000, every=4000, start=start)
        for name, rule in {"plain": Averaged(SPO(0.5)), "optimistic": Averaged(ONPO(0.5))}.items()
    }
    last = {name: float(nashpo.duality_gap(game, result.last)) for name, result in found.items()}
    average = {name: result.trace["duality_gap"][-1] for name, result in found.items()}
    assert last["optimistic"] < 1e-12 < 0.3 < last["plain"]
    assert average["optimistic"] < 1e-3
    assert average["plain"] < 0.05


def test_a_long_average_of_regret_matching_keeps_its_bound_in_single_precision():
    game = nashpo.Game.from_table(np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]], np.float32))
    steps = 1_000_000
    found = nashpo.solve(game, RegretMatching(), steps=steps, every=steps)
    assert found.trace["duality_gap"][-1] <= 2 * (3 / steps * np.max(found.state.regret) + 1e-6)


MEETING = MultiplayerMNPO(eta=0.3, players=2, answer="average")


@pytest.mark.parametrize("solver", [SPO(eta=0.3), FictitiousPlay(), MEETING])
def test_long_averages_add_up_to_one_in_single_precision(solver):
    game = nashpo.Game.from_table(np.asarray(ROCK_PAPER_SCISSORS, np.float32), beta=np.float32(0.0))
    for found in (nashpo.solve(game, solver, steps=400_000, every=400_000), nashpo.sweep(game, solver, steps=4)):
        policy = found.policy.probs() if isinstance(found, nashpo.Result) else found.data["policy"].values
        assert abs(np.asarray(policy, float).sum() - 1) < 5e-7


@pytest.mark.parametrize("rule", [SPO, RegretMatching(), None, "spo"])
def test_what_is_no_rule_has_no_average(rule):
    game = nashpo.Game.from_table(np.full((2, 2), 0.5))
    for ask in (nashpo.solve, nashpo.sweep):
        with pytest.raises(ValueError, match="Averaged takes an update rule with its settings"):
            ask(game, Averaged(rule), steps=2)


def test_onpo_steps_are_checked():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS)
    with pytest.warns(StepSizeWarning, match=r"proven up to eta = 0.707107"):
        nashpo.solve(game, ONPO(0.8), steps=1)
    assert ONPO(0.1).proven_step(0.0, 1.0) == pytest.approx(2**-1.5)
    with pytest.raises(ValueError, match=r"ONPO\(eta=0.0\)"):
        nashpo.solve(game, ONPO(0), steps=1)

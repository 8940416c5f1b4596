"""Time-dependent MNPO: fixed points, histories, and which of them converge."""

import numpy as np
import pytest
from cyclic import biased_cycle, frequency, interior_games
from recursions import equilibrium, iterate, kl, mirror, normalise, path, random_games, win_rates

import nashpo
from nashpo.solvers import INPO, MNPO

STEPS = 200
pytestmark = pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")
UNIFORM = (1.0, 1.0, 1.0)
OPPONENTS = ["mixture", "current"]


def recursion(P, log_ref, eta, beta, weights, opponents, steps, start=None):
    """TD-MNPO in plain NumPy; missing history is dropped and the weights renormalised."""
    logs = [log_ref if start is None else start]
    for _ in range(steps):
        past = logs[::-1][: len(weights)]
        share = np.array(weights[: len(past)]) / np.sum(weights[: len(past)])
        prior = sum(w * log for w, log in zip(share, past, strict=True))
        mixture = np.log(sum(w * np.exp(log) for w, log in zip(share, past, strict=True)))
        gains = win_rates(P, mixture if opponents == "mixture" else logs[-1])
        logs.append(mirror(prior, log_ref, gains, eta, beta))
    return np.array(logs)


@pytest.mark.parametrize("opponents", OPPONENTS)
def test_the_recursion_of_the_paper_with_missing_history_renormalised(opponents):
    P, log_ref = random_games(21)
    for weights in ((0.2, 0.3, 0.5), (5.0, 1.0, 1.0), (0.25, 0.75, 0.0)):
        logs = path(P, log_ref, 0.2, MNPO(0.8, weights, opponents), STEPS)
        expected = recursion(P, log_ref, 0.8, 0.2, weights, opponents, STEPS)
        np.testing.assert_allclose(logs, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("opponents", OPPONENTS)
def test_one_policy_is_inpo(opponents):
    P, log_ref = random_games(22)
    inpo = path(P, log_ref, 0.2, INPO(0.7), STEPS)
    np.testing.assert_array_equal(path(P, log_ref, 0.2, MNPO(0.7, opponents=opponents), STEPS), inpo)
    np.testing.assert_allclose(
        path(P, log_ref, 0.2, MNPO(0.7, (3.0, 0.0, 0.0), opponents), STEPS), inpo, rtol=1e-12, atol=1e-12
    )
    expected = iterate(lambda log: mirror(log, log_ref, win_rates(P, log), 0.7, 0.2), log_ref, STEPS)
    np.testing.assert_allclose(inpo, expected, rtol=1e-11, atol=1e-12)


def test_a_history_without_the_current_policy_starts_from_the_one_there_is():
    P, log_ref = random_games(23)
    logs = path(P, log_ref, 0.2, MNPO(0.7, (0.0, 1.0, 0.0), "current"), STEPS)
    np.testing.assert_allclose(logs[1], mirror(log_ref, log_ref, win_rates(P, log_ref), 0.7, 0.2), atol=1e-13)
    np.testing.assert_allclose(logs[2], mirror(logs[0], log_ref, win_rates(P, logs[1]), 0.7, 0.2), atol=1e-13)


@pytest.mark.parametrize("opponents", OPPONENTS)
def test_the_regularised_equilibrium_is_the_fixed_point_whatever_the_weights(opponents):
    P, log_ref = random_games(24)
    best = equilibrium(P, log_ref, 0.4)
    for weights in ((0.2, 0.3, 0.5), (0.0, 0.0, 1.0)):
        logs = path(P, log_ref, 0.4, MNPO(0.5, weights, opponents), STEPS, start=best)
        np.testing.assert_allclose(logs[:20], np.broadcast_to(best, (20, *best.shape)), atol=1e-10)
    logs = path(P, log_ref, 0.4, MNPO(0.3, (0.5, 0.3, 0.2), opponents), STEPS)
    assert np.max(kl(best, logs[-1])) < 1e-6 * np.max(kl(best, logs[0]))


def pair_loss_slope(P, log, prior, weights, eta):
    """Gradient in the log-ratios of `E (h(y) - h(y') - eta (P(y beats mu) - P(y' beats mu)))^2 / 2`, `y, y' ~ mu`."""
    ratio = log - prior - eta * np.einsum("xij,xj->xi", P, weights)
    slope = weights[:, :, None] * weights[:, None, :] * (ratio[:, :, None] - ratio[:, None, :])
    return slope.sum(-1) - slope.sum(-2)


def label_loss_slope(P, log, prior, weights, eta):
    """The same of the loss on labels, `E (h(winner) - h(loser) - eta / 2)^2 / 2`, `y, y' ~ mu`."""
    ratio = log - prior
    margin = ratio[:, :, None] - ratio[:, None, :]
    wins = weights[:, :, None] * weights[:, None, :] * P
    slope = 2 * wins * (margin - eta / 2)
    return slope.sum(-1) - slope.sum(-2)


@pytest.mark.parametrize("slope", [pair_loss_slope, label_loss_slope])
def test_pairs_from_the_mixture_and_pairs_from_the_current_policy_give_the_two_kinds_of_opponents(slope):
    P, log_ref = random_games(26)
    weights, eta, beta = np.array([0.25, 0.35, 0.4]), 0.5, 0.2
    for opponents, other in (OPPONENTS, OPPONENTS[::-1]):
        logs = path(P, log_ref, beta, MNPO(eta, tuple(weights), opponents), STEPS)
        past = logs[3:0:-1]
        prior = eta * beta * log_ref + (1 - eta * beta) * np.einsum("j,jxa->xa", weights, past)
        mixture = np.einsum("j,jxa->xa", weights, np.exp(past))
        drawn = {"mixture": mixture, "current": np.exp(logs[3])}
        np.testing.assert_allclose(slope(P, logs[4], prior, drawn[opponents], eta), 0.0, atol=1e-14)
        assert np.max(np.abs(slope(P, logs[4], prior, drawn[other], eta))) > 1e-4


def local_rate(eta, beta, omega, weights, opponents):
    """The modulus of the largest root of the linearised recursion."""
    share = np.array(weights) / np.sum(weights)
    coefficients = (1 - eta * beta + 1j * eta * omega * (opponents == "mixture")) * share
    if opponents == "current":
        coefficients[0] += 1j * eta * omega
    return np.max(np.abs(np.roots(np.concatenate([[1.0], -coefficients]))))


def displaced(probs, size=1e-7):
    """Policies a little away from the given ones, `[X, A]` log."""
    direction = np.cos(np.arange(probs.shape[-1]) * 2.1)
    return normalise(np.log(probs) + size * direction)


def measured_rate(P, probs, log_ref, beta, rule, settle):
    """Growth of the distance from `probs` per step: the slope of its logarithm after `settle` steps, `[X]`."""
    logs = path(P, log_ref, beta, rule, 2 * settle, start=displaced(probs))
    distance = np.log(np.sum((np.exp(logs) - probs) ** 2, axis=-1)) / 2
    return np.polyfit(np.arange(settle + 1), distance[settle:], 1)[0]


SYMMETRIC = np.stack([biased_cycle(p, p, p) for p in (0.9, 0.99, 1.0)])
UNIFORM_POLICY = np.full((3, 3), 1 / 3)


@pytest.mark.parametrize("opponents", OPPONENTS)
@pytest.mark.parametrize("weights", [UNIFORM, (1.0, 1.0, 0.0), (0.25, 0.75, 0.0), (0.6, 0.0, 0.4)])
def test_local_rates_on_symmetric_cycles(opponents, weights):
    omegas = [frequency(P, p) for P, p in zip(SYMMETRIC, UNIFORM_POLICY, strict=True)]
    eta = 0.5
    for beta in (0.0, 0.05):
        rates = measured_rate(
            SYMMETRIC, UNIFORM_POLICY, np.log(UNIFORM_POLICY), beta, MNPO(eta, weights, opponents), 100
        )
        expected = [np.log(local_rate(eta, beta, omega, weights, opponents)) for omega in omegas]
        np.testing.assert_allclose(rates, expected, rtol=1e-2, atol=2e-6)


def test_uniform_weights_over_three_policies_converge_without_kl_and_the_authors_weights_do_not():
    omega = frequency(SYMMETRIC[0], UNIFORM_POLICY[0])
    eta = 0.2
    growth = {
        weights: measured_rate(
            SYMMETRIC, UNIFORM_POLICY, np.log(UNIFORM_POLICY), 0.0, MNPO(eta, weights, "current"), 100
        )[0]
        for weights in (UNIFORM, (0.5, 0.5, 0.0), (0.25, 0.75, 0.0), (0.6, 0.0, 0.4))
    }
    for weights, rate in growth.items():
        share = np.array(weights) / np.sum(weights)
        first, second = (np.sum(np.arange(3) ** k * share) for k in (1, 2))
        leading = (eta * omega) ** 2 / 2 * (1 - second) / (1 + first) ** 3
        assert rate == pytest.approx(leading, rel=0.02)
        assert (rate < 0) == (second > 1)
    assert growth[UNIFORM] == pytest.approx(-8.9e-5, abs=0.05e-5)


def test_a_mixture_of_few_opponents_diverges_without_kl():
    omega, eta = frequency(SYMMETRIC[0], UNIFORM_POLICY[0]), 0.2
    for weights in (UNIFORM, (0.5, 0.5, 0.0), (0.25, 0.75, 0.0), (0.6, 0.0, 0.4)):
        rate = measured_rate(SYMMETRIC, UNIFORM_POLICY, np.log(UNIFORM_POLICY), 0.0, MNPO(eta, weights), 100)[0]
        share = np.array(weights) / np.sum(weights)
        first, second = (np.sum(np.arange(3) ** k * share) for k in (1, 2))
        leading = (eta * omega) ** 2 / 2 * (1 - (second - first**2) / (1 + first) ** 2) / (1 + first)
        assert 0 < rate == pytest.approx(leading, rel=0.02)
        assert rate < (eta * omega) ** 2 / 2


def test_a_mixture_that_reaches_far_back_converges_without_kl():
    omega, eta = frequency(SYMMETRIC[0], UNIFORM_POLICY[0]), 0.2
    for back, share in ((4, 0.5), (4, 0.3), (4, 0.1), (6, 0.1), (8, 0.1)):
        weights = (1 - share, *(0.0,) * (back - 1), share)
        rate = measured_rate(SYMMETRIC, UNIFORM_POLICY, np.log(UNIFORM_POLICY), 0.0, MNPO(eta, weights), 400)[0]
        first, second = back * share, back**2 * share
        leading = (eta * omega) ** 2 / 2 * (1 - (second - first**2) / (1 + first) ** 2) / (1 + first)
        assert rate == pytest.approx(leading, rel=0.1)
        assert (rate < 0) == (back > 5)


def test_inpo_converges_up_to_its_step_limit_and_no_further():
    omega, beta = frequency(SYMMETRIC[1], UNIFORM_POLICY[1]), 0.05
    limit = 2 * beta / (beta**2 + omega**2)
    assert limit == pytest.approx(1.212, abs=5e-4)
    below, above = (
        measured_rate(SYMMETRIC, UNIFORM_POLICY, np.log(UNIFORM_POLICY), beta, INPO(factor * limit), 100)[1]
        for factor in (0.9, 1.1)
    )
    assert below < -1e-4 < 1e-4 < above


@pytest.mark.parametrize(("opponents", "converges"), [("current", True), ("mixture", False)])
def test_history_against_the_current_policy_ends_cycles_far_from_equilibrium_too(opponents, converges):
    P, probs = interior_games(25)
    start = np.full(probs.shape, -np.log(5))
    logs = path(P, start, 0.0, MNPO(2.0, UNIFORM, opponents), 2000)
    distance = kl(np.log(probs), logs[::500])
    assert np.all((distance[1:] < distance[:-1]) == converges)
    assert np.all(distance[-1] < 0.6 * distance[0]) if converges else np.all(distance[-1] > 5)


@pytest.mark.slow
def test_where_inpo_cycles_for_ever_a_uniform_history_converges_until_eta_gets_too_large():
    table = SYMMETRIC[1]
    game = nashpo.Game.from_table(table, beta=0.01, reference=[0.36, 0.33, 0.31])
    gaps = {
        (eta, rule): nashpo.solve(game, make(eta), steps=6000, every=6000).trace["duality_gap"][-1]
        for rule, make in {"inpo": INPO, "history": lambda eta: MNPO(eta, UNIFORM, "current")}.items()
        for eta in (0.5, 1.0, 2.0, 4.0, 8.0)
    }
    assert all(gaps[eta, "inpo"] > 0.5 for eta in (0.5, 1.0))
    assert all(gaps[eta, "history"] < 1e-12 for eta in (0.5, 1.0, 2.0, 4.0))
    assert gaps[8.0, "history"] > 0.1


def test_a_history_may_be_a_list_or_an_array():
    game = nashpo.Game.from_table(SYMMETRIC[0], beta=0.1)
    runs = [nashpo.solve(game, MNPO(0.1, h), steps=5) for h in ((0.5, 0.3), [0.5, 0.3], np.array([0.5, 0.3]))]  # type: ignore[arg-type]
    for run in runs[1:]:
        np.testing.assert_allclose(run.policy.probs(), runs[0].policy.probs(), rtol=1e-13)


def test_weights_and_opponents_that_make_no_sense_are_refused():
    game = nashpo.Game.from_table(SYMMETRIC[0])
    for history, sentence in [
        ((), "give one weight for the current policy"),
        (1.0, "give one weight for the current policy"),
        ((0.5, -0.5), "weight 1 is -0.5"),
        ((0.0, 0.0), "every weight is 0"),
        ((float("nan"),), "weight 0 is nan"),
        ((0.5, "x"), "weight 1 is x"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            nashpo.solve(game, MNPO(0.1, history), steps=1)
    with pytest.raises(ValueError, match='opponents are "mixture" or "current"'):
        nashpo.solve(game, MNPO(0.1, opponents="both"), steps=1)  # type: ignore[arg-type]
    with pytest.warns(nashpo.StepSizeWarning, match=r"MNPO\(eta=1\): convergence is proven up to eta = 0\.039"):
        nashpo.solve(nashpo.Game.from_table(SYMMETRIC[0], beta=0.01), MNPO(1.0), steps=1)

"""SPO, SPPO and DNO: identities, bounds, and where the published claims stop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cyclic import biased_cycle, interior_games, minimax
from recursions import equilibrium, iterate, kl, mirror, nash_md, normalise, path, random_games, win_rates
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

import nashpo
from nashpo.learners.half_baseline import constrained_regression
from nashpo.solvers import DNO, SPO, SPPO, Averaged, NashMD

STEPS = 200


def averages(logs):
    """The arithmetic means of the policies before steps 1, 2, ..., `[T, X, A]`."""
    return np.cumsum(np.exp(logs[:-1]), axis=0) / np.arange(1, len(logs))[:, None, None]


def one_sided_gap(P, probs):
    return np.max(np.einsum("xij,txj->txi", P, probs), axis=-1) - 0.5


@pytest.mark.parametrize("rule", [SPO, SPPO, DNO])
def test_self_play_is_multiplicative_weights(rule):
    P, log_ref = random_games(1)
    logs = path(P, log_ref, 0.1, rule(0.7), STEPS)
    expected = iterate(lambda log: normalise(log + 0.7 * win_rates(P, log)), log_ref, STEPS)
    np.testing.assert_allclose(logs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("eta", [0.1, 1.0, 5.0])
def test_the_average_obeys_the_hedge_bound_at_every_step(eta):
    P, log_ref = random_games(2)
    metrics = {"gap": nashpo.metrics.gap_by_prompt}
    game = nashpo.Game.from_table(P, reference=np.exp(log_ref))
    result = nashpo.solve(game, SPO(eta), steps=STEPS, metrics=metrics)
    steps = result.trace["step"][:, None]
    bound = np.max(-log_ref, axis=-1) / (eta * steps) + eta / 8
    assert np.all(result.trace["gap"] / 2 <= bound + 1e-12)
    logs = path(P, log_ref, 0.0, SPO(eta), STEPS)
    np.testing.assert_allclose(result.trace["gap"] / 2, one_sided_gap(P, averages(logs)), atol=1e-12)
    schapire = 1 - (1 - np.exp(-eta)) / eta + 2 * np.max(-log_ref, axis=-1) / (eta * steps)
    assert np.all(result.trace["gap"] <= schapire + 1e-12)


def test_the_answers_are_the_average_the_average_and_the_last_iterate():
    P, log_ref = random_games(3)
    game = nashpo.Game.from_table(P, reference=np.exp(log_ref))
    mean = averages(path(P, log_ref, 0.0, DNO(0.5), STEPS))[-1]
    for rule in (SPO(0.5), SPPO(0.5), Averaged(DNO(0.5))):
        result = nashpo.solve(game, rule, steps=STEPS, every=STEPS)
        np.testing.assert_allclose(result.policy.probs(), mean, rtol=1e-10)
    result = nashpo.solve(game, DNO(0.5), steps=STEPS, every=STEPS)
    np.testing.assert_array_equal(result.policy.probs(), result.last.probs())


@pytest.mark.parametrize("eta", [0.05, 0.5, 3.0])
def test_the_last_iterate_moves_away_from_an_interior_equilibrium_at_every_step(eta):
    P, probs = interior_games(4)
    logs = path(P, np.full(probs.shape, -np.log(5)), 0.0, SPO(eta), STEPS)
    distance = kl(np.log(probs)[None], logs)
    assert np.all(np.diff(distance, axis=0) >= -1e-13)
    assert np.all(distance[-1] > distance[0] * (1 + 1e-4))
    exact = logsumexp(logs[:-1] + eta * (np.einsum("xij,txj->txi", P, np.exp(logs[:-1])) - 0.5), axis=-1)
    np.testing.assert_allclose(np.diff(distance, axis=0), exact, atol=1e-12)


def test_a_condorcet_winner_is_found_at_the_fast_rate():
    P, _ = random_games(5)
    margin = np.linspace(0.3, 0.5, len(P))
    P[:, 0, 1:] = 0.5 + np.maximum(margin[:, None], np.abs(P[:, 0, 1:] - 0.5))
    P[:, 1:, 0] = 1 - P[:, 0, 1:]
    eta = 0.2
    logs = path(P, np.full(P.shape[:2], -np.log(6)), 0.0, SPO(eta), STEPS)
    rate = eta * margin - (np.exp(eta) - 1 - eta)
    assert np.all(rate > 0)
    bound = np.log(6) / rate
    missing = np.cumsum(1 - np.exp(logs[:-1, :, 0]), axis=0)
    assert np.all(missing[-1] <= bound)
    assert np.all(one_sided_gap(P, averages(logs)) * np.arange(1, STEPS + 1)[:, None] <= bound / 2)
    assert np.all(logs[-1, :, 0] > -1e-3)


def test_every_step_of_dno_beats_the_policy_before_it_by_the_jeffreys_divergence():
    for P, log_ref in (random_games(6), (interior_games(6)[0], np.full((12, 5), -np.log(5)))):
        logs = path(P, log_ref, 0.0, DNO(0.7), STEPS)
        old, new = logs[:-1], logs[1:]
        beats = np.einsum("txi,xij,txj->tx", np.exp(new), P, np.exp(old)) - 0.5
        np.testing.assert_allclose(beats, (kl(new, old) + kl(old, new)) / 0.7, atol=1e-13)
        assert np.all(beats >= kl(new, old) / 0.7 - 1e-13)


def test_option_one_is_online_mirror_descent_and_option_two_is_nash_md():
    P, log_ref = random_games(7)
    beta, eta = 0.3, 0.5
    one = path(P, log_ref, beta, DNO(eta, "current"), STEPS)
    two = path(P, log_ref, beta, DNO(eta, "pulled"), STEPS)
    expected = iterate(lambda log: mirror(log, log_ref, win_rates(P, log), eta, beta), log_ref, STEPS)
    np.testing.assert_allclose(one, expected, rtol=1e-11, atol=1e-12)
    expected = iterate(lambda log: nash_md(P, log, log_ref, eta, beta, eta * beta), log_ref, STEPS)
    np.testing.assert_allclose(two, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(two, path(P, log_ref, beta, NashMD(eta), STEPS), rtol=1e-11, atol=1e-12)


def test_option_one_converges_and_option_two_stops_short():
    P, log_ref = random_games(8)
    beta, eta = 0.3, 0.5
    best = equilibrium(P, log_ref, beta)
    one = path(P, log_ref, beta, DNO(eta, "current"), STEPS)
    two = path(P, log_ref, beta, DNO(eta, "pulled"), STEPS)
    assert np.max(kl(best, one[-1])) < 1e-13 < 1e-6 < np.max(kl(best, two[-1]))
    distance = kl(best[None], two)
    assert np.all(distance[1:] <= (1 - eta * beta) * distance[:-1] + 2 * eta**2)
    shrink = kl(best[None], one)
    assert np.all(shrink[1:] <= (1 - eta * beta) * shrink[:-1] + 1e-14)


def half_baseline_by_optimiser(log_pi, target):
    """The minimiser of the published loss over policies, by a general-purpose optimiser."""

    def loss(logits):
        x = normalise(logits) - log_pi
        gradient = 2 * np.exp(log_pi) * (x - target)
        return np.sum(np.exp(log_pi) * (x - target) ** 2), gradient - np.exp(normalise(logits)) * gradient.sum()

    return normalise(minimize(loss, log_pi + target, jac=True, method="BFGS", options={"gtol": 1e-12}).x)


def test_the_half_baseline_minimises_the_published_loss():
    P, log_ref = random_games(9)
    for eta in (0.5, 3.0):
        target = eta * (win_rates(P, log_ref) - 0.5)
        logs = path(P, log_ref, 0.0, SPPO(eta, "half"), STEPS)[1]
        expected = [half_baseline_by_optimiser(log, t) for log, t in zip(log_ref, target, strict=True)]
        np.testing.assert_allclose(np.exp(logs), np.exp(expected), atol=2e-6)


@pytest.mark.parametrize("eta", [1e-3, 0.1, 1.0, 30.0, 1e3, 1e6])
def test_the_half_baseline_solves_its_equation_with_one_multiplier_for_every_step_size(eta):
    P, log_ref = random_games(10)
    x = path(P, log_ref, 0.0, SPPO(eta, "half"), STEPS)[1] - log_ref
    target = eta * (win_rates(P, log_ref) - 0.5)
    np.testing.assert_allclose(logsumexp(log_ref + x, axis=-1), 0.0, atol=1e-13)
    multiplier = kl(log_ref, log_ref + x)
    # Responses that lose weight: exp(x) may underflow, then x is the target itself.
    np.testing.assert_allclose(x + multiplier[:, None] * np.exp(x), target, rtol=1e-9, atol=1e-11 * max(1, eta))


def test_the_half_baseline_differs_from_the_exact_step_by_the_cube_of_the_step_size():
    P, log_ref = random_games(11)
    gains = win_rates(P, log_ref) - 0.5
    variance = np.sum(np.exp(log_ref) * gains**2, axis=-1, keepdims=True)
    leading = -0.5 * variance * gains
    leading -= np.sum(np.exp(log_ref) * leading, axis=-1, keepdims=True)
    differences = []
    for eta in (0.02, 0.04):
        half, exact = (path(P, log_ref, 0.0, SPPO(eta, baseline), STEPS)[1] for baseline in ("half", "exact"))
        difference = half - exact
        difference -= np.sum(np.exp(log_ref) * difference, axis=-1, keepdims=True)
        np.testing.assert_allclose(difference / eta**3, leading, atol=3 * eta * np.max(np.abs(leading)))
        differences.append(np.max(np.abs(difference), axis=-1))
    np.testing.assert_allclose(differences[1] / differences[0], 8.0, rtol=0.1)


def test_at_large_eta_the_half_baseline_is_another_algorithm():
    P, log_ref = random_games(12)
    gains = win_rates(P, log_ref) - 0.5
    better = np.exp(log_ref) * np.maximum(gains, 0)
    limit = better / better.sum(-1, keepdims=True)
    half = np.exp(path(P, log_ref, 0.0, SPPO(1e7, "half"), STEPS)[1])
    np.testing.assert_allclose(half, limit, atol=1e-5)
    exact = np.exp(path(P, log_ref, 0.0, SPPO(1e7), STEPS)[1])
    np.testing.assert_allclose(exact[gains < gains.max(-1, keepdims=True) - 1e-3], 0.0, atol=1e-300)
    assert np.max(np.abs(half - exact)) > 0.3


def test_the_constrained_regression_never_overflows_in_single_precision():
    rng = np.random.default_rng(13)
    log_pi = normalise(8 * rng.normal(size=(500, 6)))
    target = rng.normal(size=(500, 6)) * 10.0 ** rng.uniform(-6, 3, size=(500, 1))
    target -= np.sum(np.exp(log_pi) * target, axis=-1, keepdims=True)
    solve = jax.jit(constrained_regression)
    exact = solve(log_pi, target)
    np.testing.assert_allclose(logsumexp(log_pi + exact, axis=-1), 0.0, atol=1e-12)
    single = solve(jnp.float32(log_pi), jnp.float32(target))
    assert single.dtype == jnp.float32
    probs = np.exp(normalise(log_pi + np.asarray(single, float)))
    np.testing.assert_allclose(probs, np.exp(log_pi + exact), atol=2e-4)
    assert np.max(np.abs(solve(log_pi, np.zeros_like(target)))) < 1e-30


def test_the_published_step_size_never_leaves_the_finite_numbers():
    P, log_ref = random_games(14)
    game = nashpo.Game.from_table(np.float32(P), reference=np.float32(np.exp(log_ref)))
    result = nashpo.solve(game, SPPO(1000.0, "half"), steps=STEPS).check()
    assert result.policy.probs().dtype == jnp.float32
    np.testing.assert_allclose(result.policy.probs().sum(-1), 1.0, atol=1e-5)


def test_the_dno_loss_is_stationary_at_its_step_for_pairs_from_anywhere():
    P, log_ref = random_games(15)
    rng = np.random.default_rng(15)
    eta = 0.7
    step = path(P, log_ref, 0.0, DNO(eta), STEPS)[1]
    rates = win_rates(P, log_ref)
    target = expit(rates[:, :, None] - rates[:, None, :])
    ratio = (step - log_ref) / eta
    guess = expit(ratio[:, :, None] - ratio[:, None, :])
    left, right = rng.dirichlet(np.ones(6), size=(2, len(P)))
    slope = left[:, :, None] * right[:, None, :] * (guess - target)
    np.testing.assert_allclose(slope.sum(-1) - slope.sum(-2), 0.0, atol=1e-14)
    np.testing.assert_allclose(guess, target, atol=1e-14)


@pytest.mark.slow
def test_ten_thousand_steps_on_a_biased_cycle():
    table = biased_cycle(0.9, 0.7, 0.6)
    eta = np.sqrt(8 * np.log(3) / 10_000)
    result = nashpo.solve(nashpo.Game.from_table(table), SPO(eta), steps=10_000, every=10_000)
    assert result.trace["duality_gap"][-1] / 2 == pytest.approx(0.00242338, abs=1e-7)
    assert result.trace["duality_gap"][-1] / 2 < np.sqrt(np.log(3) / 20_000)
    distance = np.abs(result.policy.probs()[0] - minimax(table)).sum()
    assert distance == pytest.approx(0.032921, abs=1e-5)
    assert nashpo.duality_gap(result.game, result.last) > 10 * result.trace["duality_gap"][-1]


def test_settings_that_do_not_exist_are_refused():
    game = nashpo.Game.from_table(biased_cycle(0.9, 0.9, 0.9))
    with pytest.raises(ValueError, match=r'SPPO\(baseline=.mean.\): the baseline is "exact" or "half"'):
        nashpo.solve(game, SPPO(0.1, "mean"), steps=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"DNO\(regularization=.ref.\): the options are"):
        nashpo.solve(game, DNO(0.1, "ref"), steps=1)  # type: ignore[arg-type]

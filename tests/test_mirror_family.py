"""Mirror descent and its relatives (INPO, online IPO, Nash-MD, MPO): who equals whom, and what is proven of each."""

import warnings

import numpy as np
import pytest
from recursions import (
    ROCK_PAPER_SCISSORS,
    best_response,
    equilibrium,
    gap,
    iterate,
    kl,
    log_probs,
    nash_md,
    normalise,
    path,
    random_games,
    win_rates,
)

import nashpo
from nashpo.logspace import kl as precise_kl
from nashpo.policies import Tabular
from nashpo.solvers import INPO, MPO, NashMD, OnlineIPO
from nashpo.stage import Harmonic, StepSizeWarning
from nashpo.struct import record

BETAS = (0.01, 0.1, 1.0)
STEPS = 60
NEVER = 1e9


def proven(beta):
    return 4 * beta / (1 + 4 * beta**2)


@pytest.mark.parametrize("beta", BETAS)
def test_inpo_steps_are_those_of_the_paper(beta):
    """The paper writes tau for the KL weight and the inverse of the step for eta."""
    P, log_ref = random_games(0)
    eta = 1 / proven(beta)

    def paper(log):
        return normalise(win_rates(P, log) / eta + beta / eta * log_ref + (1 - beta / eta) * log)

    np.testing.assert_allclose(path(P, log_ref, beta, INPO(1 / eta), STEPS), iterate(paper, log_ref, STEPS), atol=1e-10)


def test_online_ipo_with_uniform_pairs_is_inpo():
    P, log_ref = random_games(1)
    expected = path(P, log_ref, 0.1, INPO(0.3), STEPS)
    np.testing.assert_array_equal(path(P, log_ref, 0.1, OnlineIPO(0.3), STEPS), expected)


def test_online_ipo_on_its_own_pairs_is_policy_gradient_with_the_same_limit():
    P, log_ref = random_games(1)
    beta, eta = 0.2, 0.6

    def gradient(log):
        ratio = log - log_ref
        advantage = win_rates(P, log) - 0.5 - beta * (ratio - kl(log, log_ref)[:, None])
        return normalise(log + eta * P.shape[-1] * np.exp(log) * advantage)

    rule = OnlineIPO(eta, variant=2)
    np.testing.assert_allclose(path(P, log_ref, beta, rule, STEPS), iterate(gradient, log_ref, STEPS), atol=1e-10)
    rest = path(P, log_ref, beta, rule, STEPS, start=equilibrium(P, log_ref, beta))
    np.testing.assert_allclose(rest[-1], rest[0], atol=1e-10)
    slow = gap(P, path(P, log_ref, beta, rule, STEPS)[-1], log_ref, beta)
    fast = gap(P, path(P, log_ref, beta, OnlineIPO(eta), STEPS)[-1], log_ref, beta)
    assert np.all(slow > fast)
    assert np.median(slow / fast) > 100


@pytest.mark.parametrize("beta", BETAS)
def test_magnetic_descent_is_mirror_descent_with_a_shorter_step(beta):
    P, log_ref = random_games(2)
    eta = 4 * beta
    expected = path(P, log_ref, beta, INPO(eta / (1 + eta * beta)), STEPS)
    np.testing.assert_allclose(path(P, log_ref, beta, MPO(eta, every=NEVER), STEPS), expected, atol=1e-10)


def test_magnet_moves_to_the_policy():
    P, log_ref = random_games(3)
    eta, alpha, every = 0.4, 0.1, 7
    log, magnet, expected = log_ref, log_ref, [log_ref]
    for t in range(1, STEPS + 1):
        log = normalise((log + eta * alpha * magnet + eta * win_rates(P, log)) / (1 + eta * alpha))
        magnet = log if t % every == 0 else magnet
        expected.append(log)
    np.testing.assert_allclose(path(P, log_ref, 0.0, MPO(eta, every, alpha), STEPS), expected, atol=1e-10)


def test_magnet_starts_at_the_start_not_at_the_reference():
    P, log_ref = random_games(3)
    start = normalise(np.random.default_rng(0).normal(size=log_ref.shape))
    found = path(P, log_ref, 0.2, MPO(0.8, NEVER), STEPS, start=start)
    expected = path(P, start, 0.2, MPO(0.8, NEVER), STEPS)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_nash_md_steps_are_those_of_the_paper():
    P, log_ref = random_games(4)
    for mix in (None, 0.3, 1.0):
        weight = 0.4 * 0.1 if mix is None else mix
        expected = iterate(lambda log, w=weight: nash_md(P, log, log_ref, 0.4, 0.1, w), log_ref, STEPS)
        np.testing.assert_allclose(path(P, log_ref, 0.1, NashMD(0.4, mix), STEPS), expected, atol=1e-10)
    np.testing.assert_allclose(
        path(P, log_ref, 0.1, NashMD(0.3, mix=0.0), STEPS), path(P, log_ref, 0.1, INPO(0.3), STEPS), atol=1e-12
    )


def test_nash_md_as_coded_by_the_authors_of_egpo_mixes_half_as_much():
    """Their simulations take `2 lr / (n beta)` for the step in the mixture and `4 lr / (n beta)` in the update."""
    P, log_ref = random_games(4)
    n, beta, lr = P.shape[-1], 0.1, 0.06
    true_lr = 2 * lr / (n * beta)
    coded = iterate(lambda log: nash_md(P, log, log_ref, 2 * true_lr, beta, true_lr * beta), log_ref, STEPS)
    eta = 4 * lr / (n * beta)
    ours = path(P, log_ref, beta, NashMD(eta, mix=eta * beta / 2), STEPS)
    np.testing.assert_allclose(ours, coded, atol=1e-10)
    published = path(P, log_ref, beta, NashMD(eta), STEPS)
    assert np.max(np.abs(published - coded)) > 0.01


def test_the_mixture_of_nash_md_follows_a_schedule():
    P, log_ref = random_games(4)
    halving = Halving()
    expected, log = [], log_ref
    for step in range(3):
        log = nash_md(P, log, log_ref, 0.4, 0.1, halving(0.1, step))
        expected.append(log)
    np.testing.assert_allclose(path(P, log_ref, 0.1, NashMD(0.4, halving), 3)[1:], expected, atol=1e-10)


@record
class Halving:
    def __call__(self, beta, step):
        return 0.5 ** (step + 1.0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", range(3))
def test_mirror_descent_shrinks_the_divergence_by_the_proven_factor(seed, beta):
    P, log_ref = random_games(seed)
    log_star = equilibrium(P, log_ref, beta)
    eta = proven(beta)
    distance = precise_kl(log_star, path(P, log_ref, beta, INPO(eta), STEPS))
    assert np.all((distance[1:] <= (1 - eta * beta) * distance[:-1] * (1 + 1e-9))[distance[:-1] > 1e-24])
    eta = 4 * beta
    distance = precise_kl(log_star, path(P, log_ref, beta, MPO(eta, NEVER), STEPS))
    assert np.all((distance[1:] <= distance[:-1] / (1 + eta * beta) * (1 + 1e-9))[distance[:-1] > 1e-24])


@pytest.mark.parametrize("beta", BETAS)
def test_nash_md_obeys_its_recursion_and_its_rate(beta):
    P, log_ref = random_games(5)
    log_star = equilibrium(P, log_ref, beta)
    eta = 0.3
    distance = kl(log_star, path(P, log_ref, beta, NashMD(eta), STEPS))
    assert np.all(distance[1:] <= (1 - eta * beta) * distance[:-1] + 2 * eta**2 + 1e-13)
    iterates = path(P, log_ref, beta, NashMD(Harmonic()), STEPS)
    distance = precise_kl(log_star, iterates)
    T = np.arange(1, STEPS + 2)[:, None]
    assert np.all(distance[1:] <= (8 / (beta**2 * (T + 1)))[1:])
    assert beta < 1 or np.all(distance[-1] < 1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_inpo_obeys_its_published_rate_with_the_decaying_step(beta):
    """Theorem 4: `32 C^2 / (tau^2 (T + 1))` with `C = max(B tau, 1)`, `B` the largest log-ratio to the reference."""
    P, log_ref = random_games(5)
    iterates = path(P, log_ref, beta, INPO(Harmonic()), STEPS)
    distance = kl(equilibrium(P, log_ref, beta), iterates)
    largest = np.max(np.abs(iterates - log_ref), axis=(0, 2))
    T = np.arange(1, STEPS + 2)[:, None]
    bound = 32 * np.maximum(largest * beta, 1) ** 2 / (beta**2 * (T + 1))
    assert np.all(distance[1:] <= bound[1:])


@pytest.mark.parametrize("beta", BETAS)
def test_inpo_average_obeys_its_published_bound(beta):
    """Theorem 3, in the paper's eta: `(2 / T) (eta D + (4 tau^2 B^2 + 1) T / eta)`."""
    P, log_ref = random_games(6)
    step = proven(beta)
    iterates = path(P, log_ref, beta, INPO(step), STEPS)
    largest = np.max(np.abs(iterates - log_ref), axis=(0, 2))
    for T in (5, 20, STEPS):
        mean = np.log(np.mean(np.exp(iterates[:T]), axis=0))
        D = kl(best_response(P, mean, log_ref, beta), log_ref)
        bound = 2 / T * (D / step + (4 * beta**2 * largest**2 + 1) * T * step)
        assert np.all(gap(P, mean, log_ref, beta) <= bound + 1e-12)


def highest_frequency(P, log_star):
    p = np.exp(log_star)
    linearised = (np.eye(len(p)) - p) @ ((P - 0.5) * p)
    eigenvalues = np.linalg.eigvals(linearised)
    np.testing.assert_allclose(eigenvalues.real, 0.0, atol=1e-12)
    return np.max(np.abs(eigenvalues.imag))


@pytest.mark.parametrize("beta", (0.01, 0.1))
def test_mirror_descent_is_stable_up_to_the_linear_limit(beta):
    log_ref = np.log([[0.5, 0.3, 0.2]])
    log_star = equilibrium(ROCK_PAPER_SCISSORS, log_ref, beta)
    frequency = highest_frequency(ROCK_PAPER_SCISSORS[0], log_star[0])
    assert 0.25 < frequency <= 0.5
    limit = 2 * beta / (beta**2 + frequency**2)
    start = normalise(log_star + 1e-2 * np.array([1.0, -1.0, 0.5]))
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, beta=beta, reference=np.exp(log_ref))
    found = {}
    for share in (0.9, 1.1):
        with pytest.warns(StepSizeWarning, match="proven up to"):
            result = nashpo.solve(game, INPO(share * limit), steps=20_000, every=20_000, start=Tabular(start))
        found[share] = precise_kl(log_star, result.policy.log_probs())[0]
    first = precise_kl(log_star, start)[0]
    # Per step (1 - eta beta)^2 + eta^2 w^2 = 1 - 0.2 eta beta.
    expected = first * (1 - 0.2 * 0.9 * limit * beta) ** 20_000
    assert found[0.9] < 2 * expected + 1e-25
    assert expected < 1e-3 * first
    assert found[1.1] > 1e-3


def test_constant_nash_md_has_a_biased_limit_and_a_decaying_step_has_not():
    P, log_ref = random_games(7)
    beta, eta = 0.1, 0.5
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    metrics = {"log": log_probs}
    limit = nashpo.solve(game, NashMD(eta), steps=4000, every=4000, metrics=metrics).trace["log"][-1]
    plateau = gap(P, limit, log_ref, beta)
    assert np.all(plateau > 1e-8)
    assert np.all(plateau[::3] > 1e-6), "the tables of uniform entries"
    opponent = equilibrium(P, log_ref, beta / (1 - eta * beta))
    np.testing.assert_allclose(limit, best_response(P, opponent, log_ref, beta), atol=1e-10)
    decaying = nashpo.solve(game, NashMD(Harmonic()), steps=4000, every=4000, metrics=metrics).trace["log"][-1]
    assert np.all(gap(P, decaying, log_ref, beta) < np.minimum(1e-6, plateau / 20))


@pytest.mark.parametrize(
    ("P", "reference"),
    [
        (ROCK_PAPER_SCISSORS, [1 / 3, 1 / 3, 1 / 3]),
        (0.5 + np.subtract.outer([0.0, 0.1, 0.3], [0.0, 0.1, 0.3]), [0.5, 0.3, 0.2]),
    ],
    ids=["the reference is the equilibrium", "the opponent makes no difference"],
)
def test_where_constant_nash_md_has_no_bias(P, reference):
    found = nashpo.solve(nashpo.Game.from_table(P, beta=0.1, reference=np.array(reference)), NashMD(0.5), steps=1000)
    assert found.trace["duality_gap"][-1] < 1e-15


def test_magnets_are_a_proximal_point_method():
    """Each stretch is long enough to solve its own game; the magnets are the iterates at its end."""
    P, log_ref = random_games(8)
    P = np.concatenate([P[:11], np.pad(ROCK_PAPER_SCISSORS, ((0, 0), (0, 3), (0, 3)), constant_values=0.5)])
    P[11, :3, 3:], P[11, 3:, :3] = 1.0, 0.0
    alpha, every, outer = 0.25, 120, 30
    game = nashpo.Game.from_table(P, beta=0.0, reference=np.exp(log_ref))
    metrics = {"log": log_probs}
    result = nashpo.solve(game, MPO(1.0, every, alpha), steps=every * outer, every=every, metrics=metrics)
    magnets = np.concatenate([log_ref[None], result.trace["log"]])
    np.testing.assert_allclose(magnets[1], equilibrium(P, log_ref, alpha), atol=1e-6)
    D = np.max(-log_ref, axis=-1)
    for K in (1, 5, 10, outer):
        mean = np.log(np.mean(np.exp(magnets[1 : K + 1]), axis=0))
        assert np.all(gap(P, mean, log_ref, 0.0) <= 2 * alpha * D / K + 1e-9)
    log_star = np.log([1 / 3, 1 / 3, 1 / 3])
    distance = kl(log_star, magnets[:, 11, :3])
    moved = kl(magnets[1:, 11], magnets[:-1, 11])
    assert np.all(distance[1:] <= distance[:-1] - moved + 1e-9)
    assert distance[0] > 1e-2
    assert distance[-1] < 1e-9


def test_proven_steps():
    """In units of the largest payoff: twice the payoff, half the step, at twice the penalty."""
    for rule in (INPO(1.0), OnlineIPO(1.0), MPO(1.0, 10)):
        assert rule.proven_step(0.2, 1.0) == pytest.approx(rule.proven_step(0.1, 0.5) / 2)
    assert INPO(1.0).proven_step(0.1, 0.5) == pytest.approx(proven(0.1))
    assert INPO(1.0).proven_step(1e200, 0.5) == pytest.approx(1e-200)
    assert MPO(1.0, 10, alpha=0.3).proven_step(0.0, 0.5) == pytest.approx(1.2)
    assert NashMD(1.0).proven_step(0.1, 0.5) is None
    assert OnlineIPO(1.0, variant=2).proven_step(0.1, 0.5) is None


def test_the_mixture_of_a_step_size_is_a_mixture():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, beta=0.1)
    nashpo.solve(game, NashMD(10.0), steps=1)
    with pytest.warns(StepSizeWarning, match=r"NashMD\(eta=11.0\).*, eta beta, is 1.1, above 1"):
        nashpo.solve(game, NashMD(11.0), steps=1)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (NashMD(0.5, mix=1.5), r"NashMD\(mix=1.5\): the weight of the reference in the opponent"),
        (MPO(0.5, 10), r"MPO\(alpha=None\).*the game's beta.*is 0.0"),
        (NashMD(0.5, mix="x"), r"NashMD\(mix=x\): the weight of the reference in the opponent"),
        (NashMD(0.5, mix=[0.1, 0.2]), r"NashMD\(mix=\[0.1, 0.2\]\): the weight of the reference in the opponent"),
        (MPO(0.5, 10, alpha="x"), r"MPO\(alpha=x\).*must be positive"),
        (MPO(0.5, "x", alpha=0.1), r"MPO\(every=x\).*whole number"),
        (MPO(0.5, [1, 2], alpha=0.1), r"MPO\(every=\[1.0, 2.0\]\).*whole number"),
        (MPO(0.5, 10, alpha=-0.1), r"MPO\(alpha=-0.1\).*must be positive"),
        (MPO(0.5, 0, alpha=0.1), r"MPO\(every=0.0\).*whole number"),
        (MPO(0.5, 2.5, alpha=0.1), r"MPO\(every=2.5\).*whole number"),
        (MPO(0.0, 5, alpha=0.1), r"MPO\(eta=0.0\): eta must be a positive finite number"),
        (OnlineIPO(0.5, variant=3), r"OnlineIPO\(variant=3\): the variants are 1"),
        (NashMD(-1.0), r"NashMD\(eta=-1.0\): eta must be a positive finite number"),
        (NashMD(Harmonic()), r"NashMD.*the schedule begins with inf at beta = 0"),
        (INPO(Harmonic(scale=-1.0)), r"INPO.*the schedule begins with -inf"),
    ],
)
def test_settings_that_cannot_run_are_refused(rule, message):
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, beta=0.0)
    with pytest.raises(ValueError, match=message):
        nashpo.solve(game, rule, steps=1)


def test_a_step_above_the_proven_limit_is_run_with_a_warning():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, beta=0.0)
    with pytest.warns(StepSizeWarning, match=r"MPO\(eta=2\): convergence is proven up to eta = 0.4"):
        nashpo.solve(game, MPO(2.0, 10, alpha=0.1), steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nashpo.solve(game, MPO(0.4, 10, alpha=0.1), steps=1)
        nashpo.solve(game, MPO(Harmonic(), 10, alpha=0.1), steps=1).check()

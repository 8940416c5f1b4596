"""Losses over samples against their population: every tuple of responses enumerated with its exact weight."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recursions import normalise
from scipy.special import expit, logit

import nashpo
from nashpo.learners import Batch, FromReference, FromStart, Listed, Sampled, Uniform
from nashpo.learners.bradley_terry import fit_reward
from nashpo.learners.half_baseline import constrained_regression
from nashpo.learners.losses import (
    CDPO,
    DPO,
    GPO,
    IPO,
    RDPO,
    RPO,
    VPO,
    HingeNorm,
    HyPO,
    PairLabel,
    Pointwise,
    PolicyGradient,
    Samples,
    SigmoidNorm,
    SoftLogistic,
    SquaredGains,
    Terms,
)
from nashpo.learners.samplers import Scene
from nashpo.policies import Tabular
from nashpo.solvers import GPO as SelfPlayOnScores
from nashpo.solvers import INPO, SPPO, IterativeDPO
from nashpo.stage import Stage, against

ETA, BETA, A = 0.7, 0.3, 4
FIT, REGRESS = jax.jit(fit_reward), jax.jit(constrained_regression)
TERMS = Terms(ETA, BETA, 0.5, "win_rate")


@pytest.fixture(params=range(2))
def world(request):
    """A table without certain preferences, the law of the pairs, an anchor, a reference and a policy, `[A]` each."""
    rng = np.random.default_rng(request.param)
    upper = np.triu(rng.uniform(0.1, 0.9, (A, A)), 1)
    P = upper + np.tril(1 - upper.T, -1) + 0.5 * np.eye(A)
    return P, *(normalise(rng.normal(size=A)) for _ in range(4))


def rows(*laws):
    """Every tuple of responses `[B, K]`, and its weight `[B]`; a law `[A]` for each place."""
    tuples = np.array(list(itertools.product(range(A), repeat=len(laws))))
    weights = np.prod([law[tuples[:, place]] for place, law in enumerate(laws)], axis=0)
    return tuples, weights


def enumerated(P, law, anchor, reference=None, *, count=2, extra=None, votes=False, gains=None):
    """Samples whose sums are expectations: `count` responses from `law`, further ones from `extra`, all pairs."""
    tuples, weights = rows(*[law] * count, *([] if extra is None else [extra]))
    left, right = (np.tile(side, (len(tuples), 1)) for side in np.triu_indices(count, 1))
    labels = P[np.take_along_axis(tuples, left, 1), np.take_along_axis(tuples, right, 1)]
    if votes:
        assert count == 2
        weights = np.concatenate([weights * labels[:, 0], weights * (1 - labels[:, 0])])
        labels = np.concatenate([np.ones_like(labels), np.zeros_like(labels)])
        tuples, left, right = (np.concatenate([part, part]) for part in (tuples, left, right))
    return Samples(
        prompts=np.zeros(len(tuples), int),
        weights=weights,
        responses=tuples,
        anchor=anchor[tuples],
        reference=(anchor if reference is None else reference)[tuples],
        gains=None if gains is None else gains[tuples],
        left=left,
        right=right,
        pairs=np.full(left.shape, 1 / left.shape[1]),
        labels=labels,
    )


@functools.partial(jax.jit, static_argnames=("value", "target", "curved"))
def measured(loss, samples, eta, log_pi, value, target, curved=False):
    """The expected loss at log-probabilities `[A]`, its gradient in the logits and its curvature."""

    def f(theta):
        log_pi = jax.nn.log_softmax(theta)
        return jnp.sum(samples.weights * loss(log_pi[samples.responses], samples, Terms(eta, BETA, value, target)))

    return f(log_pi), jax.grad(f)(log_pi), jax.hessian(f)(log_pi) if curved else None


class Population(NamedTuple):
    """A loss over all samples there are."""

    loss: Any
    samples: Samples
    terms: Terms = TERMS

    def measure(self, log_pi, curved=False):
        eta, _, value, target = self.terms
        return measured(self.loss, self.samples, eta, jnp.asarray(log_pi), value, target, curved)

    def __call__(self, log_pi):
        return float(self.measure(log_pi)[0])

    def gradient(self, log_pi):
        return np.asarray(self.measure(log_pi)[1])

    def minimiser(self, start):
        """Newton's method with halved steps, to a gradient of 1e-12."""
        theta = np.asarray(start)
        for _ in range(100):
            value, slope, curvature = map(np.asarray, self.measure(theta, curved=True))
            if np.max(np.abs(slope)) < 1e-12:
                return normalise(theta)
            move, size = -np.linalg.lstsq(curvature, slope, rcond=1e-12)[0], 1.0
            while size > 1e-4 and not self(theta + size * move) <= value:
                size /= 2
            theta = theta + size * move
        raise AssertionError(f"no minimiser: slope {np.max(np.abs(slope))}")


def population(loss, samples, terms=TERMS):
    return Population(loss, samples, terms)


def minimiser(value, start):
    return value.minimiser(start)


def gradient(value, log_pi):
    return value.gradient(log_pi)


def reward_of(P, mu):
    return np.asarray(FIT(jnp.asarray(P)[None], jnp.asarray(mu)[None]))[0]


def close(found, expected, atol=1e-9):
    np.testing.assert_allclose(np.exp(found), np.exp(normalise(expected)), atol=atol)


# DPO and its relatives


@pytest.mark.parametrize("votes", [False, True])
def test_dpo_is_minimised_by_the_bradley_terry_reward_of_its_pairs(world, votes):
    P, mu, anchor, *_ = world
    found = minimiser(population(DPO(), enumerated(P, np.exp(mu), anchor, votes=votes)), anchor)
    close(found, anchor + ETA * reward_of(P, np.exp(mu)))


def test_all_pairs_of_a_batch_have_the_expectation_of_one(world):
    P, mu, anchor, _, theta = world
    one, many = (population(DPO(), enumerated(P, np.exp(mu), anchor, count=count)) for count in (2, 3))
    assert abs(float(one(theta) - many(theta))) < 1e-12


def test_dpo_depends_on_the_law_of_the_pairs_unless_preferences_are_bradley_terry(world):
    P, mu, anchor, other, _ = world
    uniform = np.full(A, 1 / A)
    expected = normalise(anchor + ETA * reward_of(P, np.exp(mu)))
    elsewhere = minimiser(population(DPO(), enumerated(P, uniform, anchor)), anchor)
    assert np.max(np.abs(np.exp(elsewhere) - np.exp(expected))) > 1e-3
    ranked = expit(other[:, None] - other[None, :])
    for law in (uniform, np.exp(mu)):
        close(minimiser(population(DPO(), enumerated(ranked, law, anchor)), anchor), anchor + ETA * other)


def test_sigmoid_norm_is_dpo_for_the_law_that_was_sampled(world):
    P, _, anchor, other, theta = world
    samples = enumerated(P, np.exp(other), anchor)
    close(minimiser(population(SigmoidNorm(), samples), anchor), anchor + ETA * reward_of(P, np.exp(other)))
    assert float(population(SigmoidNorm(), samples)(theta)) == float(population(DPO(), samples)(theta))


def test_log_odds_are_labels_too(world):
    P, mu, anchor, _, theta = world
    samples = enumerated(P, np.exp(mu), anchor)
    scores = samples._replace(labels=logit(samples.labels))
    for loss in (DPO(), RPO(0.2), HingeNorm()):
        as_scores = population(loss, scores, Terms(ETA, BETA, 0.0, "win_rate"))(theta)
        np.testing.assert_allclose(as_scores, population(loss, samples)(theta), rtol=1e-12)


def test_dpo_has_no_minimiser_where_one_response_always_loses(world):
    _, mu, anchor, *_ = world
    ranking = np.triu(np.ones((A, A)), 1) + 0.5 * np.eye(A)
    value = population(DPO(), enumerated(ranking, np.exp(mu), anchor))
    rank = -np.arange(A)
    along = [float(value(normalise(anchor + size * rank))) for size in (0, 1, 5, 25)]
    assert all(np.diff(along) < 0) and np.max(np.abs(gradient(value, anchor + 25 * rank))) > 0
    for finite in (RPO(0.1), CDPO(0.1)):
        value = population(finite, enumerated(ranking, np.exp(mu), anchor))
        assert value(anchor + 1000.0 * rank) > value(anchor + rank)
    hinge = population(HingeNorm(), enumerated(ranking, np.exp(mu), anchor))
    assert hinge(anchor + 1000.0 * rank) == pytest.approx(hinge(anchor + ETA * rank), abs=1e-12)


@pytest.mark.parametrize(("eta", "falls"), [(0.5, False), (2.0, True)])
def test_a_kl_penalty_keeps_margins_finite_for_small_steps_only(world, eta, falls):
    """Far out, sure labels still gain of order `exp(-margin / eta)`, and KL loses of order `margin exp(-margin)`."""
    mu = world[1]
    sure, uniform = np.triu(np.ones((A, A)), 1) + 0.5 * np.eye(A), np.full(A, -np.log(A))
    value = population(DPO(), enumerated(sure, np.exp(mu), uniform), Terms(eta, BETA, 0.5, "win_rate"))

    def penalised(margin):
        log_pi = normalise(-margin * np.arange(A))
        return float(value(log_pi)) + 0.01 * np.sum(np.exp(log_pi) * (log_pi - uniform))

    along = [penalised(margin) for margin in (5.0, 10.0, 15.0)]
    assert (np.diff(along) < 0).tolist() == [falls, falls]


def flipped(P, share):
    return (1 - 2 * share) * P + share


def test_robust_dpo_is_clean_dpo_in_expectation_and_smoothing_is_not(world):
    P, mu, anchor, _, theta = world
    clean, noisy = (enumerated(table, np.exp(mu), anchor, votes=True) for table in (P, flipped(P, 0.2)))
    target, robust = population(DPO(), clean), population(RDPO(0.2), noisy)
    np.testing.assert_allclose(robust(theta), target(theta), rtol=1e-12)
    np.testing.assert_allclose(gradient(robust, theta), gradient(target, theta), atol=1e-13)
    close(minimiser(robust, anchor), anchor + ETA * reward_of(P, np.exp(mu)))
    smoothed = population(CDPO(0.2), noisy)
    twice = flipped(flipped(P, 0.2), 0.2)
    close(minimiser(smoothed, anchor), anchor + ETA * reward_of(twice, np.exp(mu)))
    ends = [minimiser(value, anchor) for value in (target, population(DPO(), noisy), smoothed)]
    right, untreated, conservative = (np.exp(end) for end in ends)
    assert np.abs(conservative - right).sum() > np.abs(untreated - right).sum() > 1e-2


def test_robust_dpo_is_unbounded_below_on_the_labels_of_a_sample(world):
    _, mu, anchor, *_ = world
    votes = np.triu(np.ones((A, A)), 1) + 0.5 * np.eye(A)
    value = population(RDPO(0.2), enumerated(votes, np.exp(mu), anchor))
    along = [float(value(normalise(anchor - size * np.arange(A)))) for size in (1, 10, 100, 1000)]
    assert along[-1] < -10 and all(np.diff(along) < 0)


@pytest.mark.parametrize("coefficient", [0.05, 2.0])
def test_rpo_is_offline_vpo_calibrated_on_the_chosen(world, coefficient):
    P, mu, anchor, *_ = world
    mu = np.exp(mu)
    chosen = 2 * mu * (P @ mu)
    np.testing.assert_allclose(chosen.sum(), 1, atol=1e-14)
    rpo = population(RPO(coefficient), enumerated(P, mu, anchor, votes=True))
    pessimist = VPO(coefficient * ETA, sign=-1.0)
    vpo = population(pessimist, enumerated(P, mu, anchor, extra=chosen))
    points = [normalise(np.random.default_rng(seed).normal(size=A)) for seed in range(4)]
    offsets = [float(vpo(point) - rpo(point)) for point in points]
    np.testing.assert_allclose(offsets, coefficient * np.sum(chosen * anchor), atol=1e-12)
    close(minimiser(rpo, anchor), minimiser(vpo, anchor))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_vpo_tilts_the_score_equations_of_dpo(world, sign):
    """`2 mu_a sum_b mu_b (P_ab - sigmoid(r_a - r_b)) = sign alpha (calibration - pi)_a`, `r = log(pi/anchor) / eta`."""
    P, mu, anchor, calibration, _ = world
    mu, calibration, alpha = np.exp(mu), np.exp(calibration), 0.02
    found = minimiser(population(VPO(alpha, sign=sign), enumerated(P, mu, anchor, extra=calibration)), anchor)
    reward = (found - anchor) / ETA
    residual = 2 * mu * ((P - expit(reward[:, None] - reward[None, :])) @ mu)
    np.testing.assert_allclose(residual, sign * alpha * (calibration - np.exp(found)), atol=1e-12)
    plain = normalise(anchor + ETA * reward_of(P, mu))
    moved = np.sum(calibration * (found - plain))
    assert sign * moved < 0, "optimism leaves the calibration law, pessimism stays with it"


def test_too_much_optimism_is_unbounded_below(world):
    P, mu, anchor, calibration, _ = world
    samples = enumerated(P, np.exp(mu), anchor, extra=np.exp(calibration))
    away = np.eye(A)[0]
    for alpha, falls in ((1e-3, False), (10.0, True)):
        value = population(VPO(alpha), samples)
        assert (float(value(normalise(anchor - 1e4 * away))) < float(value(anchor))) == falls


@pytest.mark.parametrize("count", [1, 2])
def test_hypo_adds_the_gradient_of_the_divergence(world, count):
    P, mu, anchor, reference, theta = world
    own, coefficient = np.exp(theta), 0.6

    def sampled(law):
        """All pairs from mu with all `count` extra responses from `law`."""
        samples = enumerated(P, np.exp(mu), anchor, reference)
        extras, weights = rows(*[law] * count)
        pair, more = (index.ravel() for index in np.indices((len(samples.prompts), len(extras))))
        wide = jax.tree.map(lambda leaf: leaf[pair], samples)
        joined = np.concatenate([wide.responses, extras[more]], axis=1)
        wide = wide._replace(weights=wide.weights * weights[more], responses=joined)
        wide = wide._replace(anchor=anchor[joined], reference=reference[joined])
        return population(HyPO(coefficient, count=count), wide)

    divergence = own * (theta - reference - np.sum(own * (theta - reference)))
    plain = population(DPO(), enumerated(P, np.exp(mu), anchor, reference))
    expected = gradient(plain, theta) + coefficient * divergence
    np.testing.assert_allclose(gradient(sampled(own), theta), expected, atol=1e-13)
    if count == 1:
        elsewhere = gradient(sampled(np.exp(mu)), theta)
        assert np.max(np.abs(elsewhere - expected)) > 1e-3, "stale samples do not do"


def test_the_hinge_does_not_tell_how_likely_a_win_is():
    for share, expected in ((0.51, ETA), (0.99, ETA), (0.2, -ETA)):
        samples = enumerated(np.full((A, A), share), np.eye(A)[0], np.zeros(A))
        samples = samples._replace(responses=np.tile([0, 1], (len(samples.weights), 1)))
        loss = population(HingeNorm(), samples)
        margins = np.linspace(-2 * ETA, 2 * ETA, 401)
        values = [float(loss(jnp.array([margin, 0.0, 0.0, 0.0]))) for margin in margins]
        assert margins[np.argmin(values)] == pytest.approx(expected, abs=1e-12)


# The losses of the mirror family, and GPO


def test_ipo_is_pair_label_and_ends_at_the_response_to_the_law_of_the_pairs(world):
    P, mu, anchor, _, theta = world
    soft, votes = (enumerated(P, np.exp(mu), anchor, votes=votes) for votes in (False, True))
    close(minimiser(population(IPO(), votes), anchor), anchor + ETA * P @ np.exp(mu))
    log_ratio = theta - anchor
    winner_less_loser = np.where(
        votes.labels > 0, *(sign * np.diff(log_ratio[votes.responses]) for sign in (-1.0, 1.0))
    )
    by_hand = np.sum(votes.weights * (winner_less_loser[:, 0] - ETA / 2) ** 2)
    np.testing.assert_allclose(population(IPO(), votes)(theta), by_hand, rtol=1e-12)
    spread = float(population(IPO(), votes)(theta) - population(IPO(), soft)(theta))
    expected = ETA**2 * np.sum(soft.weights * (soft.labels * (1 - soft.labels))[:, 0])
    np.testing.assert_allclose(spread, expected, rtol=1e-10)


@pytest.mark.parametrize("loss", [SquaredGains(), SoftLogistic()], ids=lambda loss: type(loss).__name__)
def test_exact_gains_are_met_under_any_law(world, loss):
    P, mu, anchor, law, _ = world
    gains = P @ np.exp(mu)
    for sampled in (np.exp(law), np.full(A, 1 / A)):
        found = minimiser(population(loss, enumerated(P, sampled, anchor, gains=gains)), anchor)
        close(found, anchor + ETA * gains)


def test_pair_labels_are_met_under_the_opponent_s_law_alone(world):
    P, mu, anchor, law, _ = world
    expected = normalise(anchor + ETA * P @ np.exp(mu))
    close(minimiser(population(PairLabel(), enumerated(P, np.exp(mu), anchor)), anchor), expected)
    elsewhere = minimiser(population(PairLabel(), enumerated(P, np.exp(law), anchor)), anchor)
    assert np.max(np.abs(np.exp(elsewhere) - np.exp(expected))) > 1e-3


def test_gains_against_one_sample_of_the_opponent_are_unbiased(world):
    P, mu, anchor, law, theta = world
    tuples, weights = rows(np.exp(law), np.exp(law), np.exp(mu))
    samples = enumerated(P, np.exp(law), anchor, count=2)
    pair = jax.tree.map(lambda leaf: np.repeat(leaf, A, axis=0), samples)
    pair = pair._replace(weights=weights, gains=P[tuples[:, :2], tuples[:, 2:]])
    exact = population(SquaredGains(), enumerated(P, np.exp(law), anchor, gains=P @ np.exp(mu)))
    np.testing.assert_allclose(gradient(population(SquaredGains(), pair), theta), gradient(exact, theta), atol=1e-13)
    logistic = population(SoftLogistic(), pair)
    exact = population(SoftLogistic(), enumerated(P, np.exp(law), anchor, gains=P @ np.exp(mu)))
    assert np.max(np.abs(gradient(logistic, theta) - gradient(exact, theta))) > 1e-5


def batch_gains(P, tuples, own):
    game = nashpo.Game.from_table(P)
    policy = Tabular(jnp.zeros((1, A)))
    scene = Scene(policy, {"now": policy}, Stage({"now": 1.0}, against("now")), game)
    return np.asarray(Batch(own).estimate(jax.random.key(0), np.zeros(len(tuples), int), tuples, scene))


@pytest.mark.parametrize("count", [2, 3])
def test_batch_gains_on_squared_pairs_are_unbiased_with_oneself_and_too_large_without(world, count):
    P, mu, anchor, *_ = world
    samples = enumerated(P, np.exp(mu), anchor, count=count)
    for own, size in ((True, 1.0), (False, count / (count - 1))):
        given = samples._replace(gains=batch_gains(P, samples.responses, own))
        found = minimiser(population(SquaredGains(), given), anchor)
        close(found, anchor + size * ETA * P @ np.exp(mu))


def test_batch_gains_are_unbiased_for_each_response_but_the_baseline_of_a_policy_gradient_has_met_it(world):
    P, _, anchor, _, theta = world
    own, count = np.exp(theta), 3
    samples = enumerated(P, own, anchor, count=count)

    def slope(loss, gains):
        return gradient(population(loss, samples._replace(gains=gains)), theta)

    exact = (P @ own)[samples.responses]
    alone, drawn = (batch_gains(P, samples.responses, itself) for itself in (False, True))
    np.testing.assert_allclose(slope(Pointwise(), alone), slope(Pointwise(), exact), atol=1e-13)
    np.testing.assert_allclose(slope(PolicyGradient(), drawn), slope(PolicyGradient(), exact), atol=1e-13)
    larger = slope(PolicyGradient(), exact * count / (count - 1))
    np.testing.assert_allclose(slope(PolicyGradient(), alone), larger, atol=1e-13)
    for loss, wrong in ((Pointwise(), drawn), (PolicyGradient(), alone)):
        assert np.max(np.abs(slope(loss, wrong) - slope(loss, exact))) > 1e-3


def test_pointwise_ends_at_the_half_baseline_step(world):
    P, mu, *_ = world
    samples = enumerated(P, np.exp(mu), mu, count=2, gains=P @ np.exp(mu))
    log_ratio = REGRESS(jnp.asarray(mu), ETA * (P @ np.exp(mu) - 0.5))
    close(minimiser(population(Pointwise(), samples), mu), mu + log_ratio)


def test_gpo_ends_at_its_constrained_regression_and_squared_pairs_at_the_step(world):
    P, mu, *_ = world
    scores, errors = logit(P) @ np.exp(mu), []
    samples = enumerated(P, np.exp(mu), mu, gains=scores)
    for eta in (0.05, 0.1, ETA):
        terms = Terms(eta, BETA, 0.5, "score")
        found = minimiser(population(GPO(), samples, terms), mu)
        close(found, mu + REGRESS(jnp.asarray(mu), eta * scores))
        close(minimiser(population(SquaredGains(), samples, terms), mu), mu + eta * scores)
        errors.append(np.max(np.abs(np.exp(found) - np.exp(normalise(mu + eta * scores)))))
    assert errors[1] / errors[0] == pytest.approx(8, rel=0.1)
    assert errors[2] > 1e-3


def test_the_policy_gradient_is_that_of_the_penalised_value(world):
    P, opponent, anchor, reference, theta = world
    gains = P @ np.exp(opponent)
    samples = enumerated(P, np.exp(theta), anchor, reference, gains=gains)
    for target, base, weight in (("win_rate", anchor, 1.0), ("policy_gradient", reference, ETA * BETA)):
        bracket = ETA * gains - weight * (theta - base)
        expected = -np.exp(theta) * (bracket - np.sum(np.exp(theta) * bracket))
        found = gradient(population(PolicyGradient(), samples, Terms(ETA, BETA, 0.5, target)), theta)
        np.testing.assert_allclose(found, expected, atol=1e-13)
    stale = enumerated(P, np.exp(opponent), anchor, reference, gains=gains)
    biased = gradient(population(PolicyGradient(), stale, Terms(ETA, BETA, 0.5, "policy_gradient")), theta)
    assert np.max(np.abs(biased - expected)) > 1e-3


# The learner


def test_stages_on_scores_read_log_odds(world):
    P, mu, *_ = world
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(P))
    now = Tabular(jnp.asarray(mu)[None])
    slots = {"reference": game.reference, "now": now}
    (stage,) = SelfPlayOnScores(0.1).stages(0.0, 0)
    for gains, count, tolerance in ((Listed(), 8, 1e-12), (Batch(), 1000, 0.4)):
        drawn = Sampled(0.1, loss=GPO(), gains=gains, responses=count).collect(
            jax.random.key(0), now, slots, stage, game
        )
        expected = (logit(P) @ np.exp(mu))[drawn.responses]
        assert np.max(np.abs(drawn.gains - expected)) < tolerance < 0.5 * np.ptp(logit(P))


def test_extra_responses_are_drawn_and_are_in_no_pair(world):
    P, mu, *_ = world
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(P))
    now = Tabular(jnp.asarray(mu)[None])
    slots = {"reference": game.reference, "now": now}
    (stage,) = IterativeDPO(0.1).stages(0.0, 0)
    plain, hybrid = (
        Sampled(0.1, loss=loss, prompts=50, responses=3).collect(jax.random.key(0), now, slots, stage, game)
        for loss in (DPO(), HyPO(0.1, count=2))
    )
    assert hybrid.responses.shape == hybrid.anchor.shape == hybrid.reference.shape == (50, 5)
    assert hybrid.left.max() < 3 and hybrid.right.max() < 3
    assert np.array_equal(hybrid.responses[:, :3], plain.responses) and np.array_equal(hybrid.labels, plain.labels)
    assert np.allclose(hybrid.anchor, np.asarray(mu)[hybrid.responses])


def test_losses_refuse_what_they_are_wrong_for(world):
    game = nashpo.Game.from_table(world[0], beta=0.1)
    with pytest.raises(ValueError, match="DPO is biased for responses from FromReference; use FromOpponent"):
        Sampled(0.1, loss=DPO(), sampler=FromReference())
    with pytest.raises(ValueError, match="GPO is biased for responses from Uniform; use FromStart"):
        Sampled(0.1, loss=GPO(), sampler=Uniform())
    with pytest.raises(ValueError, match="HyPO is biased after the first step"):
        Sampled(0.1, loss=HyPO(0.1), updates=2)
    for loss, rule in ((DPO(), INPO(0.1)), (GPO(), SPPO(0.1)), (Pointwise(), SPPO(0.1))):
        learner = Sampled(0.1, loss=loss, sampler=FromStart() if loss.laws == {"start"} else None)
        with pytest.raises(ValueError, match=f"asks for the target 'win_rate', and {type(loss).__name__} fits"):
            nashpo.solve(game, rule, learner=learner, steps=1)
    for loss, name in ((RDPO(0.5), "flip"), (CDPO(-0.1), "smoothing")):
        with pytest.raises(ValueError, match=rf"{type(loss).__name__}\({name}=.*must be at least 0 and below 1/2"):
            nashpo.solve(game, IterativeDPO(0.1), learner=Sampled(0.1, loss=loss), steps=1)
    for loss, sentence in (
        (RPO(-1.0), r"RPO\(coefficient=-1.0\): must be finite and at least 0"),
        (HyPO(np.nan), r"HyPO\(coefficient=nan\): must be finite"),
        (HyPO(0.1, count=0), r"HyPO\(count=0\): must be a whole number, at least 1"),
        (VPO(np.inf), r"VPO\(alpha=inf\): must be finite"),
        (VPO(0.1, sign=0.5), r"VPO\(sign=0.5\): must be 1, optimism, or -1, pessimism"),
        (VPO(0.1, count=0), r"VPO\(count=0\): must be a whole number, at least 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            nashpo.solve(game, IterativeDPO(0.1), learner=Sampled(0.1, loss=loss), steps=1)

"""The losses that the papers print, differentiated by JAX in tabular logits, and the rules that they amount to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recursions import best_response, equilibrium, log_probs, normalise, omd, path, random_games, win_rates

import nashpo
from nashpo.learners.policy_gradient import policy_gradient
from nashpo.solvers import EGPO, INPO, NashMD, OnlineIPO
from nashpo.stage import Stage

BETA = 0.2
STEPS = 60
GAMES = 12


def log_ratio(theta, log_ref):
    return jax.nn.log_softmax(theta) - log_ref


def contrast(values):
    """`values[y] - values[y']` for every pair."""
    return values[..., :, None] - values[..., None, :]


def pairs(weights):
    return weights[..., :, None] * weights[..., None, :]


def online_ipo(theta, P, log_ref, rho, mu):
    """y, y' from rho, both against mu; all three are constants to the derivative, and all games are summed."""
    target = jnp.einsum("xij,xj->xi", P, mu) / BETA
    return jnp.sum(pairs(rho) * contrast(log_ratio(theta, log_ref) - target) ** 2)


def online_ipo_on_own_pairs(theta, P, log_ref, rho):
    """The published loss: y, y' from rho (the policy itself, or its mixture with the reference)."""
    return jnp.sum(pairs(rho) * (contrast(log_ratio(theta, log_ref)) - (P - 0.5) / BETA) ** 2)


def pair_label_ipo(theta, P, log_ref, rho):
    """The winner of every pair is drawn by the oracle; winner minus loser is regressed on `1 / (2 beta)`."""
    difference = contrast(log_ratio(theta, log_ref))
    half = 1 / (2 * BETA)
    return jnp.sum(pairs(rho) * (P * (difference - half) ** 2 + (1 - P) * (-difference - half) ** 2))


def self_play_value(theta, P, log_ref, opponent):
    """The value of the policy against a constant opponent."""
    log = jax.nn.log_softmax(theta)
    return jnp.sum(jnp.exp(log) * (jnp.einsum("xij,xj->xi", P, opponent) - BETA * (log - log_ref)))


def random_logits(log_ref, seed):
    return np.random.default_rng(seed).normal(size=log_ref.shape)


def probs(theta):
    return np.exp(normalise(np.asarray(theta)))


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_online_ipo_is_the_preconditioned_mirror_step(seed):
    P, log_ref = random_games(seed)
    theta, rho, mu = (random_logits(log_ref, 10 * seed + k) for k in range(3))
    rho, mu = probs(rho), probs(mu)
    u = normalise(theta) - log_ref - win_rates(P, np.log(mu)) / BETA
    expected = 4 * rho * (u - np.sum(rho * u, axis=-1, keepdims=True))
    found = jax.grad(online_ipo)(jnp.asarray(theta), P, log_ref, rho, mu)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def descend(loss_of_opponent, log_ref, lr, looks_ahead):
    """Plain optax SGD on logits; the half step is taken with a throw-away copy of the optimizer's state."""
    optimizer = optax.sgd(lr)

    @jax.jit
    def step(theta, state):
        def updated(theta, state, base):
            grad = jax.grad(loss_of_opponent)(theta, jax.nn.softmax(base))
            updates, state = optimizer.update(grad, state, theta)
            return optax.apply_updates(theta, updates), state

        half = updated(theta, state, theta)[0] if looks_ahead else theta
        return updated(theta, state, half)

    theta = jnp.asarray(log_ref)
    state, log = optimizer.init(theta), [log_ref]
    for _ in range(STEPS):
        theta, state = step(theta, state)
        log.append(normalise(np.asarray(theta)))
    return np.array(log)


@pytest.mark.parametrize(("rule", "looks_ahead"), [(OnlineIPO, False), (EGPO, True)])
def test_sgd_on_uniform_pairs_is_the_mirror_step(rule, looks_ahead):
    P, log_ref = random_games(0)
    n, lr = P.shape[-1], 0.1
    uniform = np.full_like(log_ref, 1 / n)
    found = descend(lambda theta, mu: online_ipo(theta, P, log_ref, uniform, mu), log_ref, lr, looks_ahead)
    eta = 4 * lr / (n * BETA)
    np.testing.assert_allclose(found, path(P, log_ref, BETA, rule(eta), STEPS), atol=1e-10)
    half_as_large = path(P, log_ref, BETA, rule(eta / 2), STEPS)
    assert np.max(np.abs(found - half_as_large)) > 0.01, "the `true_lr` of the EGPO authors' code is half the step"


def test_sgd_on_other_pairs_is_not():
    P, log_ref = random_games(0)
    n, lr = P.shape[-1], 0.1
    skewed = np.tile(np.arange(1.0, n + 1) / np.sum(np.arange(1.0, n + 1)), (GAMES, 1))
    found = descend(lambda theta, mu: online_ipo(theta, P, log_ref, skewed, mu), log_ref, lr, False)
    assert np.max(np.abs(found - path(P, log_ref, BETA, OnlineIPO(4 * lr / (n * BETA)), STEPS))) > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_three_gradients_of_the_published_loss_are_one(seed):
    """Regression on preferences, regression on labels, and -4/beta times the gradient of the game's value."""
    P, log_ref = random_games(seed)
    theta = jnp.asarray(random_logits(log_ref, seed))
    own = probs(theta)
    expected = jax.grad(online_ipo_on_own_pairs)(theta, P, log_ref, own)
    np.testing.assert_allclose(jax.grad(pair_label_ipo)(theta, P, log_ref, own), expected, atol=1e-10)
    value = jax.grad(self_play_value)(theta, P, log_ref, own)
    np.testing.assert_allclose(-4 / BETA * value, expected, atol=1e-10)


def test_sgd_on_own_pairs_is_the_policy_gradient_rule():
    P, log_ref = random_games(1)
    n, lr = P.shape[-1], 0.1
    found = descend(lambda theta, own: online_ipo_on_own_pairs(theta, P, log_ref, own), log_ref, lr, False)
    expected = path(P, log_ref, BETA, OnlineIPO(4 * lr / (n * BETA), variant=2), STEPS)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_policy_gradient_target_is_the_gradient_of_the_value_against_any_opponent():
    P, log_ref = random_games(2)
    theta, opponent = random_logits(log_ref, 3), probs(random_logits(log_ref, 4))
    gradient = jax.grad(lambda theta: self_play_value(theta, P, log_ref, opponent))(theta)
    game = nashpo.Game.from_table(P, BETA, reference=np.exp(log_ref))
    stage = Stage({"now": 1.0}, (), 0.7, target="policy_gradient")
    found = policy_gradient(stage, jnp.asarray(normalise(theta)), jnp.asarray(opponent), game, jax.random.key(0))
    np.testing.assert_allclose(found, 0.7 * P.shape[-1] * gradient, atol=1e-12)


def inpo_losses(theta, P, log_ref, log_now, rho, eta):
    """Equations 7 and 8 in the paper's eta: with the exact target, and with labels; y, y' from rho."""
    own = jax.nn.log_softmax(theta) - BETA / eta * log_ref - (1 - BETA / eta) * log_now
    difference = contrast(own)
    gains = jnp.einsum("xij,xj->xi", P, jnp.exp(log_now))
    exact = jnp.sum(pairs(rho) * (difference - contrast(gains) / eta) ** 2)
    half = 1 / (2 * eta)
    labels = jnp.sum(pairs(rho) * (P * (difference - half) ** 2 + (1 - P) * (-difference - half) ** 2))
    return exact, labels


def test_inpo_pair_loss_is_exact_up_to_a_constant_on_pairs_from_the_policy():
    P, log_ref = random_games(2)
    log_now, eta = normalise(random_logits(log_ref, 0)), 2.0
    losses = jax.jit(lambda theta, rho: jnp.array(inpo_losses(theta, P, log_ref, log_now, rho, eta)))
    points = [random_logits(log_ref, seed) for seed in range(4)]
    offsets = [np.diff(losses(theta, np.exp(log_now)))[0] for theta in points]
    np.testing.assert_allclose(offsets, offsets[0], rtol=1e-10)
    uniform = np.full_like(log_ref, 1 / log_ref.shape[-1])
    assert np.ptp([np.diff(losses(theta, uniform))[0] for theta in points]) > 0.1


def test_inpo_pair_loss_is_minimised_by_one_mirror_step():
    P, log_ref = random_games(2)
    log_now, eta = normalise(random_logits(log_ref, 0)), 2.0
    step = jnp.asarray(omd(P, log_now, log_ref, 1 / eta, BETA))
    np.testing.assert_allclose(path(P, log_ref, BETA, INPO(1 / eta), STEPS, start=log_now)[1], step, atol=1e-12)
    exact, _ = inpo_losses(step, P, log_ref, log_now, np.exp(log_now), eta)
    np.testing.assert_allclose(exact, 0.0, atol=1e-20)
    gradient = jax.grad(lambda theta: inpo_losses(theta, P, log_ref, log_now, np.exp(log_now), eta)[1])(step)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


def test_ipo_md_and_nash_md_pg_stop_where_constant_nash_md_stops():
    """`pi = BR(pi^(1-m) ref^m)`; the mixture, not pi, is an equilibrium, that of the weight `beta / (1 - m)`."""
    P, log_ref = random_games(3)
    mix = 0.25
    game = nashpo.Game.from_table(P, beta=BETA, reference=np.exp(log_ref))
    result = nashpo.solve(game, NashMD(0.3, mix=mix), steps=2000, every=2000, metrics=[log_probs])
    limit = result.trace["log_probs"][-1]
    mixture = normalise((1 - mix) * limit + mix * log_ref)
    np.testing.assert_allclose(limit, best_response(P, mixture, log_ref, BETA), atol=1e-9)
    np.testing.assert_allclose(mixture, equilibrium(P, log_ref, BETA / (1 - mix)), atol=1e-9)

    def gradients(log):
        opponent = np.exp(normalise((1 - mix) * log + mix * log_ref))
        theta = jnp.asarray(log)
        ipo_md = jax.grad(online_ipo_on_own_pairs)(theta, P, log_ref, opponent)
        return ipo_md, jax.grad(self_play_value)(theta, P, log_ref, opponent)

    for gradient in gradients(limit):
        np.testing.assert_allclose(gradient, 0.0, atol=1e-9)
    for gradient in gradients(equilibrium(P, log_ref, BETA)):
        assert np.median(np.max(np.abs(gradient), axis=-1)) > 1e-3


def test_sampled_gradients_are_unbiased_and_sampled_losses_are_not():
    """One uniform pair and one response of the opponent at a time: target `(P[y, y''] - P[y', y'']) / beta`."""
    P, log_ref = (array[3:4] for array in random_games(4))
    n, draws = P.shape[-1], 40_000
    theta, mu = jnp.asarray(random_logits(log_ref, 0)), probs(random_logits(log_ref, 1))
    uniform = np.full_like(log_ref, 1 / n)
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, n, size=(2, draws))
    rival = rng.choice(n, size=draws, p=mu[0])
    targets = (P[0, left, rival] - P[0, right, rival]) / BETA

    def loss(theta, left, right, target):
        h = log_ratio(theta, log_ref)[0]
        return (h[left] - h[right] - target) ** 2

    sampled = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0, 0, 0)))(theta, left, right, targets)
    values, gradients = np.asarray(sampled[0]), np.asarray(sampled[1])[:, 0]
    exact, gradient = jax.value_and_grad(online_ipo)(theta, P, log_ref, uniform, mu)
    error = gradients.std(axis=0) / np.sqrt(draws)
    assert np.all(np.abs(gradients.mean(axis=0) - gradient[0]) < 5 * error)
    moments = ((P[0][:, None, :] - P[0][None, :, :]) / BETA, mu[0])
    variance = np.mean(moments[0] ** 2 @ mu[0] - (moments[0] @ mu[0]) ** 2)
    standard = values.std() / np.sqrt(draws)
    assert abs(values.mean() - exact - variance) < 5 * standard
    assert variance > 20 * standard

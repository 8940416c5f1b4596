"""APO: momentum on any base, its closed form, its rates, and its harm on cycles."""

import numpy as np
import pytest
from cyclic import biased_cycle, frequency
from recursions import egpo, equilibrium, kl, log_probs, mirror, normalise, path, random_games, win_rates

import nashpo
from nashpo.solvers import APO, DNO, EGPO, INPO, MNPO, MPO, ONPO, SPO, SPPO, Averaged, IterativeDPO
from nashpo.stage import Move, Stage, UpdateRule, against
from nashpo.struct import record

STEPS = 200
pytestmark = pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")


def hats(P, log_ref, beta, rule, steps=STEPS):
    """The answers `[T, X, A]` after 1, 2, ..., T steps."""
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    metrics = {"last": nashpo.metrics.Last(log_probs), "answer": log_probs}
    trace = nashpo.solve(game, rule, steps=steps, metrics=metrics).check().trace
    return np.asarray(trace["answer"]), np.concatenate([log_ref[None], trace["last"]])


def recursion(base, log_ref, momentum, steps=STEPS):
    """APO in plain NumPy over a base step `log -> log`; the answers and the iterates."""
    hat, now, answers, iterates = log_ref, log_ref, [], [log_ref]
    for _ in range(steps):
        new = base(now)
        now, hat = normalise((1 + momentum) * new - momentum * hat), new
        answers.append(hat)
        iterates.append(now)
    return np.array(answers), np.array(iterates)


@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_the_recursion_of_the_paper_over_one_stage_and_two_stage_bases(momentum):
    P, log_ref = random_games(31)
    bases = [
        (APO(0.2, momentum), lambda log: normalise(log + 0.2 * win_rates(P, log))),
        (APO(0.2, momentum, INPO), lambda log: mirror(log, log_ref, win_rates(P, log), 0.2, 0.05)),
        (APO(0.2, momentum, EGPO(0.2)), lambda log: egpo(P, log, log_ref, 0.2, 0.05)),
    ]
    for rule, base in bases:
        answers, iterates = hats(P, log_ref, 0.05, rule)
        expected = recursion(base, log_ref, momentum)
        np.testing.assert_allclose(answers, expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(iterates, expected[1], rtol=1e-9, atol=1e-9)


@record
class TwoWrites(UpdateRule):
    """A base that reads what it has just written, keeps a slot and looks at the past."""

    eta: float
    memory = 1
    stored = ("anchor",)

    def stages(self, beta, step):
        return (
            Stage({"now": 0.5, "anchor": 0.5}, against("past1"), self.eta),
            Stage({"now": 1.0}, against("now"), self.eta),
        )

    def moves(self, step):
        return {"anchor": Move("now", step % 3 == 0)}


@pytest.mark.parametrize(
    "base",
    [SPO(0.3), SPPO(0.3, "half"), EGPO(0.3), MNPO(0.3, (0.5, 0.5), "current"), MPO(0.3, 4), ONPO(0.3), TwoWrites(0.3)],
    ids=lambda base: type(base).__name__,
)
def test_without_momentum_it_is_the_base(base):
    P, log_ref = random_games(32)
    answers, iterates = hats(P, log_ref, 0.05, APO(0.3, 0.0, base))
    expected = path(P, log_ref, 0.05, base, STEPS)
    np.testing.assert_allclose(iterates, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(answers, expected[1:], rtol=1e-9, atol=1e-10)


def test_a_base_may_be_none_a_class_or_an_instance_with_the_same_step_size():
    P, log_ref = random_games(33)
    plain = hats(P, log_ref, 0.0, APO(0.2, 0.5))[0]
    for base in (SPO, SPO(0.2), DNO(0.2), SPPO(0.2)):
        np.testing.assert_array_equal(hats(P, log_ref, 0.0, APO(0.2, 0.5, base))[0], plain)
    half = hats(P, log_ref, 0.0, APO(1.0, 0.5, SPPO(1.0, "half")))[0]
    assert np.max(np.abs(half[0] - hats(P, log_ref, 0.0, APO(1.0, 0.5))[0][0])) > 1e-3


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_answer_is_a_weighted_sum_of_the_rewards(momentum):
    P, log_ref = random_games(34)
    eta = 0.1
    answers, iterates = hats(P, log_ref, 0.0, APO(eta, momentum))
    rewards = np.einsum("xij,txj->txi", P, np.exp(iterates[:-1]))
    for steps in (1, 7, STEPS):
        powers = momentum ** np.arange(steps, 0, -1)
        weights = (1 - powers) / (1 - momentum)
        expected = normalise(log_ref + eta * np.einsum("t,txi->xi", weights, rewards[:steps]))
        np.testing.assert_allclose(answers[steps - 1], expected, rtol=1e-9, atol=1e-10)
        total, lag = rewards[:steps].sum(0), np.einsum("t,txi->xi", powers / (momentum or 1), rewards[:steps])
        ftrl = normalise(log_ref + eta * (total - momentum * lag) / (1 - momentum))
        np.testing.assert_allclose(answers[steps - 1], ftrl, rtol=1e-9, atol=1e-10)
        ahead = normalise(log_ref + eta * (total - momentum**2 * lag) / (1 - momentum))
        np.testing.assert_allclose(iterates[steps], ahead, rtol=1e-9, atol=1e-10)


def gamma(eta, momentum, steps):
    return eta * (steps / (1 - momentum) - momentum * (1 - momentum**steps) / (1 - momentum) ** 2)


def bradley_terry_games(seed, count=12, actions=6):
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=(count, actions))
    return 1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None])), reward


def test_bradley_terry_rewards_are_maximised_within_the_gamma_bound():
    P, reward = bradley_terry_games(35)
    log_ref = random_games(35)[1]
    steps = np.arange(1, STEPS + 1)[:, None]
    gap = np.sort(reward, axis=-1)
    gap = gap[:, -1] - gap[:, -2]
    best = reward == reward.max(-1, keepdims=True)
    start = np.sum(log_ref * best, axis=-1)
    for momentum in (0.0, 0.3, 0.6):
        answers, _ = hats(P, log_ref, 0.0, APO(0.05, momentum, IterativeDPO))
        scale = gamma(0.05, momentum, steps)
        expected = normalise(log_ref + scale[..., None] * reward)
        np.testing.assert_allclose(np.exp(answers), np.exp(expected), atol=1e-9)
        missing = np.max(reward, axis=-1) - np.sum(np.exp(answers) * reward, axis=-1)
        assert np.all(missing <= -start / scale)
        assert np.all(-np.sum(answers * best, axis=-1) <= np.exp(-scale * gap) / np.exp(start) + 1e-12)


def test_the_constant_that_the_paper_prints_fails_for_a_likely_best_response():
    reward = np.array([[0.0, -0.2]])
    P = 1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None]))
    answers, _ = hats(P, np.log([[0.5, 0.5]]), 0.0, APO(0.5, 0.3, IterativeDPO))
    probability = np.exp(answers[4, 0, 0])
    missing = 0.2 * (1 - probability)
    scale = gamma(0.5, 0.3, 5)
    printed, true = np.log((1 - 0.5) / 0.5) / scale, -np.log(0.5) / scale
    assert printed == 0 < 0.04 < missing < true


def test_iterative_dpo_with_the_enlarged_step_is_never_slower_on_bradley_terry_preferences():
    P, reward = bradley_terry_games(36)
    log_ref = random_games(36)[1]
    for momentum in (0.3, 0.6):
        answers, _ = hats(P, log_ref, 0.0, APO(0.05, momentum, IterativeDPO))
        larger = path(P, log_ref, 0.0, IterativeDPO(0.05 / (1 - momentum)), STEPS)[1:]
        value = [np.sum(np.exp(log) * reward, axis=-1) for log in (answers, larger)]
        assert np.all(value[1] >= value[0] - 1e-12)


def test_with_a_dominant_response_the_rate_is_enlarged_by_one_over_one_minus_momentum():
    P = random_games(37)[0]
    log_ref = np.full(P.shape[:2], -np.log(6))
    P[:, 1:, 1:] = 0.5 + 0.4 * (P[:, 1:, 1:] - 0.5)
    P[:, 0, 1:], P[:, 1:, 0] = 0.9, 0.1
    slopes = {}
    for momentum in (0.0, 0.3, 0.6):
        answers, _ = hats(P, log_ref, 0.0, APO(0.1, momentum))
        missing = np.log(-np.expm1(answers[:, :, 0]))
        slopes[momentum] = (missing[-1] - missing[-51]) / 50 * (1 - momentum)
    assert np.all(slopes[0.0] < -0.02)
    for momentum in (0.3, 0.6):
        np.testing.assert_allclose(slopes[momentum], slopes[0.0], rtol=0.05)


def modulus(momentum, step):
    """The largest root of `z^2 - (1 + a) c z + a c`, `c = 1 + i step`."""
    c = 1 + 1j * step
    return np.max(np.abs(np.roots([1, -(1 + momentum) * c, momentum * c])))


@pytest.mark.parametrize(("momentum", "growth"), [(0.0, 6.7e-5), (0.3, 1.7e-4), (0.5, 5.3e-4), (0.7, 3.0e-3)])
def test_momentum_leaves_the_equilibrium_of_a_cycle_faster(momentum, growth):
    table = biased_cycle(0.9, 0.9, 0.9)
    step = frequency(table, np.full(3, 1 / 3)) / 20
    predicted = modulus(momentum, step) - 1
    leading = step**2 / 2 * (1 - momentum + 2 * momentum**2) / (1 - momentum) ** 3
    assert predicted == pytest.approx(leading, rel=0.05)
    start = normalise(np.array([[1e-7, 0.0, -1e-7]]))
    logs = path(table[None], start, 0.0, APO(0.05, momentum), STEPS)
    distance = np.log(np.linalg.norm(np.exp(logs[:, 0]) - 1 / 3, axis=-1))
    measured = np.polyfit(np.arange(101), distance[100:], 1)[0]
    assert measured == pytest.approx(predicted, rel=0.01)
    assert measured == pytest.approx(growth, rel=0.02)
    assert measured > 1.25 * step**2 / 2 / (1 - momentum) ** 2 or momentum == 0.0


def test_the_average_gets_worse_with_momentum_on_a_biased_cycle():
    game = nashpo.Game.from_table(biased_cycle(0.9, 0.7, 0.6))
    gaps, last = {}, {}
    for momentum in (0.0, 0.3, 0.5, 0.7, 0.9):
        rule = APO(0.1, momentum)
        gaps[momentum] = nashpo.solve(game, Averaged(rule), steps=2000, every=2000).trace["duality_gap"][-1]
        last[momentum] = nashpo.solve(game, rule, steps=2000, every=2000)
    np.testing.assert_allclose(list(gaps.values()), [0.0022, 0.0048, 0.0049, 0.0091, 0.0196], atol=6e-5)
    for momentum in (0.7, 0.9):
        assert last[momentum].trace["duality_gap"][-1] == pytest.approx(0.4, abs=2e-3)
    assert last[0.9].policy.log_probs().min() < -80


def test_a_condorcet_winner_above_a_cycle_is_reached_faster_after_an_overshoot():
    table = np.full((4, 4), 0.5)
    table[:3, :3] = biased_cycle(0.95, 0.95, 0.95)
    table[3, :3], table[:3, 3] = 0.55, 0.45
    game = nashpo.Game.from_table(table, reference=[0.8, 0.1, 0.09, 0.01])
    plain, half, most = (
        nashpo.solve(game, APO(0.1, a), steps=2000, every=10).trace["duality_gap"] for a in (0.0, 0.5, 0.9)
    )
    assert most[100] < 1e-9 < half[100] < 1e-2 < plain[100]
    assert max(plain.max(), half.max()) < 0.7 < 0.89 < most.max()


def test_the_regularised_equilibrium_is_the_fixed_point_over_inpo():
    P, log_ref = random_games(38)
    best = equilibrium(P, log_ref, 0.5)
    answers, _ = hats(P, log_ref, 0.5, APO(0.1, 0.3, INPO))
    assert np.max(kl(best, answers[-1])) < 1e-3 * np.max(kl(best, answers[0]))


def test_settings_that_contradict_each_other_are_refused():
    game = nashpo.Game.from_table(biased_cycle(0.9, 0.9, 0.9), beta=0.01)
    for momentum in (-0.1, 1.0, float("nan"), "x", [0.0, 0.5]):
        with pytest.raises(ValueError, match="momentum is at least 0 and below 1"):
            nashpo.solve(game, APO(0.1, momentum), steps=1)
    with pytest.raises(ValueError, match=r"APO\(eta=0.1, base=SPO\(eta=0.2\)\): two step sizes"):
        nashpo.solve(game, APO(0.1, 0.3, SPO(0.2)), steps=1)
    with pytest.raises(ValueError, match="the base has a slot 'hat' of its own"):
        nashpo.solve(game, APO(0.1, 0.3, APO(0.1, 0.3)), steps=1)
    with pytest.raises(ValueError, match="APO\\(base='sppo'\\): the base is an update rule"):
        nashpo.solve(game, APO(0.1, 0.3, "sppo"), steps=1)
    with pytest.raises(ValueError, match="eta must be a positive finite number"):
        nashpo.solve(game, APO(0.0, 0.3), steps=1)
    with pytest.warns(nashpo.StepSizeWarning, match="INPO"):
        nashpo.solve(game, APO(1.0, 0.3, INPO), steps=1)

"""Fictitious play and predictive regret matching+: solvers that are no mirror methods."""

import numpy as np
import pytest
from recursions import ROCK_PAPER_SCISSORS, best_response, equilibrium, gap, log_probs, random_games

import nashpo
from nashpo.metrics import Last, probs
from nashpo.oracles import Noisy, Table
from nashpo.policies import Tabular
from nashpo.solvers import FictitiousPlay, PenaltyIgnoredWarning, RegretMatching

STEPS = 60


def run(P, log_ref, beta, solver, steps=STEPS, every=1, start=None):
    game = nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref))
    metrics = {"answer": probs, "last": Last(probs)}
    start = None if start is None else Tabular(start)
    return nashpo.solve(game, solver, steps=steps, every=every, metrics=metrics, start=start).check()


def best_pure(P, p):
    """Uniform over the responses that win most against `p`, up to rounding."""
    rates = np.einsum("xij,xj->xi", P, p)
    best = rates >= rates.max(-1, keepdims=True) - 1e-13
    return best / best.sum(-1, keepdims=True)


def tied(P, p):
    rates = np.sort(np.einsum("xij,xj->xi", P, p), axis=-1)
    return np.any(rates[:, -1] - rates[:, -2] < 1e-12)


@pytest.mark.parametrize("beta", (0.0, 0.1))
def test_fictitious_play_responds_to_the_average_of_all_plays(beta):
    P, log_ref = random_games(0)
    P, log_ref = P[::3], log_ref[::3]
    result = run(P, log_ref, beta, FictitiousPlay())
    average = np.exp(log_ref)
    for t in range(STEPS):
        assert beta > 0 or not tied(P, average)
        play = np.exp(best_response(P, np.log(average), log_ref, beta)) if beta > 0 else best_pure(P, average)
        average = average + (play - average) / (t + 2)
        np.testing.assert_allclose(result.trace["last"][t], play, atol=1e-11)
        np.testing.assert_allclose(result.trace["answer"][t], average, atol=1e-11)


def test_fictitious_play_breaks_ties_evenly():
    table = np.array([[0.5, 1.0, 1.0], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    game = nashpo.Game.from_table(1 - table)
    result = nashpo.solve(game, FictitiousPlay(), steps=1, start=[1.0, 0.0, 0.0])
    np.testing.assert_allclose(result.last.probs(), [[0.0, 0.5, 0.5]], atol=1e-15)
    np.testing.assert_allclose(result.policy.probs(), [[0.5, 0.25, 0.25]], atol=1e-15)
    assert np.all(np.isfinite(result.policy.log_probs()))


def test_fictitious_play_converges_in_the_average():
    """The last play does not: where nothing is penalised it is pure."""
    P, log_ref = random_games(1)
    first = gap(P, log_ref, log_ref, 0.0)
    result = run(P, log_ref, 0.0, FictitiousPlay(), steps=4000, every=4000)
    answer, last = result.trace["answer"][-1], result.trace["last"][-1]
    assert np.all(gap(P, np.log(answer), log_ref, 0.0) < 0.05)
    assert np.all(first > 0.05)
    assert np.median(last.max(-1)) > 0.99
    smooth = run(P, log_ref, 0.1, FictitiousPlay(), steps=4000, every=4000)
    assert np.all(gap(P, np.log(smooth.trace["answer"][-1]), log_ref, 0.1) < 1e-4)


def test_smooth_fictitious_play_stays_at_the_equilibrium():
    P, log_ref = random_games(2)
    log_star = equilibrium(P, log_ref, 0.1)
    result = run(P, log_ref, 0.1, FictitiousPlay(), start=log_star)
    for name in ("answer", "last"):
        np.testing.assert_allclose(
            result.trace[name], np.broadcast_to(np.exp(log_star), (STEPS, *P.shape[:2])), atol=1e-11
        )


def regret_matching(P, start, steps):
    """Plays, weighted averages and regrets, each `[T, X, A]`, after T = 1, 2, ... steps."""
    play, regret, total, weight, out = start, np.zeros_like(start), np.zeros_like(start), 0.0, []
    for t in range(1, steps + 1):
        rates = np.einsum("xij,xj->xi", P, play)
        now = rates - np.sum(play * rates, axis=-1, keepdims=True)
        total, weight = total + t**2 * play, weight + t**2
        regret = np.maximum(regret + now, 0.0)
        wanted = np.maximum(regret + now, 0.0)
        size = wanted.sum(-1, keepdims=True)
        play = np.where(size > 0, wanted / np.maximum(size, 1e-300), play)
        out.append((play, total / weight, regret))
    return [np.array(part) for part in zip(*out, strict=True)]


def test_regret_matching_plays_its_predicted_regrets():
    P, log_ref = random_games(3)
    P, log_ref = P[::3], log_ref[::3]
    result = run(P, log_ref, 0.0, RegretMatching())
    plays, answers, regrets = regret_matching(P, np.exp(log_ref), STEPS)
    np.testing.assert_allclose(result.trace["last"], plays, atol=1e-9)
    np.testing.assert_allclose(result.trace["answer"], answers, atol=1e-9)
    np.testing.assert_allclose(result.state.regret, regrets[-1], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_regrets_certify_the_answer(seed):
    P, log_ref = random_games(seed)
    for steps in (7, STEPS, 4000):
        game = nashpo.Game.from_table(P, reference=np.exp(log_ref))
        result = nashpo.solve(game, RegretMatching(), steps=steps, every=4000, metrics=[log_probs])
        largest = np.max(np.asarray(result.state.regret), axis=-1)
        weight = 6 * steps / ((steps + 1) * (2 * steps + 1))
        exploitable = gap(P, result.trace["log_probs"][-1], log_ref, 0.0) / 2
        assert np.all(exploitable <= weight * largest + 1e-13)
        assert np.all(largest <= np.sqrt(2 * P.shape[-1] * steps)), "sqrt(2 sum |r_t - r_(t-1)|^2)"
    assert np.all(exploitable < 1e-3)


def test_regret_matching_stays_at_an_equilibrium():
    game = nashpo.Game.from_table(ROCK_PAPER_SCISSORS, reference=[0.5, 0.3, 0.2])
    result = nashpo.solve(game, RegretMatching(), steps=STEPS, start=[1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(result.last.probs(), result.policy.probs())
    np.testing.assert_allclose(result.policy.probs(), 1 / 3, atol=1e-15)


def test_regret_matching_says_that_it_ignores_the_penalty():
    P, log_ref = random_games(4)
    with pytest.warns(PenaltyIgnoredWarning, match=r"beta = 0.1 is ignored.*EGPO"):
        penalised = run(P, log_ref, 0.1, RegretMatching())
    np.testing.assert_array_equal(penalised.policy.probs(), run(P, log_ref, 0.0, RegretMatching()).policy.probs())


@pytest.mark.parametrize("solver", [FictitiousPlay(), RegretMatching()])
def test_classical_solvers_play_noisy_votes(solver):
    """Fresh votes every step: another key, another path; the average still gets near the equilibrium."""
    game = nashpo.Game.from_oracle(Noisy(Table(np.asarray(ROCK_PAPER_SCISSORS) * 0.8 + 0.1), votes=4))
    first, again, other = (nashpo.solve(game, solver, steps=4000, every=4000, key=key) for key in (0, 0, 1))
    np.testing.assert_array_equal(first.policy.probs(), again.policy.probs())
    assert np.max(np.abs(first.policy.probs() - other.policy.probs())) > 1e-6
    assert first.trace["duality_gap"][-1] < 0.1


@pytest.mark.parametrize("solver", [FictitiousPlay(), RegretMatching()])
def test_classical_solvers_solve_every_prompt_apart(solver):
    P, log_ref = random_games(5)
    together = run(P, log_ref, 0.0, solver).policy.probs()
    order = np.roll(np.arange(len(P)), 1)
    moved = run(P[order], log_ref[order], 0.0, solver).policy.probs()
    np.testing.assert_allclose(moved, together[order], atol=1e-12)

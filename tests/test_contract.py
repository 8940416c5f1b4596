"""What every solver owes: each one of the table of cases is held to each contract."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import EVERY, GAMES, REFERENCE, SOLVERS, STEPS, interior_table, random_table

import nashpo
from nashpo.run import _run, as_solver

pytestmark = pytest.mark.filterwarnings(
    "ignore::nashpo.StepSizeWarning", "ignore::nashpo.solvers.PenaltyIgnoredWarning"
)
every_solver = pytest.mark.parametrize("name", SOLVERS)


def run(game, name, eta=0.3, **options):
    return nashpo.solve(game, SOLVERS[name].make(eta), steps=STEPS, every=EVERY, **options)


def games_of(name):
    return [key for key in GAMES if SOLVERS[name].certain or key != "certain"]


@every_solver
def test_answers_are_distributions_and_the_trace_is_whole(name):
    for key in games_of(name):
        game = GAMES[key]()
        result = run(game, name)
        for policy in (result.policy, result.last):
            assert policy.probs().shape == game.shape
            np.testing.assert_allclose(policy.probs().sum(-1), 1.0, rtol=1e-12)
        assert result.trace["step"].tolist() == [4, 8, 12]
        assert np.all(result.trace["duality_gap"] >= 0), key
        assert result.check() is result
        np.testing.assert_allclose(
            result.trace["duality_gap"][-1], nashpo.duality_gap(game, result.policy), rtol=1e-9, atol=1e-15
        )


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.has_eta])
def test_a_rule_says_whether_the_penalty_matters_to_it(name):
    rule, answers = SOLVERS[name].make(0.3), []
    for beta in (0.1, 0.2):
        game = dataclasses.replace(GAMES["random"](), beta=beta)
        answers.append(run(game, name).policy.probs())
    assert rule.penalised == (not np.array_equal(*answers))


@every_solver
def test_new_numbers_do_not_compile_again(name):
    run(GAMES["random"](), name)
    before = _run._cache_size()
    run(GAMES["random"](), name)
    run(GAMES["tiny_beta"](), name, eta=0.7)
    run(GAMES["random"](), name, eta=1, key=3)
    renamed = dataclasses.replace(GAMES["random"](), items=tuple("abcde"))
    run(renamed, name)
    assert _run._cache_size() == before


@every_solver
def test_prompts_are_solved_as_if_alone(name):
    together = run(GAMES["prompts"](), name)
    for index, seed in enumerate((4, 5, 6)):
        alone = run(nashpo.Game.from_table(random_table(seed), beta=0.1, reference=REFERENCE), name)
        np.testing.assert_allclose(together.policy.probs()[index], alone.policy.probs()[0], rtol=1e-10, atol=1e-14)


@every_solver
def test_relabelled_responses_give_the_relabelled_answer(name):
    order = np.array([3, 0, 4, 1, 2])
    table = random_table(0)
    game = nashpo.Game.from_table(table[np.ix_(order, order)], beta=0.1, reference=REFERENCE[order])
    expected = run(GAMES["random"](), name)
    found = run(game, name)
    np.testing.assert_allclose(found.policy.probs(), expected.policy.probs()[:, order], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found.trace["duality_gap"], expected.trace["duality_gap"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.affine])
def test_payoffs_on_minus_one_to_one_with_twice_beta_change_nothing_but_the_units(name):
    table = random_table(0)
    expected = run(GAMES["random"](), name, eta=0.3)
    scores = nashpo.Game.from_table(2 * table - 1, beta=0.2, reference=REFERENCE, scale="score")
    found = run(scores, name, eta=0.15)
    np.testing.assert_allclose(found.policy.probs(), expected.policy.probs(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found.trace["duality_gap"], 2 * expected.trace["duality_gap"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.rest])
def test_an_equilibrium_is_not_left(name):
    table, equilibrium = interior_table()
    rest = SOLVERS[name].rest
    for beta in {"original": [0.0], "regularised": [0.1], "any": [0.1]}[rest]:
        game = nashpo.Game.from_table(table, beta=beta, reference=equilibrium)
        result = run(game, name, start=equilibrium)
        np.testing.assert_allclose(result.policy.probs()[0], equilibrium, atol=1e-12)
        np.testing.assert_allclose(result.last.probs()[0], equilibrium, atol=1e-12)


@every_solver
def test_single_precision_agrees_to_its_precision(name):
    for key in ("random", "original"):
        game = GAMES[key]()
        small = nashpo.Game.from_table(
            np.asarray(game.oracle.table(), np.float32), beta=game.beta, reference=game.reference.probs()[0]
        )
        with jax.numpy_dtype_promotion("strict"):
            single = run(small, name)
        assert single.policy.log_probs().dtype == np.float32
        assert single.trace["duality_gap"].dtype == np.float32
        np.testing.assert_allclose(single.policy.probs(), run(game, name).policy.probs(), atol=2e-5)


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.certain])
def test_padding_is_exact(name):
    small = nashpo.Game.from_table(random_table(0), beta=0.1, reference=REFERENCE)
    large = nashpo.Game.from_table(random_table(8, size=7), beta=0.1)
    together = run(nashpo.stack([small, large]), name)
    np.testing.assert_array_equal(together.policy.probs()[0, 5:], 0.0)
    for index, game in enumerate((small, large)):
        alone = run(game, name)
        size = game.shape[1]
        np.testing.assert_allclose(
            together.policy.probs()[index, :size], alone.policy.probs()[0], rtol=1e-10, atol=1e-14
        )
    gaps = [run(game, name).trace["duality_gap"] for game in (small, large)]
    np.testing.assert_allclose(together.trace["duality_gap"], np.mean(gaps, axis=0), rtol=1e-9, atol=1e-15)


@every_solver
def test_driving_in_segments_gives_the_same_bits(name):
    game = GAMES["random"]()
    whole = run(game, name)
    parts = nashpo.drive(game, SOLVERS[name].make(0.3), steps=STEPS, every=EVERY, segment=1)
    np.testing.assert_array_equal(whole.policy.log_probs(), parts.policy.log_probs())
    for metric, values in whole.trace.items():
        np.testing.assert_array_equal(values, parts.trace[metric])


@every_solver
def test_every_only_thins_the_trace(name):
    game = GAMES["random"]()
    solver = SOLVERS[name].make(0.3)
    fine = nashpo.solve(game, solver, steps=STEPS, every=1)
    coarse = run(game, name)
    np.testing.assert_allclose(fine.policy.probs(), coarse.policy.probs(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(fine.trace["duality_gap"][3::4], coarse.trace["duality_gap"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.has_eta])
def test_step_sizes_can_be_batched(name):
    game = jax.tree.map(jnp.asarray, GAMES["random"]())

    def final(eta):
        solver = as_solver(SOLVERS[name].make(eta))
        state = solver.init(game, game.reference)
        for step in range(3):
            state, _ = solver.step(game, state, jax.random.key(step))
        return solver.policy(state).log_probs()

    etas = jnp.array([0.1, 0.4])
    batched = jax.jit(jax.vmap(final))(etas)
    for eta, found in zip(etas, batched, strict=True):
        np.testing.assert_allclose(found, jax.jit(final)(eta), rtol=1e-9, atol=1e-12)


@every_solver
def test_a_state_keeps_its_structure(name):
    game = jax.tree.map(jnp.asarray, GAMES["random"]())
    solver = as_solver(SOLVERS[name].make(0.3))
    state = solver.init(game, game.reference)
    after, _ = jax.eval_shape(lambda state: solver.step(game, state, jax.random.key(0)), state)
    before = jax.eval_shape(lambda: state)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(before)]


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if not case.certain])
def test_infinite_log_odds_are_refused(name):
    with pytest.raises(ValueError, match=r"0|1"):
        run(GAMES["certain"](), name)


@pytest.mark.parametrize("name", [name for name, case in SOLVERS.items() if case.has_eta])
@pytest.mark.parametrize("eta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_size_must_be_positive_and_finite(name, eta):
    with warnings.catch_warnings(), pytest.raises(ValueError, match="eta must be a positive finite number"):
        warnings.simplefilter("ignore")
        run(GAMES["random"](), name, eta=eta)

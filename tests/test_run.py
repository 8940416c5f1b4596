"""solve and drive: stopping, measuring, refusing, failing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import GAMES, interior_table, random_table

import nashpo
from nashpo import compiling, metrics
from nashpo.learners import Regression
from nashpo.mirror import Mirror
from nashpo.players import PairwiseGame
from nashpo.run import _run
from nashpo.solvers import DNO, EGPO, INPO, MNPO, MPO, SPO


def game():
    return GAMES["random"]()


def test_a_run_stops_at_the_first_measurement_within_tolerance():
    full = nashpo.solve(game(), EGPO(1.0), steps=64)
    stopped = nashpo.solve(game(), EGPO(1.0), steps=64, tol=1e-5)
    hit = int(np.argmax(full.trace["duality_gap"] <= 1e-5))
    assert stopped.status is nashpo.Status.CONVERGED
    assert stopped.steps == full.trace["step"][hit]
    np.testing.assert_allclose(stopped.trace["duality_gap"], full.trace["duality_gap"][: hit + 1], rtol=1e-9)
    assert nashpo.duality_gap(game(), stopped.policy) <= 1e-5


def test_any_gap_is_within_an_infinite_tolerance():
    for run in (nashpo.solve, nashpo.drive):
        assert run(game(), EGPO(1.0), steps=64, tol=np.inf).steps <= 1
    assert nashpo.sweep(game(), EGPO(1.0), steps=64, tol=np.inf).data["steps"].max() <= 1


PROGRAMS = {
    "jit": lambda run: jax.jit(run)(0.5),
    "jit of a vmap": lambda run: jax.jit(jax.vmap(run))(jnp.array([0.5, 1.0]))[0],
    "vmap": lambda run: jax.vmap(run)(jnp.array([0.5, 1.0]))[0],
    "jvp": lambda run: jax.jvp(run, (0.5,), (1.0,))[0],
    "scan": lambda run: jax.lax.scan(lambda carry, eta: (carry, run(eta)), 0, jnp.array([0.5]))[1][0],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_may_be_part_of_a_program(name):
    def run(eta):
        return nashpo.solve(game(), EGPO(eta), steps=10).policy.probs()

    np.testing.assert_allclose(run(0.5), PROGRAMS[name](run), rtol=1e-12)


def test_a_compiler_is_asked_what_it_knows_inside_a_program_too(monkeypatch):
    asked = compiling._accepted.__wrapped__
    found = []
    jax.eval_shape(lambda: found.append(asked()))
    monkeypatch.setattr(compiling, "_OPTIONS", {"xla_cpu_no_such_option": True})
    jax.eval_shape(lambda: found.append(asked()))
    assert found == [{"xla_cpu_use_fusion_emitters": False}, None]


def test_a_tolerance_that_is_not_reached_is_said():
    result = nashpo.solve(game(), EGPO(1.0), steps=3, tol=1e-12)
    assert result.status is nashpo.Status.NOT_CONVERGED
    with pytest.raises(nashpo.SolveError, match=r"EGPO\(eta=1.0\): the duality gap is .* after 3 steps, above tol"):
        result.check()


def test_a_rule_that_ignores_the_penalty_says_so_when_it_misses_the_tolerance():
    with pytest.raises(nashpo.SolveError, match=r"solves the game without KL penalty and this one has beta = 0\.1"):
        nashpo.solve(game(), SPO(0.1), steps=3, tol=1e-12).check()


def test_a_start_within_tolerance_is_measured_and_returned():
    table, equilibrium = interior_table()
    start = nashpo.Game.from_table(table, beta=0.1, reference=equilibrium)
    result = nashpo.solve(start, EGPO(1.0), steps=64, tol=1e-9)
    assert result.trace["step"].tolist() == [0]
    assert result.status is nashpo.Status.CONVERGED
    np.testing.assert_allclose(result.policy.probs()[0], equilibrium, rtol=1e-12)


def test_steps_that_every_does_not_divide_are_all_taken():
    result = nashpo.solve(game(), EGPO(1.0), steps=10, every=4)
    assert result.trace["step"].tolist() == [4, 8, 10]
    fine = nashpo.solve(game(), EGPO(1.0), steps=10)
    np.testing.assert_allclose(result.policy.probs(), fine.policy.probs(), rtol=1e-12)


def test_no_steps_return_the_start():
    result = nashpo.solve(game(), EGPO(1.0), steps=0, start=[0.2] * 5)
    assert result.trace["step"].tolist() == [0]
    np.testing.assert_allclose(result.policy.probs(), [[0.2] * 5], rtol=1e-12)


def test_a_run_can_be_continued_from_where_it_ended():
    whole = nashpo.solve(game(), EGPO(1.0), steps=20)
    half = nashpo.solve(game(), EGPO(1.0), steps=10)
    rest = nashpo.solve(game(), EGPO(1.0), steps=10, start=half.policy)
    np.testing.assert_allclose(rest.policy.probs(), whole.policy.probs(), rtol=1e-12)


def test_metrics_are_recorded_of_the_answer_or_of_the_last_iterate():
    result = nashpo.solve(
        game(), SPO(0.5), steps=4, metrics=[metrics.entropy, metrics.probs, metrics.Last(nashpo.duality_gap)]
    )
    assert set(result.trace) == {"step", "duality_gap", "entropy", "probs", "last_duality_gap"}
    assert result.trace["probs"].shape == (4, 1, 5)
    np.testing.assert_allclose(result.trace["probs"][-1], result.policy.probs(), rtol=1e-12)
    np.testing.assert_allclose(result.trace["entropy"][-1], metrics.entropy(game(), result.policy), rtol=1e-12)
    np.testing.assert_allclose(result.trace["last_duality_gap"][-1], nashpo.duality_gap(game(), result.last), rtol=1e-9)


def test_a_metric_that_holds_numbers_does_not_compile_again():
    def run(target):
        named = {"distance": metrics.KLFrom(nashpo.policies.Tabular.from_probs(target))}
        return nashpo.solve(game(), EGPO(1.0), steps=4, metrics=named)

    run([0.2] * 5)
    before = _run.program._cache_size()
    result = run([0.1, 0.1, 0.2, 0.3, 0.3])
    assert _run.program._cache_size() == before
    assert result.trace["distance"].shape == (4,)


def test_numbers_of_steps_within_a_power_of_two_share_a_program():
    nashpo.solve(game(), EGPO(1.0), steps=60)
    before = _run.program._cache_size()
    assert nashpo.solve(game(), EGPO(1.0), steps=40).trace["step"][-1] == 40
    assert _run.program._cache_size() == before


def test_a_schedule_is_a_step_size():
    def schedule(beta, step):
        return 0.3 / (step + 1.0)

    first = nashpo.solve(game(), INPO(schedule), steps=1)
    np.testing.assert_allclose(first.policy.probs(), nashpo.solve(game(), INPO(0.3), steps=1).policy.probs())
    two = nashpo.solve(game(), INPO(schedule), steps=2)
    expected = nashpo.solve(game(), INPO(0.15), steps=1, start=first.policy)
    np.testing.assert_allclose(two.policy.probs(), expected.policy.probs(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")
@pytest.mark.parametrize("every", [1, 4])
def test_a_run_that_overflows_names_the_step_and_keeps_the_state_before(every):
    result = nashpo.solve(game(), EGPO(1e307), steps=16, every=every)
    assert result.status is nashpo.Status.NONFINITE
    assert np.all(np.isfinite(result.policy.probs()))
    with pytest.raises(nashpo.SolveError, match=r"step \d+ produced a number that is not finite.*smaller eta"):
        result.check()


def test_a_step_above_the_proven_limit_is_warned_of_with_the_limit():
    with pytest.warns(nashpo.StepSizeWarning, match=r"EGPO\(eta=5\).*up to eta = 1.66667 at beta = 0.1"):
        nashpo.solve(game(), EGPO(5.0), steps=1)


def test_the_limit_follows_the_scale_of_scores():
    table = 8 * (random_table(0) - 0.5)
    scores = nashpo.Game.from_table(table, beta=0.1, scale="score")
    limit = 1 / (0.1 + np.abs(table).max())
    nashpo.solve(scores, EGPO(0.999 * limit), steps=1)
    with pytest.warns(nashpo.StepSizeWarning):
        nashpo.solve(scores, EGPO(1.01 * limit), steps=1)


@pytest.mark.parametrize("rule", [INPO(1.0), DNO(1.0, regularization="current"), MNPO(1.0), MPO(1.0, every=2)])
def test_the_limit_of_scores_whose_square_is_no_number_is_zero(rule):
    assert rule.proven_step(0.1, 1e200) == 0
    assert rule.proven_step(0.1, 1e-200) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps=-1: must be a whole number"),
        ({"steps": 1.5}, "steps=1.5: must be a whole number"),
        ({"steps": 4, "every": 0}, "every=0: must be a whole number, at least 1"),
        ({"steps": 4, "tol": -1.0}, "tol=-1.0"),
        ({"steps": 4, "tol": float("nan")}, "tol=nan"),
        ({"steps": 4, "start": [0.5, 0.5]}, r"start has shape \(1, 2\), the game .* \(1, 5\)"),
        ({"steps": 4, "start": [1.0, 1.0, 0, 0, 0]}, "sum to one"),
        ({"steps": 4, "metrics": {"step": nashpo.duality_gap}}, "step"),
        ({"steps": 4, "metrics": ["entropy"]}, "must be a function"),
        ({"steps": 4, "metrics": metrics.entropy}, "give a list of functions"),
        ({"steps": 4, "metrics": 3}, "metrics=3: give a list of functions"),
        (
            {"steps": 4, "metrics": {"both": lambda g, p: {"a": 1.0}}},
            "'both' returns a dict: a metric is a number or an",
        ),
        ({"steps": 4, "metrics": {"none": lambda g, p: None}}, "'none' returns a NoneType: a metric is a number or an"),
        ({"steps": 4, "metrics": {"word": lambda g, p: "high"}}, "'word' returns a str: a metric is a number or an"),
        (
            {"steps": 4, "metrics": {"turn": lambda g, p: 1j}},
            r"'turn' returns a complex\d+: .* array of numbers, real ones",
        ),
        (
            {"steps": 4, "metrics": {"key": lambda g, p: jax.random.key(0)}},
            "'key' returns a key<fry>: a metric is",
        ),
        ({"steps": 4, "key": -1}, r"key=-1: a whole number is a seed from 0"),
        ({"steps": 4, "key": 1.5}, r"key=1.5: give a whole number"),
        ({"steps": 4, "key": "a"}, r"key='a': give a whole number"),
        ({"steps": 2**40}, r"steps=1099511627776: must be a whole number, from 0 to 1073741824"),
        ({"steps": 4, "tol": "x"}, r"tol='x'"),
        ({"steps": 4, "tol": [0.1, 0.2]}, r"tol=\[0.1, 0.2\]"),
        ({"steps": 4, "start": "x"}, r"a policy must be a full array of real numbers"),
        ({"steps": 4, "metrics": {"win/rate": metrics.entropy}}, r"'win/rate' is no name"),
        ({"steps": 4, "metrics": {"": metrics.entropy}}, r"'' is no name"),
        ({"steps": 4, "metrics": [lambda g, p: 1.0, lambda g, p: 2.0]}, r"'<lambda>' must be .* under a free name"),
    ],
)
def test_settings_that_cannot_be_run_are_refused_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        nashpo.solve(game(), EGPO(1.0), **options)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_several_betas_are_no_betas_of_single_responses(count):
    several = nashpo.Game.from_table(np.full((5, 5), 0.5), beta=np.linspace(0.1, 0.5, count))
    asked = [
        lambda: nashpo.solve(several, EGPO(0.3), steps=2),
        lambda: nashpo.drive(several, EGPO(0.3), steps=2),
        lambda: nashpo.duality_gap(several, several.reference),
        lambda: nashpo.best_response(several, several.reference),
        lambda: nashpo.stack([several, several]),
        lambda: PairwiseGame.among(several, players=2),
    ]
    for ask in asked:
        with pytest.raises(ValueError, match=r"takes one beta, not beta=\[0\.1.*\]; nashpo\.sweep runs"):
            ask()
    assert nashpo.sweep(several, EGPO(0.3), steps=2).data.sizes["beta"] == count


def test_a_run_starts_from_a_result_an_equilibrium_or_one_row_for_every_prompt():
    two = nashpo.Game.from_table(np.stack([random_table(0), random_table(1)]), beta=0.1)
    row = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    everywhere = nashpo.solve(two, EGPO(1.0), steps=4, start=row)
    np.testing.assert_array_equal(
        everywhere.policy.probs(), nashpo.solve(two, EGPO(1.0), steps=4, start=np.stack([row, row])).policy.probs()
    )
    further = nashpo.solve(two, EGPO(1.0), steps=4, start=everywhere)
    np.testing.assert_allclose(
        further.policy.probs(), nashpo.solve(two, EGPO(1.0), steps=8, start=row).policy.probs(), rtol=1e-12
    )
    assert nashpo.solve(two, EGPO(1.0), steps=4, start=nashpo.equilibrium(two), tol=1e-12).steps == 0
    assert nashpo.duality_gap(two, everywhere) == nashpo.duality_gap(two, everywhere.policy)
    assert nashpo.duality_gap(two, nashpo.equilibrium(two)) < 1e-15


def test_a_key_of_the_old_kind_and_no_metrics_run():
    old, new = (nashpo.solve(game(), EGPO(1.0), steps=2, key=make(3)) for make in (jax.random.PRNGKey, jax.random.key))
    np.testing.assert_array_equal(old.policy.probs(), new.policy.probs())
    for seed in (np.int64(3), np.uint32(3), jnp.asarray(3)):
        assert nashpo.solve(game(), EGPO(1.0), steps=2, key=seed).steps == 2
    assert set(nashpo.solve(game(), EGPO(1.0), steps=2, metrics=None).trace) == {"step", "duality_gap"}


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (EGPO, "EGPO is a class"),
        ("egpo", "neither an update rule"),
        (EGPO("a"), r"EGPO\(eta=a\): eta must be"),
        (EGPO(None), r"EGPO\(eta=None\): eta must be"),
        (EGPO([0.1, 0.2]), r"nashpo.sweep runs several"),
    ],
)
def test_what_is_no_solver_is_refused(solver, message):
    with pytest.raises(ValueError, match=message):
        nashpo.solve(game(), solver, steps=1)


def test_driving_calls_back_and_stops_at_the_tolerance():
    seen = []
    result = nashpo.drive(game(), EGPO(1.0), steps=64, tol=1e-5, segment=8, callbacks=lambda r: seen.append(r.steps))
    expected = nashpo.solve(game(), EGPO(1.0), steps=64, tol=1e-5)
    assert seen[0] == 8
    assert seen[-1] == result.steps == expected.steps
    np.testing.assert_array_equal(result.trace["duality_gap"], expected.trace["duality_gap"])
    assert result.status is nashpo.Status.CONVERGED


@pytest.mark.parametrize("thing", [np.full((2, 2), 0.5), "pokemon_types", None], ids=["table", "name", "nothing"])
def test_what_is_no_game(thing):
    for ask in (
        lambda: nashpo.solve(thing, EGPO(0.5), steps=3),
        lambda: nashpo.drive(thing, EGPO(0.5), steps=3),
        lambda: nashpo.equilibrium(thing),
        lambda: nashpo.equilibrium_path(thing, [0.1]),
        lambda: nashpo.duality_gap(thing, [0.5, 0.5]),
        lambda: nashpo.best_response(thing, [0.5, 0.5]),
    ):
        with pytest.raises(ValueError, match=r"takes a Game, not a .*: make one with Game\.from_table\(P\)"):
            ask()


def test_another_measure_under_the_name_of_the_gap():
    game = nashpo.Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    with pytest.raises(ValueError, match="the duality gap is always measured under the name 'duality_gap'"):
        nashpo.solve(game, EGPO(0.5), steps=3, metrics={"duality_gap": nashpo.exploitability})
    trace = nashpo.solve(game, EGPO(0.5), steps=3, metrics=[nashpo.duality_gap]).trace
    assert set(trace) == {"step", "duality_gap"}


def test_what_a_step_says_of_itself_is_no_name_for_a_metric():
    with pytest.raises(ValueError, match="'now_loss' is measured, and a step of the solver says something of that"):
        nashpo.solve(game(), EGPO(0.5), learner=Regression(0.1), steps=3, metrics={"now_loss": nashpo.exploitability})


@pytest.mark.parametrize("name", ["step", "duality_gap"])
def test_a_step_cannot_say_what_is_measured(name):
    class Boasting(Mirror):
        def step(self, game, state, key):
            state, info = super().step(game, state, key)
            return state, info | {name: jnp.zeros(())}

    with pytest.raises(ValueError, match=f"'{name}' is measured"):
        nashpo.solve(game(), jax.tree_util.register_static(Boasting)(EGPO(0.5)), steps=3)

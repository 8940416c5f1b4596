"""Runs of networks: one program for many numbers, the same bits after an interruption, the same numbers on devices."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import random_table
from flax import nnx
from test_drive import bits, breaking_off, same

import nashpo
from nashpo.fingerprint import fingerprint
from nashpo.learners import Fresh, Regression, Replay, Sampled
from nashpo.oracles import Judge, Sequences
from nashpo.policies import Answers, Mixture, Neural, Tabular, Token
from nashpo.run import _run
from nashpo.solvers import EGPO, INPO, Averaged
from nashpo.sweeps.program import run_blocks

X, A = 2, 4
ANSWERS = Answers(vocabulary=2, length=2)
pytestmark = pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")


def game(seed=0, beta=0.2, **options):
    return nashpo.Game.from_table(np.stack([random_table(seed + x, A) for x in range(X)]), beta, **options)


class Careful(nnx.Module):
    """A linear network with a dropout layer, which holds random keys; out of training it does nothing."""

    def __init__(self, seed):
        rngs = nnx.Rngs(seed, dropout=7)
        self.out = nnx.Linear(X, A, rngs=rngs, param_dtype=jnp.float64)
        self.drop = nnx.Dropout(0.5, rngs=rngs, deterministic=True)

    def __call__(self, contexts):
        return self.drop(self.out(contexts))


def network(seed=0):
    return Neural.from_module(nnx.Linear(X, A, rngs=nnx.Rngs(seed), param_dtype=jnp.float64), np.eye(X))


class Bigram(nnx.Module):
    """Next-token logits from the context and the token before."""

    def __init__(self, seed):
        rngs = nnx.Rngs(seed)
        self.context = nnx.Linear(X, 2, rngs=rngs, param_dtype=jnp.float64)
        self.token = nnx.Embed(3, 2, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, contexts, tokens):
        before = jnp.pad(tokens[:, :-1] + 1, ((0, 0), (1, 0)))
        return self.context(contexts)[:, None] + self.token(before)


def token(seed=0):
    return Token.from_module(Bigram(seed), np.eye(X), ANSWERS)


def token_game():
    return nashpo.Game.from_oracle(Sequences(game().oracle, ANSWERS), 0.2)


# One program


LEARNERS = {
    "enumerated": lambda rate: Regression(rate, optimizer=optax.adam),
    "sampled": lambda rate: Sampled(rate, gains=Fresh(2)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_rates_step_sizes_and_seeds_are_one_program_and_each_lane_a_run(name):
    rates, etas, starts = [0.02, 0.1], [0.5, 1.0], [network(0), network(1)]
    before = run_blocks.program._cache_size()
    found = nashpo.sweep(
        game(), EGPO(eta=etas), learner=LEARNERS[name](rates), seeds=[3, 8], starts=starts, steps=6, every=3
    )
    assert run_blocks.program._cache_size() == before + 1
    assert found.data["final_gap"].sizes == {"solver": 1, "game": 1, "beta": 1, "eta": 2, "learning_rate": 2, "seed": 2}
    policies = []
    for rate in rates:
        for eta in etas:
            for seed, start in zip((3, 8), starts, strict=True):
                run = nashpo.solve(
                    game(), EGPO(eta), learner=LEARNERS[name](rate), start=start, key=seed, steps=6, every=3
                )
                lane = found.data.sel(eta=eta, learning_rate=rate, seed=seed).squeeze()
                np.testing.assert_allclose(lane["policy"].values, run.policy.probs(), rtol=1e-9)
                np.testing.assert_allclose(lane["duality_gap"].values, run.trace["duality_gap"], rtol=1e-6)
                policies.append(np.asarray(run.policy.probs()))
    assert len({policy.tobytes() for policy in policies}) == 8
    nashpo.sweep(
        game(5),
        EGPO(eta=[0.3, 0.4]),
        learner=LEARNERS[name]([0.3, 0.4]),
        seeds=2,
        starts=starts[::-1],
        steps=5,
        every=3,
    )
    assert run_blocks.program._cache_size() == before + 1


@pytest.mark.parametrize("name", LEARNERS)
def test_new_numbers_do_not_compile_again(name):
    def run(seed, rate, eta, beta, key, steps):
        learner = LEARNERS[name](rate)
        return nashpo.solve(
            game(seed, beta), EGPO(eta), learner=learner, start=network(seed), key=key, steps=steps
        ).check()

    run(0, 0.1, 1.0, 0.2, 0, 6)
    before = _run.program._cache_size()
    run(1, 0.02, 0.5, 0.1, 1, 7)
    run(2, np.float64(0.3), 0.1, 0.3, jax.random.key(2), 5)
    assert _run.program._cache_size() <= before + 1
    seeds = _run.program._cache_size()
    run(3, np.float64(0.2), 0.2, 0.3, jax.random.key(3), 8)
    assert _run.program._cache_size() == seeds


def test_a_network_as_reference_is_where_a_sweep_begins_too():
    own = game(reference=network(4))
    learner = Regression(0.3)
    found = nashpo.sweep(own, EGPO(1.0), learner=learner, steps=4, every=4)
    run = nashpo.solve(own, EGPO(1.0), learner=learner, steps=4, every=4)
    np.testing.assert_allclose(found.data["policy"].squeeze().values, run.policy.probs(), rtol=1e-9)
    exact = nashpo.sweep(own, EGPO(1.0), steps=4, every=4).data["policy"].squeeze().values
    np.testing.assert_allclose(exact, nashpo.solve(own, EGPO(1.0), steps=4, every=4).policy.probs(), rtol=1e-9)
    with pytest.raises(ValueError, match="the references of several games are not all tables: give `starts`"):
        nashpo.sweep([own, game()], EGPO(1.0), learner=learner, steps=1)


def test_starts_of_a_sweep_must_fit():
    learner = Regression(0.1)
    wide = Neural.from_module(nnx.Linear(X, A + 1, rngs=nnx.Rngs(0)), np.eye(X, dtype=np.float32))
    with pytest.raises(ValueError, match=r"start has shape \(2, 5\), the game \[prompts, responses\] = \(2, 4\)"):
        nashpo.sweep(game(), EGPO(1.0), learner=learner, starts=wide, steps=1)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), network())
    with pytest.raises(ValueError, match="one architecture, shapes and precisions included"):
        nashpo.sweep(game(), EGPO(1.0), learner=learner, starts=[network(), single], seeds=2, steps=1)
    with pytest.raises(ValueError, match="all policies must have one architecture"):
        careful = Neural.from_module(Careful(0), np.eye(X))
        nashpo.sweep(game(), EGPO(1.0), learner=learner, starts=[network(), careful], seeds=2, steps=1)
    with pytest.raises(ValueError, match="starts holds 1 policies: give one, or one for each of the 2 seeds"):
        nashpo.sweep(game(), EGPO(1.0), learner=learner, starts=[network()], seeds=2, steps=1)
    with pytest.raises(ValueError, match="start answers 2 prompts, the game has 1"):
        nashpo.solve(nashpo.Game.from_table(random_table(0, A)), EGPO(1.0), learner=learner, start=network(), steps=1)


def test_networks_that_hold_random_keys_run_sweep_and_resume(tmp_path):
    start = Neural.from_module(Careful(0), np.eye(X))
    assert any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(start.rest))
    settings = {"learner": Regression(0.3), "steps": 4, "every": 2}
    run = nashpo.solve(game(), EGPO(1.0), start=start, **settings).check()
    found = nashpo.sweep(game(), EGPO(1.0), starts=start, seeds=2, **settings)
    np.testing.assert_allclose(found.data["policy"].isel(seed=1).squeeze().values, run.policy.probs(), rtol=1e-9)
    with pytest.raises(KeyboardInterrupt):
        nashpo.drive(
            game(), EGPO(1.0), start=start, segment=1, checkpoints=tmp_path, callbacks=breaking_off(2), **settings
        )
    same(nashpo.drive(game(), EGPO(1.0), start=start, segment=1, checkpoints=tmp_path, **settings), run)


# The same bits


def goal(prompts, left, right):
    return jax.nn.sigmoid(left - right + 0.0 * prompts[:, None])


RUNS = {
    "network, Adam": (game, Regression(0.05, optimizer=optax.adam, updates=2), network),
    "network, samples, a schedule": (game, Sampled(optax.linear_schedule(0.1, 0.0, 20), prompts=6), network),
    "tokens, Adam": (token_game, Sampled(0.05, gains=Fresh(2), updates=2), token),
    "tokens, earlier iterations": (token_game, Sampled(0.05, replay=Replay((0.5,))), token),
}


SLOW = [pytest.param(name, marks=[pytest.mark.slow] * (name.endswith("iterations"))) for name in RUNS]


@pytest.mark.parametrize("name", SLOW)
def test_an_interrupted_run_ends_with_the_same_bits(name, tmp_path):
    make, learner, start = RUNS[name]
    at = 2 + len(name) % 4
    settings = {"learner": learner, "start": start(), "key": 11, "steps": 7, "every": 1}
    expected = nashpo.solve(make(), EGPO(0.5), **settings)
    with pytest.raises(KeyboardInterrupt, match=f"step {at} of 7 is saved"):
        nashpo.drive(make(), EGPO(0.5), **settings, segment=1, checkpoints=tmp_path, callbacks=breaking_off(at))
    found = nashpo.drive(make(), EGPO(0.5), **settings, segment=1, checkpoints=tmp_path)
    same(found, expected)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="belongs to another run, which differs in"):
        nashpo.drive(make(), EGPO(0.5), **{**settings, "start": start(1)}, segment=1, checkpoints=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_average_that_nobody_can_list_resumes_too(tmp_path):
    from test_learners_sampled import Gaussian

    reference = Gaussian(jnp.zeros(2))
    judged = nashpo.Game.from_oracle(Judge(goal), 0.1, reference=reference, prompts=[1.0, 1.0])
    settings = {"learner": Sampled(0.05, pool=4), "key": 1, "steps": 7, "every": 2}
    expected = nashpo.solve(judged, Averaged(INPO(0.5)), **settings)
    with pytest.raises(KeyboardInterrupt):
        nashpo.drive(
            judged, Averaged(INPO(0.5)), **settings, segment=1, checkpoints=tmp_path, callbacks=breaking_off(4)
        )
    found = nashpo.drive(judged, Averaged(INPO(0.5)), **settings, segment=1, checkpoints=tmp_path)
    assert isinstance(found.policy, Mixture)
    for one, other in zip(jax.tree.leaves(found.state), jax.tree.leaves(expected.state), strict=True):
        assert bits(one) == bits(other)


def test_answers_too_many_to_list_are_averaged_as_a_mixture():
    many = Token.from_module(Bigram(0), np.eye(X), Answers(vocabulary=2, length=24))
    learner = Sampled(0.1, pool=3)
    average = learner.mean(many, jnp.zeros(()))
    assert isinstance(average, Mixture) and len(average.weights) == 3
    assert isinstance(learner.average(average, many, jnp.zeros((), jnp.int32)), Mixture)
    assert isinstance(learner.mean(token(), jnp.zeros(())), Tabular)


def test_results_of_networks_are_saved_as_tables(tmp_path):
    for own, learner, start in ((game(), Regression(0.1), network()), (token_game(), Sampled(0.1), token())):
        found = nashpo.solve(own, INPO(0.5), learner=learner, start=start, steps=4, every=2)
        again = nashpo.Result.load(found.save(tmp_path / "run.nc"))
        np.testing.assert_allclose(again.policy.log_probs(), found.policy.log_probs(), atol=1e-14)
        np.testing.assert_array_equal(again.trace["now_loss"], found.trace["now_loss"])
        assert found.to_xarray()["log_start"].shape == (X, A) and repr(again).startswith("Result(INPO(eta=0.5)")


# The same numbers on eight devices


EIGHT = """
import sys, jax, numpy as np, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
sys.path.insert(0, {tests!r})
import nashpo
from jax.sharding import AxisType
from test_learners_runs import game, network, token, token_game
from nashpo.learners import Fresh, Sampled
from nashpo.solvers import EGPO
assert jax.local_device_count() == 8
worst = 0.0
for make, start in ((game, network), (token_game, token)):
    runs = []
    for mesh in (None, jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,)), jax.make_mesh((8,), ("batch",))):
        learner = Sampled(0.05, gains=Fresh(2), prompts=16, updates=2, mesh=mesh)
        runs.append(nashpo.solve(make(), EGPO(0.5), learner=learner, start=start(), key=1, steps=5).check())
    for run in runs[1:]:
        worst = max(worst, float(jnp.abs(run.policy.log_probs() - runs[0].policy.log_probs()).max()))
mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
from nashpo.stage import Stage, against
learner, start = Sampled(0.05, prompts=16, mesh=mesh), network()
slots, stage, own = dict(now=start, reference=start), Stage(dict(now=1.0), against("now"), 1.0), game()
collected = jax.jit(lambda key: learner.collect(key, start, slots, stage, jax.tree.map(jnp.asarray, own)))
spread = collected(jax.random.key(0)).anchor.sharding
assert len(spread.device_set) == 8 and not spread.is_fully_replicated, spread
from nashpo.fingerprint import fingerprint
assert fingerprint(learner) == fingerprint(Sampled(0.05, prompts=16))
print("equal" if worst < 1e-12 else worst)
"""


@pytest.mark.slow
def test_eight_devices_give_the_numbers_of_one():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = os.environ | {"XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    program = EIGHT.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stdout + done.stderr[-3000:]


def test_a_run_may_go_on_with_other_devices():
    """Two learners of one fingerprint share their checkpoints."""
    assert fingerprint(Sampled(0.05, mesh=jax.make_mesh((1,), ("batch",)))) == fingerprint(Sampled(0.05))


def test_a_mesh_that_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match=r"Sampled\(mesh=.*\): the prompts are spread along one axis, this mesh has 2"):
        Sampled(0.05, mesh=jax.make_mesh((1, 1), ("batch", "model")))
    with pytest.raises(ValueError, match=r"Sampled\(mesh=int\): give a jax.sharding.Mesh of one axis"):
        Sampled(0.05, mesh=8)

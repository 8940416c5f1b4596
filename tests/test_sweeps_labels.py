"""The labels of a sweep: numbers as one writes them, and one name for one thing."""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import random_table

import nashpo
from nashpo.solvers import EGPO, INPO
from nashpo.studies.joined import join
from nashpo.studies.settings import Settings
from nashpo.sweeps.settings import decimals, grid

TABLE = random_table(1, 3)
GAME = nashpo.Game.from_table(TABLE, beta=0.1)
SINGLE = np.array([0.1, 0.31622776, 1.0], np.float32)


def test_labels_of_single_precision_are_the_decimals_that_one_writes():
    found = nashpo.sweep(
        GAME, [EGPO(jnp.asarray(SINGLE)), INPO(np.float32(0.1))], steps=2, betas=np.array([0.1, 0.3], np.float32)
    )
    assert found.data["eta"].values.tolist() == [0.1, 0.31622776, 1.0]
    assert found.data["beta"].values.tolist() == [0.1, 0.3]
    assert (found.data["status"].sel(eta=0.1, beta=0.3) == 0).all()


def test_the_numbers_that_run_are_those_given():
    rule, betas = EGPO(jnp.asarray(SINGLE)), np.array([0.1, 0.3], np.float32)
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        found = grid(rule, betas, np.arange(1), dtype)
        assert found.solver.eta.tobytes() == np.tile(SINGLE, 2).astype(dtype).tobytes()
        assert found.beta is not None and found.beta.tobytes() == np.repeat(betas, 3).astype(dtype).tobytes()
    one = nashpo.sweep(GAME, rule, steps=5, betas=betas).data
    double = nashpo.sweep(GAME, EGPO(SINGLE.astype(float)), steps=5, betas=betas.astype(float)).data
    assert one["policy"].values.tobytes() == double["policy"].values.tobytes()


def test_games_of_one_beta_in_two_precisions_have_it_on_the_axis():
    games = {"double": GAME, "single": nashpo.Game.from_table(TABLE, beta=jnp.float32(0.1))}
    data = nashpo.sweep(games, EGPO(0.2), steps=2).data
    assert data["beta"].values.tolist() == [0.1] and data["own_beta"].values.tolist() == [0.1, 0.1]
    cell = data.isel(solver=0, game=0, drop=True).drop_vars(["responses", "prompts", "own_beta"])
    cells = {("EGPO", name): cell.assign_attrs(solver="EGPO(eta=0.2)", scale="probability") for name in games}
    joined = join(cells, ["EGPO"], games, Settings(steps=2, every=1)).data
    assert joined["beta"].values.tolist() == [0.1] and joined["own_beta"].values.tolist() == [0.1, 0.1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_label_rounds_to_its_number(dtype):
    values = np.geomspace(1e-3, 1e3, 37).astype(dtype)
    labels = decimals(values)
    assert labels.dtype == np.float64 and np.array_equal(labels.astype(dtype), values)
    assert decimals(np.asarray(0.1, dtype)).item() == 0.1

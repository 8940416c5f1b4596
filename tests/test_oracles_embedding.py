"""General preference: the sign, the special case, what it can represent, and size."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import nashpo
from nashpo.metrics import payoff_bound
from nashpo.oracles import BradleyTerry, GeneralPreference, blocks
from nashpo.oracles.base import logistic


def _skew(rng, size, rank=None):
    rank = size if rank is None else rank
    left, right = rng.standard_normal((2, size, rank))
    return left @ right.T - right @ left.T


def test_the_sign_is_that_of_definition_4_3_and_not_of_section_4_2():
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    R = np.array([[0.0, -1.0], [1.0, 0.0]])
    table = GeneralPreference(np.stack([first, second])[None]).table()[0]
    assert table[0, 1] == (R @ first) @ second == 1.0
    assert table[0, 1] == -(first @ R @ second)


def test_the_sign_is_that_of_complex_numbers():
    v = np.random.default_rng(0).standard_normal((1, 6, 2))
    z = v[0, :, 0] + 1j * v[0, :, 1]
    np.testing.assert_allclose(GeneralPreference(v).table()[0], np.imag(np.conj(z)[:, None] * z[None]), atol=1e-15)


def test_one_block_with_a_constant_is_bradley_terry(rng):
    rewards = rng.standard_normal((2, 5))
    for scale in ("score", "probability"):
        model, special = BradleyTerry(rewards, scale), GeneralPreference.from_rewards(rewards, scale)
        np.testing.assert_allclose(special.table(), model.table(), atol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_every_score_table_is_embedded_in_its_rank(rng, size):
    S = _skew(rng, size)
    model = GeneralPreference.from_score_table(S, temperature=0.3)
    assert model.embeddings.shape[-1] == max(2, np.linalg.matrix_rank(S))
    np.testing.assert_allclose(model.table()[0], S, atol=1e-13)


def test_repeated_eigenvalues_and_zero_tables_are_embedded():
    twice = np.kron(np.eye(3), [[0.0, 2.0], [-2.0, 0.0]])
    np.testing.assert_allclose(GeneralPreference.from_score_table(twice).table()[0], twice, atol=1e-13)
    both = GeneralPreference.from_score_table(np.stack([twice, np.zeros((6, 6))]))
    assert both.embeddings.shape == (2, 6, 6)
    assert not both.table()[1].any()


def test_fewer_dimensions_are_the_best_approximation(rng):
    S = _skew(rng, 8)
    error = np.linalg.norm(GeneralPreference.from_score_table(S, dimensions=4).table()[0] - S)
    assert error == pytest.approx(np.linalg.norm(np.linalg.svd(S)[1][4:]), rel=1e-10)


def test_the_probability_game_has_another_equilibrium():
    P = np.array([[0.5, 0.9, 0.4], [0.1, 0.5, 0.7], [0.6, 0.3, 0.5]])
    S = np.log(P) - np.log1p(-P)
    games = [
        nashpo.Game.from_oracle(GeneralPreference.from_score_table(S, scale)) for scale in ("score", "probability")
    ]
    np.testing.assert_allclose(games[1].oracle.table()[0], P, atol=1e-14)
    score_nash, win_nash = ([0.246, 0.118, 0.637], [0.286, 0.143, 0.571])
    score_nash = np.array(score_nash) / np.sum(score_nash)
    assert nashpo.duality_gap(games[0], score_nash) < 5e-3
    assert nashpo.duality_gap(games[1], win_nash) < 2e-3
    assert nashpo.duality_gap(games[1], score_nash) == pytest.approx(0.058, abs=2e-3)


@pytest.mark.parametrize("block", [1, 7, 64, 2**20])
def test_blocks_of_any_size_give_the_whole_table(rng, monkeypatch, block):
    monkeypatch.setattr(blocks, "BLOCK", block)
    model = GeneralPreference(rng.standard_normal((2, 11, 4)), "probability")
    rewards = BradleyTerry(rng.standard_normal((2, 11)))
    q = rng.dirichlet(np.ones(11), size=2)
    for oracle in (model, rewards):
        whole = np.einsum("xij,xj->xi", oracle.table(), q)
        np.testing.assert_allclose(oracle.win_rates(q), whole, atol=1e-15)
        np.testing.assert_allclose(jax.tree.map(jnp.asarray, oracle).win_rates(jnp.asarray(q)), whole, atol=1e-15)


def _largest_array(oracle, responses):
    """The most entries of any array in the program that computes win rates."""
    jaxpr = jax.make_jaxpr(lambda o, q: o.win_rates(q))(oracle, jnp.ones((1, responses), jnp.float32))

    def sizes(j):
        for equation in j.eqns:
            yield from (v.aval.size for v in equation.outvars if hasattr(v.aval, "size"))
            for inner in jaxprs_in_params(equation.params):
                yield from sizes(inner)

    return max(sizes(jaxpr.jaxpr))


@pytest.mark.parametrize("scale", ["score", "probability"])
def test_a_hundred_thousand_responses_never_meet_all_at_once(rng, scale):
    responses = 100_000
    model = GeneralPreference(rng.standard_normal((1, responses, 8)).astype(np.float32), scale)
    game = nashpo.Game.from_oracle(model, beta=0.1)
    largest = 8 * responses if scale == "score" else blocks.BLOCK + 8 * responses
    assert _largest_array(model, responses) <= largest
    norm = float(np.max(np.sum(model.embeddings**2, axis=-1)))
    assert payoff_bound(game) == (pytest.approx(norm) if scale == "score" else 0.5)


def test_a_hundred_thousand_responses_are_solved(rng):
    v = (rng.standard_normal((1, 100_000, 8)) / 8).astype(np.float32)
    game = nashpo.Game.from_oracle(GeneralPreference(v), beta=0.5)
    result = nashpo.solve(game, nashpo.solvers.EGPO(eta=0.5), steps=40, every=40)
    assert result.trace["duality_gap"][-1] < 1e-6


def test_the_bound_of_many_responses_is_an_upper_bound(rng, monkeypatch):
    v = rng.standard_normal((2, 30, 4))
    for scale in ("score", "probability"):
        exact = GeneralPreference(v, scale, 2.0).bound()
        with monkeypatch.context() as patch:
            patch.setattr("nashpo.oracles.embedding._EXACT_BOUND", 10)
            above = GeneralPreference(v, scale, 2.0).bound()
        assert exact <= above
        assert exact == pytest.approx(np.abs(GeneralPreference(v, scale, 2.0).table()).max() - 0.5 * (scale != "score"))


def test_a_new_temperature_does_not_compile_again(rng):
    v, q = rng.standard_normal((1, 4, 2)), np.full((1, 4), 0.25)
    rates = jax.jit(lambda oracle: oracle.win_rates(q))
    cold, warm = rates(GeneralPreference(v, temperature=1.0)), rates(GeneralPreference(v, temperature=2.0))
    assert rates._cache_size() == 1
    np.testing.assert_allclose(cold, 2 * warm)


def test_probabilities_do_not_overflow():
    model = GeneralPreference.from_rewards(np.array([0.0, 5000.0]), "probability")
    assert model.table()[0].tolist() == [[0.5, 0.0], [1.0, 0.5]]
    assert logistic(np.array(-745.0)) > 0


def test_bad_embeddings_are_refused_in_a_sentence(rng):
    with pytest.raises(ValueError, match=r"shape \(4, 2\), but must be \[prompts, responses, 2k\]"):
        nashpo.Game.from_oracle(GeneralPreference(np.ones((4, 2))))
    with pytest.raises(ValueError, match=r"shape \(1, 4, 3\)"):
        nashpo.Game.from_oracle(GeneralPreference(np.ones((1, 4, 3))))
    for scale in ("probability", "score"):
        with pytest.raises(ValueError, match=r"embeddings has shape \(4, 2\)"):
            GeneralPreference(np.ones((4, 2)), scale).win_rates(np.full((1, 4), 0.25))
        with pytest.raises(ValueError, match=r"opponent has shape \(4,\)"):
            GeneralPreference(np.ones((1, 4, 2)), scale).win_rates(np.full(4, 0.25))
    holed = rng.standard_normal((1, 4, 2))
    holed[0, 3, 1] = np.nan
    with pytest.raises(ValueError, match=r"embeddings\[0, 3, 1\] is nan \(prompt 0, response 3\)"):
        GeneralPreference(holed).check()
    for temperature in (0.0, np.ones(4), "warm"):
        with pytest.raises(ValueError, match=rf"temperature={re.escape(str(temperature))}: must be a positive finite"):
            GeneralPreference(np.ones((1, 4, 2)), temperature=temperature).check()
    for dimensions in (3, 2.0, "two"):
        with pytest.raises(ValueError, match="even number"):
            GeneralPreference.from_score_table(np.zeros((3, 3)), dimensions=dimensions)
    with pytest.raises(ValueError, match="scores must cancel"):
        GeneralPreference.from_score_table(np.ones((3, 3)))

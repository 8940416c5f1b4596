"""Sampling laws: temperature, top-k and top-p against brute force, and draws from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.lm.filters import Decoding, draw_token, next_token_law
from nashpo.logspace import LOG_ZERO


def brute_force(logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None) -> np.ndarray:
    """The law of one row in float64, token by token in the order of their probabilities."""
    logits = logits.astype(np.float64) / temperature
    kept = np.ones(len(logits), bool)
    if top_k is not None:
        kept &= logits >= np.sort(logits)[::-1][min(top_k, len(logits)) - 1]
    if top_p is not None:
        probs = np.where(kept, np.exp(logits - logits.max()), 0.0)
        probs /= probs.sum()
        mass, last = 0.0, np.inf
        for token in np.argsort(-probs, kind="stable"):
            if mass >= top_p:
                break
            mass, last = mass + probs[token], logits[token]
        kept &= logits >= last
    weights = np.where(kept, np.exp(logits - logits.max()), 0.0)
    return weights / weights.sum()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 3, 11, 50])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.95, 1.0])
def test_law_against_brute_force(rng, temperature, top_k, top_p):
    logits = rng.normal(size=(6, 11)).astype(np.float32) * np.array([[0.1, 1, 1, 3, 10, 30]], np.float32).T
    decoding = Decoding(1, temperature=temperature, top_k=top_k, top_p=top_p)
    found = np.exp(next_token_law(jnp.asarray(logits), decoding))
    expected = np.stack([brute_force(row, temperature, top_k, top_p) for row in logits])
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-9)


def test_tokens_that_are_equally_likely_are_kept_together():
    law = next_token_law(jnp.zeros(4), Decoding(1, top_k=2))
    np.testing.assert_allclose(np.exp(law), 0.25, rtol=1e-6)
    halves = next_token_law(jnp.log(jnp.array([0.4, 0.3, 0.3])), Decoding(1, top_p=0.5))
    np.testing.assert_allclose(np.exp(halves), [0.4, 0.3, 0.3], rtol=1e-6)


def test_nucleus_is_measured_after_top_k():
    logits = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1]))
    both = next_token_law(logits, Decoding(1, top_k=2, top_p=0.56))
    np.testing.assert_allclose(np.exp(both), [1, 0, 0, 0], atol=1e-6)
    alone = next_token_law(logits, Decoding(1, top_p=0.56))
    np.testing.assert_allclose(np.exp(alone), [4 / 7, 3 / 7, 0, 0], atol=1e-6)


def test_greedy_takes_the_first_of_the_likeliest():
    law = next_token_law(jnp.array([[0.0, 2.0, 2.0], [-5.0, -7.0, -6.0]]), Decoding(1, temperature=0.0))
    assert law.tolist() == [[LOG_ZERO, 0, LOG_ZERO], [0, LOG_ZERO, LOG_ZERO]]


def test_signs_and_infinities_of_logits():
    law = next_token_law(jnp.array([-jnp.inf, -1.0, -2.0, 0.0, 1.0]), Decoding(1, top_k=3))
    assert (law > LOG_ZERO).tolist() == [False, True, False, True, True]
    law = next_token_law(jnp.array([-jnp.inf, -3.0, -jnp.inf]), Decoding(1, top_p=0.9))
    assert law.tolist() == [LOG_ZERO, 0, LOG_ZERO]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 130])
def test_draws_follow_the_law(rng, size):
    logits = rng.normal(size=size) * 2
    logits[rng.random(size) < 0.3] = -np.inf
    logits[rng.integers(size)] = 1.0
    law = jax.nn.log_softmax(jnp.asarray(logits, jnp.float32))
    grid = np.stack(np.meshgrid(np.arange(400) + 0.5, np.arange(400) + 0.5), -1).reshape(-1, 2) / 400
    tokens = draw_token(jnp.broadcast_to(law, (len(grid), size)), jnp.asarray(grid, jnp.float32))
    found = np.bincount(np.asarray(tokens), minlength=size) / len(grid)
    probs = np.exp(np.asarray(law, np.float64))
    assert np.all(found[probs == 0] == 0)
    assert np.max(np.abs(found - probs)) < 1 / 400 + 1 / 400 * probs.max()


def test_the_ends_of_the_unit_interval_draw_what_is_possible():
    law = jnp.log(jnp.array([[0.0, 0.0, 0.25, 0.75, 0.0]]))
    last = np.nextafter(np.float32(1), np.float32(0))
    ends = jnp.array([[0.0, 0.0], [last, last], [0.0, last], [last, 0.0]], jnp.float32)
    assert set(draw_token(jnp.repeat(law, 4, axis=0), ends).tolist()) == {2, 3}


def test_unlikely_tokens_of_a_large_vocabulary_are_drawn():
    probs = np.full(2**16, 1e-9)
    probs[0] = 1 - probs[1:].sum()
    law = jnp.log(jnp.asarray(probs, jnp.float32))[None]
    first_block = float(probs[:256].sum())
    drawn = draw_token(law, jnp.array([[(1 + first_block) / 2, 0.5]], jnp.float32))
    assert int(drawn[0]) >= 256


@pytest.mark.parametrize("option", ["temperature", "top_p"])
def test_the_least_temperature_and_mass_leave_the_likeliest_token(option):
    law = next_token_law(jnp.array([[-1e4, 3.0, 2.0]]), Decoding(1, **{option: 1e-30}))
    np.testing.assert_array_equal(jnp.exp(law), [[0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"new_tokens": 0}, "new_tokens=0: must be a whole number, at least 1."),
        ({"temperature": -0.5}, "temperature=-0.5: must be 0, or a finite number"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": 0}, "top_k=0"),
        ({"new_tokens": 2.5}, "new_tokens=2.5: must be a whole number"),
        ({"temperature": "1"}, "temperature=1: must be 0, or a finite number"),
        ({"top_k": 2.5}, "top_k=2.5: must be a whole number"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"temperature": 1e-31}, "temperature=1e-31: must be 0, or a finite number that is at least 1e-30."),
        ({"top_p": 1e-31}, "top_p=1e-31: the mass that is kept must be at least 1e-30 and at most 1, or None."),
        ({"end": (3, -1)}, "end=(3, -1): tokens are numbered from 0."),
    ],
)
def test_what_cannot_be_decoded_is_refused(options, message):
    with pytest.raises(ValueError) as error:
        Decoding(**({"new_tokens": 4} | options))
    assert message in str(error.value)


def test_decodings_are_compared_by_value():
    assert Decoding(4, end=[1, 2]) == Decoding(4, end=(1, 2)) and hash(Decoding(4)) == hash(Decoding(4))
    assert Decoding(4, top_p=1.0).plain and not Decoding(4, top_k=3).plain

"""The encoder against its formulas, written out in NumPy."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.lm.encoder import Encoder, encode
from nashpo.lm.encoder.architecture import bucket_of
from nashpo.lm.files.encoders import read_encoder

ENCODER = Encoder(vocabulary=20, width=8, layers=2, heads=2, inner=12, buckets=8, farthest=32, norm_eps=1e-7)
CONFIG = {
    "model_type": "deberta-v2",
    "vocab_size": 20,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "position_buckets": 8,
    "max_position_embeddings": 32,
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)

    def draw(shape):
        return (rng.normal(size=shape) * (shape[-2] ** -0.5 if len(shape) > 1 else 1.0)).astype(np.float32)

    found = {name: draw(shape) for name, shape in ENCODER.shapes["top"].items()}
    return {**found, "layers": {name: draw((2, *shape)) for name, shape in ENCODER.shapes["layer"].items()}}


def norm(x, scale, bias):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + ENCODER.norm_eps) * scale + bias


def written_out(params, tokens):
    """The states of one text, a query and a key at a time."""
    wide = {name: np.asarray(value, np.float64) for name, value in params.items() if name != "layers"}
    x = norm(wide["embed"][tokens], wide["embed_norm"], wide["embed_norm_bias"])
    far = norm(wide["distances"], wide["distances_norm"], wide["distances_norm_bias"])
    length, size = len(tokens), ENCODER.width // ENCODER.heads
    for number in range(ENCODER.layers):
        w = {name: np.asarray(value[number], np.float64) for name, value in params["layers"].items()}
        q, k, v = (x @ w[n] + w[f"{n}_bias"] for n in "qkv")
        q_far, k_far = (far @ w[n] + w[f"{n}_bias"] for n in "qk")
        y = np.zeros_like(x)
        for head in range(ENCODER.heads):
            h = slice(head * size, (head + 1) * size)
            score = np.empty((length, length))
            for i in range(length):
                for j in range(length):
                    b = bucket_of(np.array(i - j), ENCODER)
                    score[i, j] = q[i, h] @ k[j, h] + q[i, h] @ k_far[b, h] + k[j, h] @ q_far[b, h]
            score = np.exp(score / math.sqrt(3 * size))
            y[:, h] = score / score.sum(-1, keepdims=True) @ v[:, h]
        x = norm(x + y @ w["o"] + w["o_bias"], w["attention_norm"], w["attention_norm_bias"])
        up = x @ w["up"] + w["up_bias"]
        up = up * np.array([0.5 * (1 + math.erf(one / math.sqrt(2))) for one in up.ravel()]).reshape(up.shape)
        x = norm(x + up @ w["down"] + w["down_bias"], w["mlp_norm"], w["mlp_norm_bias"])
    return x


_encode = jax.jit(encode, static_argnums=0)


@pytest.mark.parametrize("length", [1, 7, 131])
def test_states_are_those_of_the_formulas(params, length):
    tokens = np.random.default_rng(length).integers(0, 20, (1, length)).astype(np.int32)
    found = _encode(ENCODER, params, tokens, np.arange(length, dtype=np.int32)[None])
    np.testing.assert_allclose(found[0], written_out(params, tokens[0]), rtol=0, atol=2e-5)


def test_padding_and_other_rows_change_nothing(params):
    row = np.random.default_rng(1).integers(0, 20, 5).astype(np.int32)
    tokens, positions = np.full((2, 9), -1, np.int32), np.full((2, 9), -1, np.int32)
    tokens[0, :5], positions[0, :5] = row, np.arange(5)
    tokens[1], positions[1] = 3, np.arange(9)
    found = np.asarray(_encode(ENCODER, params, tokens, positions))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0, :5], written_out(params, row), rtol=0, atol=2e-5)


def test_half_precision_is_close(params):
    tokens = np.arange(10, dtype=np.int32)[None]
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
    found = _encode(ENCODER, half, tokens, tokens)
    assert found.dtype == jnp.bfloat16
    exact = _encode(ENCODER, jax.tree.map(lambda leaf: leaf.astype(np.float32), half), tokens, tokens)
    assert np.abs(np.asarray(found, np.float32) - exact).mean() < 0.03 * np.asarray(exact).std()


def test_distances_have_two_signs_and_an_end():
    encoder = dataclasses.replace(ENCODER, buckets=256, farthest=512)
    distance = np.arange(-3000, 3001)
    found = bucket_of(distance, encoder) - 256
    np.testing.assert_array_equal(found[np.abs(distance) <= 128], distance[np.abs(distance) <= 128])
    near = np.abs(found) < 255
    np.testing.assert_array_equal(found[near], -found[::-1][near])
    assert (np.diff(found) >= 0).all()
    assert (found.min(), found.max()) == (-256, 255)
    assert found[distance == 511] == 255 and found[distance == 129] == 129


def test_a_configuration_is_read():
    assert dataclasses.replace(read_encoder(CONFIG), longest=None) == ENCODER
    assert read_encoder({**CONFIG, "max_relative_positions": 64}).farthest == 64
    assert read_encoder({**CONFIG, "pos_att_type": ["c2p", "p2c"]}) == read_encoder(CONFIG)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "llama"}, "model_type is 'llama': rankers are read with 'deberta-v2' only"),
        ({"relative_attention": False}, "relative_attention is False"),
        ({"conv_kernel_size": 3}, "conv_kernel_size is 3: rankers are read with 0 only"),
        ({"pos_att_type": "c2p"}, "pos_att_type is 'c2p': rankers are read with 'p2c|c2p' only"),
        ({"position_buckets": None}, "the configuration has no position_buckets"),
        ({"embedding_size": 4}, "embedding_size differs from hidden_size"),
        ({"num_attention_heads": 3}, "heads=3: must divide the width 8"),
        ({"position_buckets": 2}, "buckets=2, farthest=32: need 1 < buckets / 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_other_encoders_are_refused(change, said):
    with pytest.raises(ValueError) as refused:
        read_encoder(json.loads(json.dumps({**CONFIG, **change})))
    assert said in str(refused.value)

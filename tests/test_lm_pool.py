"""Arithmetic averages of language models: their law, what they keep, and what they share."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.lm.decoder import Decoder, LoRA, init_params
from nashpo.lm.exporting import export
from nashpo.lm.files import save
from nashpo.lm.filters import Decoding
from nashpo.lm.model import LanguageModel
from nashpo.lm.pool import Pool
from nashpo.policies import Mixture, Tabular

DECODER = Decoder("llama", vocabulary=5, width=8, layers=1, heads=2, kv_heads=1, head_dim=4, inner=8)
CONTEXTS = np.array([[-1, 3], [3, 4], [1, 2]], np.int32)


@pytest.fixture(scope="module")
def policies():
    base = init_params(DECODER, jax.random.key(0), scale=0.3)
    model = LanguageModel(base, {}, CONTEXTS, DECODER, Decoding(2, end=(0,)))
    start = model.with_adapter(LoRA(rank=2, alpha=8.0), jax.random.key(1))

    def other(seed):
        return start.with_params(
            jax.tree.map(lambda a: jax.random.normal(jax.random.key(seed), a.shape, a.dtype), start.params)
        )

    return [other(seed) for seed in range(4)]


def pooled(policies, capacity=4):
    pool = Pool.empty(policies[0], capacity)
    for count, policy in enumerate(policies):
        pool = pool.add(policy, count)
    return pool


def test_the_law_is_the_mean_of_the_members(policies):
    pool, prompts = pooled(policies[:3]), np.array([0, 2])
    responses = np.array([[[1, 2], [0, -1]], [[4, 4], [3, 0]]], np.int32)
    each = np.stack([policy.log_prob(prompts, responses) for policy in policies[:3]])
    np.testing.assert_allclose(pool.log_prob(prompts, responses), np.log(np.exp(each).mean(0)), atol=1e-5)
    mean = dataclasses.replace(pool, frame=dataclasses.replace(pool.frame, reduction="mean"))
    np.testing.assert_allclose(
        mean.log_prob(prompts, responses), np.log(np.exp(each).mean(0)) / [[2, 1], [2, 2]], atol=1e-5
    )
    np.testing.assert_array_equal(pool.at(prompts).log_prob(np.arange(2), responses), pool.log_prob(prompts, responses))


def test_completions_are_drawn_from_members_one_by_one(policies):
    pool, count = pooled(policies[:2]), 2048
    found = pool.sample(jax.random.key(0), np.array([1]), count)
    assert found.shape == (1, count, 2) and found.dtype == np.int32
    answers, counts = np.unique(found[0], axis=0, return_counts=True)
    law = np.exp(np.asarray(pool.log_prob(np.array([1]), answers[None]))[0])
    missing = 1 - law.sum()
    distance = 0.5 * (np.abs(counts / count - law).sum() + missing)
    noise = 0.5 * np.sqrt(law / count).sum()
    apart = [np.exp(np.asarray(policy.log_prob(np.array([1]), answers[None]))[0]) for policy in policies[:2]]
    assert distance < 1.5 * noise + missing
    assert all(0.5 * np.abs(counts / count - one).sum() > 3 * noise for one in apart)


def test_a_draw_does_not_depend_on_other_rows_or_draws(policies):
    pool = pooled(policies)
    many = pool.sample(jax.random.key(4), np.array([1, 2, 0]), 8)
    few = pool.sample(jax.random.key(4), np.array([1, 2]), 3)
    assert np.array_equal(many[:2, :3], few)
    assert len(np.unique(many.reshape(-1, 2), axis=0)) > 5


@pytest.mark.parametrize("capacity", [2, 3, 4])
def test_the_same_policies_are_kept_as_in_a_mixture_of_tables(policies, capacity):
    pool, mixture = Pool.empty(policies[0], capacity), Mixture.empty(Tabular(jnp.zeros((1, 2))), capacity)
    for count in range(11):
        pool = pool.add(policies[0].with_params({"number": count}), count)
        mixture = mixture.add(Tabular(jnp.full((1, 2), float(count))), count)
        np.testing.assert_allclose(pool.weights, mixture.weights, rtol=1e-6)
        kept = np.flatnonzero(pool.weights)
        numbers = np.asarray(mixture.members.params)[kept, 0, 0]
        assert [pool.members[m]["number"] for m in kept] == numbers.tolist()


def test_members_share_everything_but_parameters_and_none_is_copied(policies):
    pool = Pool.empty(policies[0], 3)
    assert all(member is policies[0].params for member in pool.members)
    pool = pool.add(policies[0], 0).add(policies[1], 1)
    assert pool.members[1] is policies[1].params and pool.member(1).base is policies[0].base
    assert jax.tree.structure(pool) == jax.tree.structure(Pool.empty(policies[0], 3))
    assert pool.frame.params == {}
    sizes = sum(leaf.size for leaf in {id(leaf): leaf for leaf in jax.tree.leaves(pool)}.values())
    assert sizes == sum(leaf.size for leaf in jax.tree.leaves((policies[0], policies[1].params))) + 3


def test_room_for_one_is_no_average(policies):
    with pytest.raises(ValueError, match="capacity=1: an average has room for a whole number of policies, at least 2"):
        Pool.empty(policies[0], 1)


def test_a_mixture_is_replaced_by_one_that_is_complete_and_kept_if_there_is_none(policies, tmp_path):
    source = save(tmp_path / "source", DECODER, policies[0].base)
    folder = export(pooled(policies[:3]), tmp_path / "trained", source)
    with pytest.raises(ValueError, match=r'trained: cannot be written as "full", .* take "adapter" or "merged"'):
        export(pooled(policies[:2]), folder, source, "full")
    with pytest.raises(ValueError, match=r'other: cannot be written as "lora", for an adapter is trained'):
        export(policies[0], tmp_path / "other", source, "lora")
    assert len(json.loads((folder / "mixture.json").read_text())["weights"]) == 3
    assert len(list(folder.glob("policy*/adapter_model.safetensors"))) == 3
    export(pooled(policies[:2]), folder, source)
    assert sorted(path.name for path in folder.iterdir()) == ["mixture.json", "policy0", "policy1"]

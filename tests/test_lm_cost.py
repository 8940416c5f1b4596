"""The memory of a run, estimated from shapes, against what XLA says of the compiled gradient step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lm_small import decoder, make_model, make_world

from nashpo.learners.fitting import fit_samples
from nashpo.learners.losses import SquaredGains
from nashpo.learners.losses.base import Samples, Terms
from nashpo.lm import Decoding, LanguageModel, LoRA, read_config
from nashpo.lm.config.estimate import copies, estimated, shape_of
from nashpo.lm.config.parts import Optimizer
from nashpo.lm.cost import (
    Shape,
    cache_bytes,
    device_memory,
    fit_bytes,
    nbytes,
    optimizer_bytes,
    reading_bytes,
    trained_of,
    weights_of,
)
from nashpo.lm.decoder import empty_cache, hidden
from nashpo.lm.learner import Generated

PROMPTS, COUNT, CONTEXT, NEW = 4, 2, 24, 24
LEARNER = Generated(1e-3, optimizer=Optimizer("adamw", (), 1.0), prompts=PROMPTS, responses=COUNT)


def compiled(shape):
    """XLA's account of one gradient step of these sizes."""
    trained, frozen = trained_of(shape), weights_of(shape) if shape.lora else {}
    contexts = np.ones((PROMPTS, shape.context), np.int32)
    floats = jax.ShapeDtypeStruct((PROMPTS, COUNT), jnp.float32)
    pair, weights = jax.ShapeDtypeStruct((PROMPTS, 1), jnp.int32), jax.ShapeDtypeStruct((PROMPTS,), jnp.float32)
    tokens = jax.ShapeDtypeStruct((PROMPTS, COUNT, NEW), jnp.int32)
    rows = jax.ShapeDtypeStruct((PROMPTS,), jnp.int32)
    ones = jax.ShapeDtypeStruct((PROMPTS, 1), jnp.float32)
    samples = Samples(rows, weights, tokens, floats, floats, floats, pair, pair, ones, None)

    def fit(params, base, state, samples, key):
        model = LanguageModel(
            params, base, contexts, shape.decoder, Decoding(NEW, end=(3,)), shape.lora, shape.chunk, shape.remat
        )
        terms = Terms(0.5, 0.1, 0.5, "win_rate")
        return fit_samples(LEARNER, 1e-3, SquaredGains(), model.with_params, params, state, samples, terms, key)

    state = jax.eval_shape(lambda params: LEARNER.optimizer(1e-3).init(params), trained)
    return jax.jit(fit).lower(trained, frozen, state, samples, jax.random.key(0)).compile().memory_analysis()


def small(lora, remat):
    sizes = {"width": 32, "layers": 3, "heads": 4, "kv_heads": 2, "head_dim": 8, "inner": 96}
    rows = PROMPTS * COUNT
    return Shape(decoder(**sizes), lora, jnp.float32, CONTEXT, NEW, rows, rows, COUNT, chunk=8, remat=remat)


@pytest.mark.parametrize(("lora", "remat"), [(None, True), (LoRA(4, 8.0), False)], ids=["weights", "adapter"])
def test_the_estimate_is_within_a_factor_of_two_of_the_compiled_step(lora, remat):
    shape = small(lora, remat)
    found = compiled(shape)
    trained, state = nbytes(trained_of(shape)), optimizer_bytes(shape, LEARNER.optimizer)
    held = trained + state + (nbytes(weights_of(shape)) if lora else 0)
    assert found.argument_size_in_bytes == pytest.approx(held, rel=0.05)
    assert found.output_size_in_bytes == pytest.approx(trained + state, rel=0.05)
    guess = sum(fit_bytes(shape).values()) + 2 * trained
    assert guess / 2 < found.temp_size_in_bytes < guess * 2


@pytest.mark.parametrize(("rows", "length"), [(8, 48), (4, 512)])
def test_the_estimate_of_reading_is_that_of_the_compiled_pass(rows, length):
    shape = small(None, True)._replace(context=length, new_tokens=0)
    tokens = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    read = jax.jit(lambda params, tokens, at: hidden(shape.decoder, params, tokens, at)[0][:, -1])
    found = read.lower(weights_of(shape), tokens, tokens).compile().memory_analysis().temp_size_in_bytes
    assert found / 2 < reading_bytes(shape, rows) < found * 2


def test_caches_are_counted_as_they_are_made():
    shape = small(None, True)._replace(mixed=2)
    made = nbytes(empty_cache(shape.decoder, shape.collected, CONTEXT + NEW)._replace(positions=jnp.zeros(0)))
    read = nbytes(empty_cache(shape.decoder, PROMPTS, CONTEXT)._replace(positions=jnp.zeros(0)))
    assert cache_bytes(shape) == 2 * (made + read)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("cost"))


def test_policies_are_counted_by_the_rule(world):
    def count(**algorithm):
        return copies(read_config(world / "run.toml", {"algorithm": algorithm}))

    # The reference, the policy of now, and the one that the stage writes; EGPO writes two, and a past has its own.
    assert (count(solver="inpo"), count(solver="egpo")) == (3, 4)
    assert count(solver="mnpo", history=[0.5, 0.5]) == 3 + 1
    assert count(solver="spo") == 3 + 3


def test_what_makes_a_run_smaller_does_so_in_the_estimate(world):
    def total(**tables):
        return estimated(read_config(world / "run.toml", tables)).total

    whole = total()
    assert total(model={"lora": 2}) < whole
    assert total(learner={"microbatch": 1}) < whole
    assert total(generation={"new_tokens": 2}) < whole
    assert total(model={"remat": False}) > whole
    assert total(model={"reference": "other"}) > whole


def test_completions_are_read_and_made_some_at_a_time(world):
    def total(batch, **learner):
        tables = {"model": {"lora": 2}, "learner": {"prompts": 8, "microbatch": 1, **learner}}
        return estimated(read_config(world / "run.toml", {**tables, "generation": {"batch": batch}})).total

    assert total(1) < total(4) < total(8) == total(16)
    assert total(8, gains={"name": "fresh", "count": 64}) > 2 * total(8)


def test_what_a_judge_reads_is_counted(world):
    make_model(world / "large", seed=2, extra={"score": np.ones((1, 64))}, width=64, inner=4096, longest=4096)
    (world / "wordy.jsonl").write_text(f'{{"prompt": "{"red " * 50}"}}\n' * 12)
    function = 'kind = "function"\nfunction = "small_judge:prefer"'
    judge = function.replace("function", "reward", 1).replace('function = "small_judge:prefer"', 'path = "large"\n')
    (world / "large.toml").write_text((world / "run.toml").read_text().replace(function, judge))

    def moment(**tables):
        cost = estimated(read_config(world / "large.toml", tables))
        return {part.name: part.bytes for part in cost.moment}

    def stored(**judge):
        cost = estimated(read_config(world / "large.toml", {"judge": judge}))
        return next(part.bytes for part in cost.resident if part.name == "judges")

    # 16 texts at a time, each of 51 tokens and 3 more, which are padded to 64.
    read = moment(data={"prompts": "wordy.jsonl"})["the judge's activations"]
    assert 16 * 54 * 3 * 4096 * 4 < read < 16 * 64 * 4 * 4096 * 4
    half = moment(data={"prompts": "wordy.jsonl"}, judge={"batch": 8})["the judge's activations"]
    assert half == read / 2
    assert stored() == 2 * stored(dtype="bfloat16")


def test_devices_share_weights_rows_and_judges(world, monkeypatch):
    make_model(world / "reward", seed=2, extra={"score": np.ones((1, 16))})

    judge = 'kind = "function"\nfunction = "small_judge:prefer"'
    config = (world / "run.toml").read_text().replace(judge, 'kind = "reward"\npath = "reward"')
    (world / "judged.toml").write_text(config)

    def parts(**mesh):
        found = read_config(world / "judged.toml", {"mesh": mesh})
        return {part.name: part.bytes for part in estimated(found).resident}

    alone, four = parts(), parts(fsdp=2, tensor=2)
    assert {name: alone[name] / 4 for name in alone} == four
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    assert parts(tensor=2) == four


def test_a_state_that_is_given_away_is_there_once(world):
    def state(solver, donate):
        tables = {"algorithm": {"solver": solver}, "learner": {"donate": donate}}
        cost = estimated(read_config(world / "run.toml", tables))
        return next(part.bytes for part in cost.resident if part.name == "optimizer")

    assert state("inpo", False) == 2 * state("inpo", True)
    assert state("egpo", False) == state("egpo", True)  # its look ahead starts from the same state as its step


def test_the_largest_parts_are_named_with_what_to_change(world):
    cost = estimated(read_config(world / "run.toml"))
    assert shape_of(read_config(world / "run.toml")).rows == 8
    assert cost.limit == device_memory()[0] and cost.limit > 2**28
    cost.check()
    refused = type(cost)(cost.resident, cost.moment, 1000.0, "gpu")
    with pytest.raises(ValueError, match=r"the run needs about .* and gpu has 1\.0 KiB: .* helps\)"):
        refused.check()

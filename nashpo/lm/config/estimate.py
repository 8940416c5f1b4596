"""The memory that a configured run will need."""

from operator import add, mul

import jax.numpy as jnp

from nashpo.lm.config.judge import PlannedModel
from nashpo.lm.config.readable import longest_prompt
from nashpo.lm.config.setup import Setup
from nashpo.lm.config.tables import Spread
from nashpo.lm.cost import (
    Cost,
    Part,
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
from nashpo.lm.mesh import mesh_shape
from nashpo.lm.sequences import bucket


def estimated(setup: Setup) -> Cost:
    """What a run needs of each device at its worst moment, before anything is loaded.

    Policies are counted as if all of them differed, generation as if every answer took all its tokens. Of several
    devices each holds its share of weights and rows, and adapters whole.
    """
    shape, (shards, batch) = shape_of(setup), _devices(setup.tables["mesh"])
    weights, trained = nbytes(weights_of(shape)), nbytes(trained_of(shape))
    whole = 1 if shape.lora is not None else shards
    others = 1 if setup.plan.reference is not None else 0
    looks_ahead = any(stage.tentative for stage in setup.rule.stages(setup.first_beta, 0.0))
    states = 1 if setup.learner.donate and not looks_ahead else 2
    parts = [
        Part("weights", weights * ((shape.lora is not None) + others) / shards, "a smaller dtype"),
        Part("policies", trained * copies(setup) / whole, "lora or a rule with less history"),
        Part(
            "optimizer", states * optimizer_bytes(shape, setup.learner.optimizer) / whole, "lora or another optimizer"
        ),
        Part("judges", sum(map(_stored, setup.planned_judge.models)) / shards, "a smaller judge"),
    ]
    limit, device = device_memory()
    moment = max(_moments(setup, shape, batch, whole), key=lambda parts: sum(part.bytes for part in parts))
    return Cost(tuple(parts), moment, limit, device)


def shape_of(setup: Setup) -> Shape:
    """The sizes of a run."""
    learner = setup.learner
    extra = getattr(learner.loss, "extra", (None, 0))[1]
    count = learner.responses + extra
    piece = learner.microbatch or learner.minibatch or learner.prompts
    blends = [len(one.blend) for stage in setup.rule.stages(setup.first_beta, 0.0) for one in stage.opponents]
    return Shape(
        decoder=setup.plan.decoder,
        lora=setup.plan.lora,
        dtype=setup.plan.stored,
        context=min(bucket(setup.asked.contexts.shape[1]), setup.asked.contexts.shape[1]),
        new_tokens=setup.decoding.new_tokens,
        rows=min(piece, learner.prompts) * count,
        collected=learner.prompts * count,
        count=learner.responses,
        mixed=max(blends, default=1),
        chunk=setup.tables["model"].chunk,
        remat=setup.tables["model"].remat,
    )


def copies(setup: Setup) -> int:
    """How many sets of trained parameters there are at once: those stored, one for each stage, and the first."""
    rule = setup.rule
    stored = 1 + rule.memory + len(rule.stored)
    pool = min(setup.learner.pool, setup.steps) if rule.report == "average" else 0
    return 1 + stored + len(rule.stages(setup.first_beta, 0.0)) + pool


def _moments(setup: Setup, shape: Shape, batch: int, whole: int) -> list[tuple[Part, ...]]:
    """What a gradient step, generation, the reading of completions and the judge need beside what is there."""
    smaller = "a smaller microbatch, longest or new_tokens"
    fewer = "a smaller generation.batch or new_tokens"
    trained = nbytes(trained_of(shape)) / whole
    sums = 1 + (setup.learner.microbatch is not None)
    fit = fit_bytes(shape)
    learner, measuring, at_once = setup.learner, setup.evaluation, setup.tables["generation"].batch
    asked = [(learner.prompts, shape.collected // learner.prompts)]
    asked += [] if measuring is None else [(len(measuring.rows), measuring.responses)]
    read = max(min(prompts, at_once) * each for prompts, each in asked)
    rivals = min(learner.prompts, at_once) * getattr(learner.gains, "count", 1)
    spoken, reading = shape._replace(collected=max(read, rivals)), shape._replace(rows=read)
    head = 3 * 4 * spoken.collected * shape.decoder.vocabulary
    return [
        (
            Part("gradients", trained * (1 + sums), "lora"),
            Part("activations", fit["activations"] / batch, smaller),
            Part("logits", fit["logits"] / batch, "a smaller chunk or microbatch"),
        ),
        (
            Part("caches", cache_bytes(spoken) / batch, fewer),
            Part("logits", head / batch, fewer),
        ),
        (
            Part("activations", reading_bytes(shape, read) / batch, f"{fewer}, or fewer responses"),
            Part("logits", fit_bytes(reading)["logits"] / batch, "a smaller chunk or generation.batch"),
        ),
        (Part("the judge's activations", judged_bytes(setup), "a smaller batch of the judge, or longest"),),
    ]


def judged_bytes(setup: Setup) -> float:
    """What the judge with the largest need makes of a batch of its texts, the longest that there may be.

    A judge of several devices reads the whole batch on each.
    """
    learner, measuring = setup.learner, setup.evaluation
    rivals = max(getattr(learner.gains, "count", 1), learner.responses)
    asked = [(learner.prompts, learner.responses, rivals)]
    if measuring is not None:
        asked.append((len(measuring.rows), measuring.responses, measuring.responses * (1 + measuring.history)))
    alone, paired = (max(prompts * of(left, right) for prompts, left, right in asked) for of in (add, mul))
    counts = {1: alone, 2: 2 * paired}
    models = setup.planned_judge.models
    return max((_read_bytes(model, setup, counts[model.maker.answers]) for model in models), default=0.0)


def _read_bytes(model: PlannedModel, setup: Setup, texts: int) -> float:
    """What one judge makes of as many of these texts as it reads at once."""
    reader = model.look().reader
    length = longest_prompt(model, setup.asked.prompts)[1] + model.maker.answers * setup.decoding.new_tokens
    length, rows = bucket(min(length, reader.longest or length)), min(reader.batch, bucket(texts))
    dtype = model.settings.get("dtype") or reader.params["embed"].dtype
    return reading_bytes(Shape(reader.model, None, dtype, length, 0, rows, rows, 1), rows)


def _devices(spread: Spread) -> tuple[int, int]:
    """How many devices share the weights, and how many the rows."""
    if not spread.given:
        return 1, 1
    rows, tensor = mesh_shape(spread.fsdp, spread.tensor or 1)
    return rows * tensor, rows


def _stored(model: PlannedModel) -> float:
    """Bytes of the tensors of a judge, in the dtype that it is read in."""
    stored = model.look().reader.params["embed"].dtype
    share = jnp.dtype(model.settings.get("dtype") or stored).itemsize / stored.itemsize
    return share * sum(file.stat().st_size for file in model.path.glob("*.safetensors"))

"""The memory that a configured run will need."""

from pathlib import Path

from nashpo.lm.config.setup import Setup
from nashpo.lm.config.tables import Spread
from nashpo.lm.cost import (
    Cost,
    Part,
    Shape,
    cache_bytes,
    device_memory,
    fit_bytes,
    layer_bytes,
    nbytes,
    optimizer_bytes,
    score_bytes,
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
        Part("judges", sum(map(_stored, setup.planned_judge.paths)) / shards, "a smaller judge"),
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
    """What a gradient step, generation, and the reading of completions need beside what is there."""
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
    reading_bytes = layer_bytes(shape, read) + score_bytes(shape, read)
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
            Part("activations", reading_bytes / batch, f"{fewer}, or fewer responses"),
            Part("logits", fit_bytes(reading)["logits"] / batch, "a smaller chunk or generation.batch"),
        ),
    ]


def _devices(spread: Spread) -> tuple[int, int]:
    """How many devices share the weights, and how many the rows."""
    if not spread.given:
        return 1, 1
    rows, tensor = mesh_shape(spread.fsdp, spread.tensor or 1)
    return rows * tensor, rows


def _stored(path: Path) -> int:
    """Bytes of the tensors in a directory."""
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))

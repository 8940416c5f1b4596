"""The table `[learner]`: from completions to gradient steps."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nashpo.lm.config.parts import DEFAULTS, GAINS, LOSSES, SAMPLERS, SELECTIONS, read_optimizer, read_part
from nashpo.lm.config.schedules import read_number
from nashpo.lm.config.tables import anything, yes_or_no
from nashpo.lm.learner import Generated
from nashpo.studies.document import Document
from nashpo.studies.settings import checked
from nashpo.studies.values import at_least_zero, one_of, positive, whole

_KINDS: dict[str, Callable[[Any], Any]] = {
    "regime": one_of("online", "iterated"),
    "loss": anything,
    "gains": anything,
    "sampler": anything,
    "selection": anything,
    "learning_rate": anything,
    "optimizer": anything,
    "clip": at_least_zero,
    "weight_decay": at_least_zero,
    "prompts": whole(1),
    "responses": whole(1),
    "updates": whole(1),
    "passes": whole(1),
    "minibatch": whole(1),
    "microbatch": whole(1),
    "pool": whole(2),
    "per_token": yes_or_no,
    "donate": yes_or_no,
}

RATE = {"adapter": 1e-4, "full": 1e-6}
"""Learning rates where none is given, of an adapter and of all weights."""

ONLINE, PIECE = 8, 8
"""Prompts of a step online, and of a gradient step of an iterated run."""


class Around(NamedTuple):
    """What the learner's defaults depend on."""

    rule: Any
    steps: int
    usable: int
    """How many prompts there are to train on."""
    seed: int
    lora: bool
    beta: float


def read_learner(document: Document, around: Around) -> tuple[Generated, bool]:
    """The learner, and whether log-probabilities are means over tokens.

    `regime = "online"` (the default) takes one gradient step on a few fresh prompts; `"iterated"` generates for all
    prompts, then goes through them in minibatches, `passes` times. Each only changes what is left out: `prompts`,
    `minibatch`, `updates`. The loss left out is the one that fits the rule.

    Raises `ValueError` naming the line, for what is unknown, does not fit, or is biased.

    >>> from nashpo.solvers import EGPO
    >>> from nashpo.studies.document import read_document
    >>> around = Around(EGPO(eta=0.5), steps=10, usable=100, seed=0, lora=True, beta=0.1)
    >>> learner, per_token = read_learner(read_document({"learner": {"regime": "iterated"}}), around)
    >>> learner.prompts, learner.minibatch, learner.updates
    (96, 8, 12)
    """
    place = ("learner",)
    given = document.entries.get("learner", {})
    if not isinstance(given, Mapping):
        document.wrong(place, f"is {given!r}, but must be a table: write [learner].")
    values = checked(document, place, given, _KINDS)
    sizes = _sizes(document, values, around.usable)
    parts: dict[str, Any] = {"loss": read_part(document, (*place, "loss"), _loss(values, around), LOSSES)}
    for key, known in (("gains", GAINS), ("sampler", SAMPLERS), ("selection", SELECTIONS)):
        if key in values:
            parts[key] = read_part(document, (*place, key), values[key], known)
    clip = values.get("clip", 1.0) or None
    optimizer = values.get("optimizer", "adamw")
    if "weight_decay" in values:
        named = dict(optimizer) if isinstance(optimizer, Mapping) else {"name": optimizer}
        optimizer = named | {"weight_decay": values["weight_decay"]}
    parts["optimizer"] = read_optimizer(document, (*place, "optimizer"), optimizer, clip)
    fits = sum(not stage.tentative for stage in around.rule.stages(around.beta, 0.0))
    length = around.steps * sizes["updates"] * max(fits, 1)
    rate = values.get("learning_rate", RATE["adapter" if around.lora else "full"])
    parts["learning_rate"] = read_number(document, (*place, "learning_rate"), rate, positive, length)
    plain = {key: values[key] for key in ("microbatch", "pool", "donate") if key in values}
    try:
        learner = Generated(**parts, **sizes, **plain, responses=values.get("responses", 4), seed=around.seed)
    except ValueError as error:
        document.wrong(place, f": {error}")
    return learner, values.get("per_token", False)


def _loss(values: Mapping[str, Any], around: Around) -> Any:
    """The loss that was named, else the one for the target of the rule."""
    if "loss" in values:
        return values["loss"]
    targets = [stage.target for stage in around.rule.stages(around.beta, 0.0) if stage.opponents]
    return DEFAULTS[targets[0]] if targets else "squared"


def _sizes(document: Document, values: Mapping[str, Any], usable: int) -> dict[str, Any]:
    """How many prompts, updates and prompts of an update there are, by the regime where they are left out."""
    if values.get("regime", "online") == "online":
        if "passes" in values:
            document.wrong(("learner", "passes"), 'belongs to regime = "iterated"; online there are updates.')
        prompts = values.get("prompts", min(ONLINE, usable))
        return {"prompts": prompts, "minibatch": values.get("minibatch"), "updates": values.get("updates", 1)}
    minibatch = values.get("minibatch", min(PIECE, values.get("prompts", usable)))
    prompts = values.get("prompts", max(usable // minibatch, 1) * minibatch)
    if "passes" in values and "updates" in values:
        document.wrong(("learner", "passes"), "and updates say the same twice; give one of them.")
    updates = values.get("updates", max(values.get("passes", 1) * prompts // minibatch, 1))
    return {"prompts": prompts, "minibatch": minibatch, "updates": updates}

"""Where the responses come from that a learner compares."""

from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nashpo.game import Game
from nashpo.learners.blends import log_blend
from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.policies.base import enumerable
from nashpo.policies.draws import draw
from nashpo.stage import Blend, Slot, Stage
from nashpo.struct import record
from nashpo.typing import Array, Key


class Scene(NamedTuple):
    """What a stage is fitted with; all policies speak the responses that the oracle compares."""

    start: Any
    """The policy that is trained, before it is."""
    slots: dict[Slot, Any]
    stage: Stage
    game: Game
    memory: Any = None
    """What gains and replay remember of earlier fits, by name."""


class Sampler(Protocol):
    """Draws responses, independently and from one law."""

    law: ClassVar[str]
    """The law's name, for losses that are right under one law only."""

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt of `[B]`, `[B, count, ...]`."""
        ...


@record
class FromStart:
    """Responses of the policy that is trained, before it is: on-policy samples."""

    law: ClassVar[str] = "start"

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt."""
        return scene.start.sample(key, prompts, count)


@record
class FromReference:
    """Responses of the reference."""

    law: ClassVar[str] = "reference"

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt."""
        return scene.slots["reference"].sample(key, prompts, count)


@record
class FromOpponent:
    """Responses of the opponents of the stage, each drawn with its weight, which must not be negative."""

    law: ClassVar[str] = "opponent"

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt."""
        chosen, drawn = jax.random.split(key)
        opponents = scene.stage.opponents
        if not opponents:
            raise ValueError(
                "FromOpponent: a stage of the rule has no opponents, as the extrapolation of APO, and nobody to draw "
                "from; use FromStart(), or Extrapolate(learner), which mixes parameters instead."
            )
        each = [
            sample_blend(jax.random.fold_in(drawn, index), opponent.blend, prompts, count, scene)
            for index, opponent in enumerate(opponents)
        ]
        if len(each) == 1:
            return each[0]
        weights = jnp.stack([jnp.asarray(opponent.weight, jnp.result_type(float)) for opponent in opponents])
        choice = jax.random.categorical(chosen, jnp.log(weights), shape=(len(prompts), count))

        def pick(*options: Array) -> Array:
            shape = choice.shape + (1,) * (options[0].ndim - 2)
            return jnp.select([choice.reshape(shape) == index for index in range(len(options))], list(options))

        return jax.tree.map(pick, *each)


@record
class Uniform:
    """Responses drawn uniformly among those that the reference allows; they must be listed."""

    law: ClassVar[str] = "uniform"

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt."""
        reference = scene.slots["reference"]
        if not enumerable(reference):
            raise ValueError(
                f"Uniform: the responses of a {type(reference).__name__} cannot be listed; use FromStart() or "
                "FromReference()."
            )
        logits = jnp.where(reference.log_probs() > 0.5 * LOG_ZERO, 0.0, LOG_ZERO)[prompts]
        index = draw(key, logits, count)
        return reference.response(index)


def pick(responses: Any, places: Array) -> Any:
    """The responses `[B, M, ...]` in places `[B, M]` of responses `[B, K, ...]`.

    >>> pick(jnp.array([[5, 6, 7]]), jnp.array([[2, 0, 2]])).tolist()
    [[7, 5, 7]]
    """

    def picked(leaf: Array) -> Array:
        return jnp.take_along_axis(leaf, places.reshape(places.shape + (1,) * (leaf.ndim - 2)), axis=1)

    return jax.tree.map(picked, responses)


def sample_blend(key: Key, blend: Blend, prompts: Array, count: int, scene: Scene) -> Any:
    """`count` responses of a geometric mixture of stored policies.

    One policy speaks for itself, and policies that are listed are mixed response by response. Policies that offer
    `sample_mixed(policies, weights, key, prompts, count)`, language models, are mixed token by token: that is another
    law, whose tokens do not foresee what the next ones cost (`nashpo.policies.sample_blend`).

    Raises `ValueError` for other policies.

    >>> from nashpo.policies import Tabular
    >>> slots = {name: Tabular.from_probs(probs) for name, probs in {"now": [1.0, 0.0], "past1": [0.5, 0.5]}.items()}
    >>> scene = Scene(slots["now"], slots, Stage({"now": 1.0}), Game.from_table([[0.5, 0.9], [0.1, 0.5]]))
    >>> sample_blend(jax.random.key(0), {"now": 0.5, "past1": 0.5}, jnp.zeros(1, int), 3, scene).tolist()
    [[0, 0, 0]]
    """
    names = list(blend)
    if len(names) == 1:
        return scene.slots[names[0]].sample(key, prompts, count)
    unlisted = [name for name in names if not enumerable(scene.slots[name])]
    policies = [scene.slots[name] for name in names]
    if unlisted and all(hasattr(policy, "sample_mixed") for policy in policies):
        return policies[0].sample_mixed(policies, [blend[name] for name in names], key, prompts, count)
    if unlisted:
        kind = type(scene.slots[unlisted[0]]).__name__
        raise ValueError(
            f"the opponent is a geometric mixture of {' and '.join(names)}, but the responses of a {kind} cannot be "
            "listed: choose a rule whose opponents are single policies."
        )
    logits = log_softmax(log_blend(blend, scene.slots))[prompts]
    index = draw(key, logits, count)
    return scene.slots[names[0]].response(index)

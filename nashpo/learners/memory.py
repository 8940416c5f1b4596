"""What a learner remembers of the samples of earlier fits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashpo.learners.losses.base import Samples
from nashpo.policies.base import listed_shape
from nashpo.policies.listed import Listed
from nashpo.typing import Array


class Carry(NamedTuple):
    """What lasts from fit to fit."""

    optimizer: Any
    """The optimizer's state."""
    memory: dict[str, Any]
    """That of the learner's parts that remember, by name."""


def parts(learner: Any) -> dict[str, Any]:
    """The parts of a learner that remember: `gains` if its loss reads them, and `replay`.

    >>> from nashpo.learners import Replay, Sampled
    >>> list(parts(Sampled(0.1, replay=Replay())))
    ['replay']
    """
    used = {"gains": learner.gains if learner.loss.reads == "gains" else None, "replay": learner.replay}
    return {name: part for name, part in used.items() if hasattr(part, "remember")}


def begin(learner: Any, policy: Any) -> dict[str, Any]:
    """The memory before the first fit."""
    return {name: part.begin(policy, learner) for name, part in parts(learner).items()}


def remember(learner: Any, memory: dict[str, Any], samples: Samples, policy: Any) -> dict[str, Any]:
    """The memory with the samples that were drawn for a fit; `policy` speaks the responses of the samples."""
    return {name: part.remember(memory[name], samples, policy) for name, part in parts(learner).items()}


def contexts(policy: Any) -> int:
    """How many prompts a policy answers.

    >>> from nashpo.policies import Tabular
    >>> contexts(Tabular(jnp.zeros((2, 3))))
    2
    """
    given = getattr(policy, "contexts", None)
    return len(given) if given is not None else listed_shape(policy)[0]


def blank(policy: Any, prompts: int, count: int) -> Any:
    """Room for `count` responses to each of `prompts` prompts, as a policy samples them.

    >>> from nashpo.policies import Tabular
    >>> blank(Tabular(jnp.zeros((2, 3))), 2, 4).shape
    (2, 4)
    """

    def drawn(policy: Any) -> Any:
        return policy.sample(jax.random.key(0), jnp.zeros(1, int), 1)

    shapes = jax.eval_shape(drawn, policy)
    return jax.tree.map(lambda leaf: jnp.zeros((prompts, count, *leaf.shape[2:]), leaf.dtype), shapes)


def stored(policy: Any, responses: Any, like: Any) -> Any:
    """Responses as they are kept: numbers where the oracle reads tokens and the policy is over numbers.

    `like` is a memory, whose precision they get.
    """
    kept = policy.index(responses) if isinstance(policy, Listed) else responses
    return jax.tree.map(lambda leaf, room: jnp.asarray(leaf, room.dtype), kept, like)


def recalled(policy: Any, kept: Any) -> Any:
    """Responses as the oracle reads them."""
    return policy.response(kept) if isinstance(policy, Listed) else kept


def rows(learner: Any, policy: Any) -> int:
    """How many prompts are drawn for a fit.

    >>> from nashpo.learners import Sampled
    >>> rows(Sampled(0.1, prompts=64), None)
    64
    """
    return learner.prompts or contexts(policy)


def same_prompt_before(prompts: Array) -> Array:
    """How many earlier rows have the same prompt, `[B]`.

    >>> same_prompt_before(jnp.array([3, 1, 3, 3])).tolist()
    [0, 0, 1, 2]
    """
    return jnp.sum(jnp.tril(prompts[:, None] == prompts[None, :], -1), -1, dtype=jnp.int32)

"""Win rates against a queue of past responses, as SPO is run."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from nashpo.learners.gains import compare_all
from nashpo.learners.losses.base import Samples
from nashpo.learners.memory import blank, contexts, recalled, same_prompt_before, stored
from nashpo.learners.samplers import Scene
from nashpo.oracles.base import VALUE
from nashpo.struct import record, static
from nashpo.typing import Array, Key
from nashpo.validation.numbers import is_whole


class Queued(NamedTuple):
    """The last responses to each prompt, in a ring."""

    responses: Any
    """`[X, size, ...]`."""
    arrived: Array
    """How many ever arrived, `[X]`."""


@record
class Queue:
    """The mean payoff against the last `size` responses to the same prompt, those of the present batch among them.

    The win rate of SPO as it is run (Swamy et al. 2024, arXiv:2401.04056): a first-in-first-out queue for each prompt,
    in the learner's carry. A response does not meet itself, or draws with itself where `own=True`, as the loss needs
    (see `Batch`). With `size` equal to the responses of a fit and every prompt once it is `Batch`.

    The opponent is stale: the mean of the policies of the last M fits. Close to an equilibrium that a mirror step
    circles with frequency w, `log |z|` of a step is `M (eta w)^2 / 2` instead of `(eta w)^2 / 2` to leading order in
    eta: without a penalty the last iterate leaves M times as fast, with one the largest stable step is M times
    smaller, `2 beta / (M w^2)`. The queue lowers the variance of a gain instead.

    Raises `ValueError` for a queue that is shorter than a batch, and together with replay.

    >>> import nashpo
    >>> from nashpo.learners import Sampled
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.5)
    >>> learner = Sampled(learning_rate=0.03, gains=Queue(size=64), responses=16)
    >>> found = nashpo.solve(game, nashpo.solvers.INPO(eta=0.5), learner=learner, steps=300, key=0)
    >>> bool(found.trace["duality_gap"][-1] < 0.02)
    True
    """

    size: int = static()
    own: bool | None = static(default=None)
    laws: ClassVar[frozenset[str] | None] = frozenset({"opponent", "start"})

    def check(self, learner: Any, game: Any) -> None:
        """Refuse a queue that cannot be kept."""
        if learner.loss.reads != "gains":
            return
        if not is_whole(self.size, learner.responses):
            raise ValueError(
                f"Queue(size={self.size}): must hold at least the {learner.responses} responses to a prompt of a fit."
            )
        if learner.replay is not None:
            raise ValueError("Queue: replayed responses would be queued again; use Fresh gains, or no replay.")

    def begin(self, policy: Any, learner: Any) -> Queued:
        """Empty queues."""
        prompts = contexts(policy)
        return Queued(blank(policy, prompts, self.size), jnp.zeros(prompts, jnp.int32))

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`."""
        queue, places = self._pushed(scene.memory["gains"], prompts, responses, scene.start)
        rivals = recalled(scene.start, jax.tree.map(lambda leaf: leaf[prompts], queue.responses))
        payoffs = compare_all(scene.game.oracle, key, prompts, responses, rivals)
        slots = jnp.arange(self.size, dtype=jnp.int32)
        present = (slots < queue.arrived[prompts][:, None])[:, None, :]
        itself = places[:, :, None] == slots
        payoffs = jnp.where(itself, VALUE[scene.game.scale], payoffs)
        met = present if self.own else present & ~itself
        met = jnp.broadcast_to(met, payoffs.shape).astype(payoffs.dtype)
        return jnp.sum(met * payoffs, -1) / jnp.sum(met, -1)

    def remember(self, memory: Queued, samples: Samples, policy: Any) -> Queued:
        """The queues after the responses of a fit arrived."""
        return self._pushed(memory, samples.prompts, samples.responses, policy)[0]

    def _pushed(self, queue: Queued, prompts: Array, responses: Any, policy: Any) -> tuple[Queued, Array]:
        """The queues after responses `[B, K, ...]` arrived, and the place of each, `size` where it is gone already."""
        kept = stored(policy, responses, queue.responses)
        count = jax.tree.leaves(kept)[0].shape[1]
        before = queue.arrived[prompts] + count * same_prompt_before(prompts)
        number = before[:, None] + jnp.arange(count, dtype=jnp.int32)
        arrived = jnp.asarray(queue.arrived).at[prompts].add(count)
        places = jnp.where(number >= arrived[prompts][:, None] - self.size, number % self.size, self.size)

        def push(room: Array, new: Array) -> Array:
            return jnp.asarray(room).at[prompts[:, None], places].set(new, mode="drop")

        return Queued(jax.tree.map(push, queue.responses, kept), arrived), places

"""How often each sampled response wins: estimates of `g(y) = sum_j w_j payoff(y, nu_j)`."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from nashpo.game import Game, check_enumerable
from nashpo.learners.blends import opponent_probs
from nashpo.learners.samplers import Scene, sample_blend
from nashpo.oracles.base import VALUE
from nashpo.struct import record, static
from nashpo.typing import Array, Key
from nashpo.validation.numbers import whole_number


class Gains(Protocol):
    """Estimates the gains of responses `[B, K, ...]`."""

    laws: ClassVar[frozenset[str] | None]
    """The laws of responses for which the estimate is one; None for any."""

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`."""
        ...


@record
class Fresh:
    """The mean payoff against `count` fresh samples of every opponent, the same ones for all responses of a prompt.

    Unbiased, whatever law the responses come from: `E g_hat(y) = sum_j w_j payoff(y, nu_j)`.
    """

    count: int = static(default=1)
    laws: ClassVar[frozenset[str] | None] = None

    def __post_init__(self) -> None:
        """At least one sample is needed."""
        whole_number("count", self.count, 1, of="Fresh")

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`."""
        return against_fresh([scene.game.oracle], self.count, key, prompts, responses, scene)


@record
class Listed:
    """The exact gains, from an oracle whose responses can be listed."""

    laws: ClassVar[frozenset[str] | None] = None

    def check(self, learner: Any, game: Game) -> None:
        """Refuse a game whose responses cannot be listed."""
        check_enumerable(game, "Sampled(gains=Listed())", "use Fresh()")

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`; a noisy oracle draws."""
        gains = scene.game.oracle.win_rates(opponent_probs(scene.stage.opponents, scene.slots), key)
        index = scene.slots["reference"].index(responses)
        return gains[prompts[:, None], index]


@record
class Batch:
    """The mean payoff against the other responses to the same prompt: those of the opponent, or of self-play.

    Leave-one-out, `g_hat(y_k) = sum_{l != k} payoff(y_k, y_l) / (K - 1)`, is unbiased for each response: the win rate
    in the batch of SPO (Swamy et al. 2024, arXiv:2401.04056), which is what losses with an error for each response need
    (`Pointwise`, `GPO`). With `own=True` a response meets itself as well and draws, `sum_l payoff(y_k, y_l) / K`, which
    shrinks each gain towards the value by `(K - 1) / K`. Losses that take responses of one batch from each other
    (`SquaredGains`, `PolicyGradient` with its baseline) need this one, because the two met each other: without oneself
    the gains count `K / (K - 1)` times. None is what the loss needs; `Sampled` refuses the other one.
    """

    own: bool | None = static(default=None)
    laws: ClassVar[frozenset[str] | None] = frozenset({"opponent", "start"})

    def check(self, learner: Any, game: Game) -> None:
        """Refuse replay: responses of an earlier fit would meet each other and not the opponent."""
        if learner.loss.reads == "gains" and learner.replay is not None:
            raise ValueError("Batch: replayed responses would meet earlier policies; use Fresh gains, or no replay.")

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`."""
        payoffs = compare_all(scene.game.oracle, key, prompts, responses, responses)
        count = payoffs.shape[-1]
        same = jnp.eye(count, dtype=bool)
        payoffs = jnp.where(same, VALUE[scene.game.scale] if self.own else 0.0, payoffs)
        return jnp.sum(payoffs, -1) / (count if self.own else count - 1)


def against_fresh(oracles: Sequence[Any], count: int, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
    """`sum_j w_j payoff_j(y, nu_j)` `[B, K]` from `count` fresh samples of every opponent of the stage.

    Opponent j is met before oracle j; where there are more opponents than oracles they start again with the first.

    >>> from nashpo.policies import Tabular
    >>> from nashpo.stage import Stage, against
    >>> game, now = Game.from_table([[0.5, 1.0], [0.0, 0.5]]), Tabular.from_probs([0.0, 1.0])
    >>> scene = Scene(now, {"now": now}, Stage({"now": 1.0}, against("now")), game)
    >>> against_fresh([game.oracle], 3, jax.random.key(0), jnp.zeros(1, int), jnp.array([[0, 1]]), scene).tolist()
    [[1.0, 0.5]]
    """
    total: Any = 0.0
    for index, opponent in enumerate(scene.stage.opponents):
        drawn, asked = jax.random.split(jax.random.fold_in(key, index))
        rivals = sample_blend(drawn, opponent.blend, prompts, count, scene)
        payoffs = compare_all(oracles[index % len(oracles)], asked, prompts, responses, rivals)
        total = total + opponent.weight * jnp.mean(payoffs, -1)
    return total


def compare_all(oracle: Any, key: Key, prompts: Array, left: Any, right: Any) -> Array:
    """Payoffs `[B, K, M]` of every left response `[B, K, ...]` against every right one `[B, M, ...]`.

    >>> import numpy as np
    >>> from nashpo.oracles import Table
    >>> table = Table(np.array([[[0.5, 1.0], [0.0, 0.5]]]))
    >>> compare_all(table, jax.random.key(0), np.array([0]), jnp.array([[0, 1]]), jnp.array([[1]])).tolist()
    [[[1.0], [0.5]]]
    """
    rows, columns = (jax.tree.leaves(side)[0].shape[1] for side in (left, right))
    lefts = jax.tree.map(lambda leaf: jnp.repeat(leaf, columns, axis=1), left)
    rights = jax.tree.map(lambda leaf: jnp.tile(leaf, (1, rows) + (1,) * (leaf.ndim - 2)), right)
    return jnp.asarray(oracle.compare(key, prompts, lefts, rights)).reshape(len(prompts), rows, columns)

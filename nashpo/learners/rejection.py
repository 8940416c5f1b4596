"""Responses of the optimal policy of a reward, from proposals of the reference: rejection sampling."""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.learners.samplers import Scene, pick
from nashpo.logspace import LOG_ZERO
from nashpo.policies.base import enumerable, listed_shape
from nashpo.policies.draws import draw
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar
from nashpo.validation.numbers import whole_number
from nashpo.validation.wording import numeric

_SHORT = 0.01
"""How likely it may be that fewer proposals are accepted than are needed."""


@record
class Rejection:
    """Responses of `pi_r = reference exp(rewards / beta) / Z`: proposals of the reference, accepted with probability
    `exp((r(y) - max r) / beta)`.

    Statistical rejection sampling (Liu et al. 2023, arXiv:2309.06657, algorithm 1), whose losses are `SigmoidNorm` and
    `HingeNorm`. `rewards [X, A]` number the responses, which must be listed. With `maximum="all"` the largest reward is
    that of all responses, and accepted ones have exactly the law above; with `"pool"` it is that of the proposals, as
    published, which is biased towards the reference, the more the fewer they are.

    `proposals` are drawn for each prompt, no more. If too few are accepted the missing ones are drawn among all of them
    with weights `exp(r / beta)`; a run in which that happens in more than 1% of the draws is refused.

    Raises `ValueError` for rewards that do not fit, and for too few proposals, with the acceptance rate.

    >>> import nashpo
    >>> game = nashpo.Game.from_table(np.full((4, 4), 0.5))
    >>> from nashpo.learners import Sampled
    >>> from nashpo.learners.losses import SigmoidNorm
    >>> sampler = Rejection(rewards=np.log([[1.0, 0.001, 0.001, 0.001]]), beta=1.0, proposals=4)
    >>> sampler.check(Sampled(0.1, loss=SigmoidNorm(), sampler=sampler), game)
    Traceback (most recent call last):
        ...
    ValueError: Rejection(proposals=4): the acceptance rate of prompt 0 is 0.251, and 2 are needed, which fails in \
more than 1% of the draws; take at least 24 proposals, or a larger beta.
    """

    rewards: Array
    beta: Scalar
    proposals: int = static(default=64)
    maximum: Literal["all", "pool"] = static(default="all")
    law: ClassVar[str] = "rejection"

    def check(self, learner: Any, game: Game) -> None:
        """Refuse rewards that do not fit, and too few proposals."""
        whole_number("proposals", self.proposals, 1, of="Rejection")
        shape, rewards = tuple(np.shape(self.rewards)), numeric(self.rewards, None, "rewards")
        if not enumerable(game.reference) or shape != listed_shape(game.reference):
            raise ValueError(f"Rejection(rewards of shape {shape}): give one to each response of each prompt, [X, A].")
        if not np.all(np.isfinite(rewards)):
            where = tuple(int(place) for place in np.argwhere(~np.isfinite(rewards))[0])
            raise ValueError(
                f"Rejection: rewards[{where[0]}, {where[1]}] = {rewards[where]}; rewards are finite numbers."
            )
        if self.maximum not in ("all", "pool"):
            raise ValueError(f'Rejection(maximum={self.maximum!r}): the options are "all" and "pool".')
        if not np.all(numeric(self.beta, None, "beta") > 0):
            raise ValueError(f"Rejection(beta={self.beta}): must be positive; rewards are divided by it.")
        if self.maximum == "all":
            self._check_proposals(learner.responses, acceptance(game.reference.log_probs(), rewards, self.beta))
        elif self.proposals < learner.responses:
            raise ValueError(f"Rejection(proposals={self.proposals}): {learner.responses} responses are needed.")

    def draw(self, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
        """`count` responses to each prompt."""
        proposed, tossed, filled = jax.random.split(key, 3)
        reference = scene.slots["reference"]
        responses = reference.sample(proposed, prompts, self.proposals)
        scores = (jnp.asarray(self.rewards) / self.beta)[prompts]
        allowed = jnp.where(reference.log_probs()[prompts] > 0.5 * LOG_ZERO, scores, -jnp.inf)
        chosen = jnp.take_along_axis(scores, reference.index(responses), -1)
        top = jnp.max(allowed if self.maximum == "all" else chosen, -1, keepdims=True)
        accepted = jnp.log(jax.random.uniform(tossed, chosen.shape, chosen.dtype)) < chosen - top
        order = jnp.argsort(~accepted, -1, stable=True)[:, :count]
        spare = draw(filled, chosen, count)
        enough = jnp.arange(count) < jnp.sum(accepted, -1, keepdims=True)
        places = jnp.where(enough, order, spare.astype(order.dtype))
        return pick(responses, places)

    def _check_proposals(self, needed: int, rates: np.ndarray) -> None:
        """Refuse so few that more than one draw in a hundred falls short."""
        from scipy.special import bdtr

        worst = int(np.argmin(rates))
        if bdtr(needed - 1, self.proposals, rates[worst]) <= _SHORT and self.proposals >= needed:
            return
        enough = needed
        while bdtr(needed - 1, enough, rates[worst]) > _SHORT and enough < 1_000_000:
            enough += max(1, enough // 100)
        raise ValueError(
            f"Rejection(proposals={self.proposals}): the acceptance rate of prompt {worst} is {rates[worst]:.3g}, and "
            f"{needed} are needed, which fails in more than 1% of the draws; take at least {enough} proposals, or a "
            "larger beta."
        )


def acceptance(log_reference: Array, rewards: Array, beta: Scalar) -> np.ndarray:
    """`E_reference exp((r - max r) / beta)`, `[X]`: the share of proposals that are accepted.

    >>> acceptance(np.log([[0.5, 0.5]]), np.log([[1.0, 0.5]]), 1.0).round(6).tolist()
    [0.75]
    """
    log = np.asarray(log_reference, float)
    scores = np.asarray(rewards, float) / np.asarray(beta, float)
    top = np.max(np.where(log > 0.5 * LOG_ZERO, scores, -np.inf), -1, keepdims=True)
    return np.sum(np.exp(log) * np.exp(np.minimum(scores - top, 0.0)), -1)

"""A function that judges pairs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.oracles.base import VALUE
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale
from nashpo.validation.wording import TOLERANCE

_ROUGH = 1e-2
"""The tolerance of precisions below float32."""


@record
class Judge:
    """Comparisons by a function, of responses that need not be listed.

        payoff = function(prompts [B], left [B, K, ...], right [B, K, ...]), [B, K]
        symmetrise:  (P(left, right) + 1 - P(right, left)) / 2,   for scores  (S(left, right) - S(right, left)) / 2

    The function is part of the compiled program: it is written with `jax.numpy`, two judges are one where it is equal,
    and 0/1 verdicts count as probabilities. Deviations of rounding are put right. What else leaves [0, 1], and a score
    that is not finite, becomes NaN: no learner goes on with it. A judge cannot be enumerated: a game of it has no exact
    duality gap. Where answers can be listed, `tabulate` writes the table out.

    Raises `ValueError` for a result of another shape than `[B, K]`.

    >>> longer = Judge(lambda prompts, left, right: left.sum(-1) / (left.sum(-1) + right.sum(-1)))
    >>> pair = np.array([[[1.0, 2.0]]]), np.array([[[0.0, 1.0]]])
    >>> longer.compare(None, np.array([0]), *pair).tolist()
    [[0.75]]
    """

    function: Callable[[Any, Any, Any], Any] = static()
    scale: Scale = static(default="probability")
    symmetrise: bool = static(default=False)
    """Whether both orders are asked and averaged, twice the work; a judge that prefers what it sees first needs it."""

    @property
    def value(self) -> float:
        """What either player gets at equilibrium: 1/2 for win probabilities, 0 for scores."""
        return VALUE[self.scale]

    def check(self) -> None:
        """Raise `ValueError` for what no game can be made of; `probe` asks about responses."""
        if self.scale not in VALUE:
            raise ValueError(f'scale={self.scale!r}: a judge pays on the scale "probability" or "score".')
        if not callable(self.function):
            raise ValueError(
                f"function={self.function!r}: a judge is a function of prompts [B], left and right [B, K, ...]."
            )

    def probe(self, prompts: Array, left: Array, right: Array) -> None:
        """Raise `ValueError` where comparisons of `left` and `right` `[B, K, ...]` break what a game relies on.

        A payoff that is no payoff, or that does not sum to 1 (scores: 0) with the one of the other order.

        >>> Judge(lambda prompts, left, right: left * 1.0).probe(np.array([0]), np.array([[2]]), np.array([[3]]))
        Traceback (most recent call last):
            ...
        ValueError: the judge says 2 of row 0, pair 0: win probabilities lie between 0 and 1.
        """
        self.check()
        raw = np.asarray(self._ask(prompts, left, right))
        payoff = np.asarray(self.compare(None, prompts, left, right))
        wrong = np.argwhere(~np.isfinite(payoff))
        if len(wrong):
            row, pair = (int(i) for i in wrong[0])
            rule = "win probabilities lie between 0 and 1" if self.scale == "probability" else "scores are finite"
            found = raw if not self._sound(raw)[row, pair] else np.asarray(self._ask(prompts, right, left))
            raise ValueError(f"the judge says {found[row, pair]:g} of row {row}, pair {pair}: {rule}.")
        total = payoff + np.asarray(self.compare(None, prompts, right, left))
        wrong = np.argwhere(np.abs(total - 2 * self.value) > 10 * _tolerance(payoff.dtype))
        if len(wrong):
            row, pair = (int(i) for i in wrong[0])
            raise ValueError(
                f"the judge's answers in both orders sum to {total[row, pair]:g} in row {row}, pair {pair}, instead of "
                f"{2 * self.value:g}: it minds the order, set symmetrise=True."
            )

    def compare(self, key: Key | None, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        payoff = self._judged(prompts, left, right)
        if not self.symmetrise:
            return payoff
        return self.value + (payoff - self._judged(prompts, right, left)) / 2

    def tabulate(self, prompts: int, answers: Any) -> Array:
        """The payoffs `[X, A, A]` of all pairs of `answers`, one row of the table at a time.

        >>> from nashpo.policies import Answers
        >>> larger = Judge(lambda prompts, left, right: 0.5 + 0.25 * (left - right)[..., 0])
        >>> larger.tabulate(1, Answers(vocabulary=3, length=1)).tolist()
        [[[0.5, 0.25, 0.0], [0.75, 0.5, 0.25], [1.0, 0.75, 0.5]]]
        """
        rows = jnp.arange(prompts)
        every = answers.tokens()
        right = jnp.broadcast_to(every, (prompts, *every.shape))

        def against_all(one: jax.Array) -> Array:
            return self.compare(None, rows, jnp.broadcast_to(one, right.shape), right)

        return jnp.moveaxis(jax.lax.map(against_all, every), 0, 1)

    def _judged(self, prompts: Array, left: Array, right: Array) -> Array:
        """What the function says, NaN where it is no payoff."""
        said = self._ask(prompts, left, right)
        sound = self._sound(said)
        if self.scale == "probability":
            said = jnp.clip(said, 0.0, 1.0)
        return jnp.where(sound, said, jnp.asarray(jnp.nan, said.dtype))

    def _sound(self, said: Array) -> Array:
        """Whether a number is a payoff up to rounding."""
        if self.scale == "score":
            return jnp.isfinite(said)
        allowed = _tolerance(said.dtype)
        return (said >= -allowed) & (said <= 1 + allowed)

    def _ask(self, prompts: Array, left: Array, right: Array) -> Array:
        """The function's result as floating-point numbers `[B, K]`."""
        said = jnp.asarray(self.function(prompts, left, right))
        if said.shape != np.shape(left)[:2]:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise ValueError(
                f"the judge {name} returns shape {said.shape} for left of shape {np.shape(left)} and right of shape "
                f"{np.shape(right)}: it must return one payoff for each pair, [B, K] = {np.shape(left)[:2]}."
            )
        return said if jnp.issubdtype(said.dtype, jnp.floating) else said.astype(float)


def _tolerance(dtype: Any) -> float:
    return TOLERANCE.get(np.dtype(dtype), _ROUGH)

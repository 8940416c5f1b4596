"""Preference games of one against many at once."""

import jax
import numpy as np

from nashpo.logspace import namespace
from nashpo.players.games import check_players, meeting_weights
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular
from nashpo.struct import record
from nashpo.typing import Array, Scalar
from nashpo.validation import validate_distribution
from nashpo.validation.numbers import is_number
from nashpo.validation.wording import cell, numeric


@record
class TensorGame:
    """One response against n - 1 others at once: `payoff[y_1; y_2, ..., y_n]`, the share that `y_1` wins.

    The one-versus-many oracle of MNPO's objective (arXiv:2509.23102, equation 7): symmetric in the others, and
    the n shares sum to one, so every player gets 1/n in a symmetric equilibrium without KL penalty. For n = 2 it is
    the preference table.

    >>> TensorGame.from_rewards([0.0, np.log(2.0)], players=3).payoff[1, 0, 0].round(6).item()
    0.5
    """

    payoff: Array
    """`[A, ..., A]`, one axis a player."""
    reference: EnumerablePolicy
    beta: Scalar

    @classmethod
    def from_tensor(cls, payoff: Array, beta: Scalar = 0.0, reference: Array | None = None) -> "TensorGame":
        """The game of a tensor `[A] * n`; `reference` are probabilities `[A]`, uniform if None.

        Raises `ValueError` for a tensor that is not symmetric in the opponents, or for shares that are negative or do
        not sum to one.
        """
        tensor = np.asarray(numeric(payoff, None, "payoff"))
        if tensor.ndim < 2 or len(set(tensor.shape)) != 1 or 0 in tensor.shape:
            raise ValueError(
                f"payoff has shape {tensor.shape}, but must be [responses] * players: equal axes, 2 or more."
            )
        shares = np.sum([np.moveaxis(tensor, 0, player) for player in range(tensor.ndim)], axis=0)
        for axis in range(2, tensor.ndim):
            _require_equal(tensor, np.swapaxes(tensor, 1, axis), "must not depend on the order of the opponents")
        _require_equal(shares, np.ones_like(tensor), "and the other players' shares must sum to 1")
        lost = np.argwhere(tensor < 0)
        if len(lost):
            raise ValueError(f"{cell(tuple(lost[0]), 'payoff')} is {tensor[tuple(lost[0])]:g}: a share is at least 0.")
        size = tensor.shape[0]
        probs = np.full(size, 1.0 / size) if reference is None else reference
        checked = validate_distribution(probs, "reference", (1, size))
        if not is_number(beta, 0):
            raise ValueError(f"beta={beta}: the weight of the KL penalty must be a finite number that is at least 0.")
        return cls(payoff if isinstance(payoff, jax.Array) else tensor, Tabular.from_probs(checked), beta)

    @classmethod
    def from_rewards(
        cls, rewards: Array, players: int, beta: Scalar = 0.0, reference: Array | None = None
    ) -> "TensorGame":
        """Plackett-Luce: `payoff = exp(R(y_1)) / sum_k exp(R(y_k))`, of rewards `[A]`.

        A share grows with the own reward whatever the others play, so without KL penalty the only equilibrium
        is the highest reward. The choice model that arXiv:2509.23102 motivates its objective with.

        Raises `ValueError` for rewards that are no finite numbers `[A]`, or fewer than two players.
        """
        values = numeric(rewards, None, "rewards")
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
            raise ValueError(f"rewards has shape {values.shape}, but must be finite numbers, one for each response.")
        check_players(players)
        values = values.astype(float)
        axes = [values.reshape([-1 if axis == player else 1 for axis in range(players)]) for player in range(players)]
        with np.errstate(over="ignore"):  # rewards so far apart that the difference is infinite: a share of zero
            against = sum((np.exp(other - axes[0]) for other in axes), np.zeros(()))
        return cls.from_tensor(1.0 / against, beta, reference)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n, 1, A)`."""
        return self.payoff.ndim, 1, self.payoff.shape[0]

    @property
    def prompts(self) -> Array:
        """The weight `[1]` of the only prompt."""
        return np.ones(1, self.payoff.dtype)

    @property
    def weights(self) -> Array:
        """The average of the others, `[n, n]`."""
        return meeting_weights(self.payoff.ndim, None)

    def payoffs(self, profile: Array) -> Array:
        """Expected share `[n, 1, A]` of each player's responses against the others' probabilities `[n, 1, A]`."""
        xp = namespace(self.payoff, profile)
        shares = []
        for player in range(self.payoff.ndim):
            expected = self.payoff
            for other in range(self.payoff.ndim):
                expected = expected if other == player else xp.matmul(expected, profile[other, 0])
            shares.append(expected[None])
        return xp.stack(shares)


def _require_equal(left: np.ndarray, right: np.ndarray, rule: str) -> None:
    """Raise for the first profile of responses at which a tensor breaks a rule."""
    wrong = np.argwhere(~(np.abs(left - right) <= 1e-6))
    if len(wrong):
        entry = tuple(wrong[0])
        raise ValueError(f"{cell(entry, 'payoff')} {rule}: {left[entry]:.6g} is not {right[entry]:.6g}.")

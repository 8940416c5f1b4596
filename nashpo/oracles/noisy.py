"""Win rates from a few votes, some of them wrong."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import matvec, namespace
from nashpo.oracles.base import Enumerable, EnumerableOracle, require_oracles
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar, Scale
from nashpo.validation.wording import numeric


@record
class Noisy(Enumerable):
    """Bernoulli votes on every comparison, each one flipped with probability `flip`.

        P' = (1 - 2 flip) P + flip,     P_hat ~ Binomial(votes, P') / votes,     answer (P_hat - flip) / (1 - 2 flip)

    The last step is the unbiased correction of rDPO (Chowdhury et al. 2024, arXiv:2403.00409, section 3); with
    `corrected=False` the answer is `P_hat`. An answer to i against j is one minus the answer to j against i, so
    every draw is a constant-sum table; a corrected draw may leave [0, 1]. Whoever passes a key draws afresh:
    `win_rates(q, key)` draws the whole table, `compare(key, ...)` votes on each comparison, i against itself is
    1/2. A draw costs O(votes) passes. Without a key the answer is the expectation, `P` where corrected and `P'`
    where not, so that the duality gap of a noisy game is the exact one.

    Raises `ValueError` (when a game is made of it) for an oracle that pays scores.

    >>> from nashpo.oracles import Table
    >>> judge = Noisy(Table(np.array([[[0.5, 0.9], [0.1, 0.5]]])), votes=5, flip=0.2)
    >>> judge.win_rates(np.array([[0.0, 1.0]])).tolist()
    [[0.9, 0.5]]
    >>> round(float(judge.win_rates(np.array([[0.0, 1.0]]), jax.random.key(0))[0, 1]), 6)
    0.5
    """

    oracle: EnumerableOracle
    votes: Scalar = 1
    """How many votes a comparison gets."""
    flip: Scalar = 0.0
    """The probability, below 1/2, that a vote is turned round."""
    corrected: bool = static(default=True)

    @property
    def scale(self) -> Scale:
        """`"probability"`."""
        if self.oracle.scale != "probability":
            raise ValueError(
                f"{type(self.oracle).__name__} pays scores, but votes are drawn from win probabilities: give it "
                'scale="probability".'
            )
        return "probability"

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        return self.oracle.shape

    @property
    def answers(self) -> Any:
        """What numbers the responses of an oracle over token sequences; absent where the oracle has no such thing."""
        return self.oracle.answers  # type: ignore[attr-defined]  an AttributeError says that there is none

    def check(self) -> None:
        """Raise `ValueError` for votes, flips or an oracle that no game can be made of."""
        require_oracles([self.oracle], "Noisy", listed=True)
        _ = self.scale
        votes, flip = numeric(self.votes, None, "votes"), numeric(self.flip, None, "flip")
        if votes.ndim or not (votes >= 1 and votes == np.floor(votes) and np.isfinite(votes)):
            raise ValueError(f"votes={self.votes}: every comparison needs a whole number of votes, at least 1.")
        if flip.ndim or not 0 <= flip < 0.5:
            raise ValueError(f"flip={self.flip}: must be at least 0 and below 1/2, where votes say nothing.")
        getattr(self.oracle, "check", lambda: None)()

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` against an opponent's probabilities `[X, A]`; by fresh votes if given a key."""
        if key is not None:
            return matvec(self.draw(key), opponent)
        rates = self.oracle.win_rates(opponent)
        if self.corrected:
            return rates
        return self._flipped(rates, namespace(rates, opponent).sum(opponent, axis=-1, keepdims=True))

    def table(self) -> Array:
        """The expectation of every pairwise payoff, `[X, A, A]`."""
        table = self.oracle.table()
        return table if self.corrected else self._flipped(table, 1.0)

    def draw(self, key: Key) -> Array:
        """One table of fresh votes, `[X, A, A]`, constant-sum."""
        table = jnp.asarray(self.oracle.table())
        share = self._vote(key, table)
        above = jnp.triu(jnp.ones(table.shape[-2:], bool), 1)
        mirrored = 1.0 - jnp.swapaxes(share, -1, -2)
        return jnp.where(above, share, jnp.where(above.T, mirrored, jnp.asarray(0.5, table.dtype)))

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """Votes on response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`, as a share `[B, K]`."""
        asked, voted = jax.random.split(key)
        payoff = self.oracle.compare(asked, prompts, left, right)
        same = jnp.equal(left, right).reshape(*payoff.shape, -1).all(-1)
        return jnp.where(same, jnp.asarray(0.5, payoff.dtype), self._vote(voted, payoff))

    def _vote(self, key: Key, probabilities: Array) -> Array:
        """Shares of votes for win probabilities, corrected if so set."""
        P = jnp.asarray(probabilities)
        flip = jnp.asarray(self.flip, P.dtype)
        share = _share(key, self._flipped(P, 1.0), jnp.asarray(self.votes, jnp.int32))
        return (share - flip) / (1 - 2 * flip) if self.corrected else share

    def _flipped(self, rates: Array, total: Array | float) -> Array:
        """`(1 - 2 flip) P + flip`, for rates against an opponent whose weights sum to `total`."""
        return (1 - 2 * self.flip) * rates + self.flip * total


@jax.jit
def _share(key: Key, chance: Array, votes: Array) -> Array:
    """The share of `votes` Bernoulli votes with the given chances."""

    def vote(index: Array, count: Array) -> Array:
        return count + (jax.random.uniform(jax.random.fold_in(key, index), chance.shape, chance.dtype) < chance)

    return jax.lax.fori_loop(0, votes, vote, jnp.zeros_like(chance)) / votes.astype(chance.dtype)

"""Every answer of a small vocabulary, numbered."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import namespace
from nashpo.typing import Array
from nashpo.validation.numbers import is_whole

LARGEST = 2**20
"""At most so many answers are numbered."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The token sequences that answer a prompt; structure, not data: hashable, and equal where its numbers are.

        end=False: every sequence of `length` tokens,                            A = V^L
        end=True:  every sequence of 0 to `length` tokens, closed by token V,    A = 1 + V + ... + V^L

    Tokens are 0 to V - 1 and, with `end`, the end token V. An answer is held as int32 `[L]`: the end token fills what
    is left; an answer of full length needs none. Answers are numbered by length, then in the order of a dictionary.
    Tokens after the end are ignored. An answer with any other token has the number -1, and a number that no answer has
    is spelled -1 throughout.

    Raises `ValueError` (when it is first used) for less than one token or position.

    >>> Answers(vocabulary=2, length=2, end=True).tokens().tolist()
    [[2, 2], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]]
    """

    vocabulary: int
    """V, how many tokens there are, the end token apart."""
    length: int
    """L, how many tokens an answer has at most."""
    end: bool = False
    """Whether an answer may be shorter."""

    def check(self) -> None:
        """Raise `ValueError` for numbers that leave nothing to say.

        >>> Answers(vocabulary=0, length=2).check()
        Traceback (most recent call last):
            ...
        ValueError: vocabulary=0: answers need a whole number of tokens, at least 1.
        """
        for name, value, what in (("vocabulary", self.vocabulary, "tokens"), ("length", self.length, "positions")):
            if not is_whole(value, 1):
                raise ValueError(f"{name}={value!r}: answers need a whole number of {what}, at least 1.")

    @property
    def symbols(self) -> int:
        """How many next tokens a policy chooses between: V, and one more where there is an end token."""
        self.check()
        return self.vocabulary + bool(self.end)

    @property
    def count(self) -> int:
        """A, how many answers there are; exact, however many."""
        self.check()
        lengths = range(self.length + 1) if self.end else (self.length,)
        return sum(self.vocabulary**length for length in lengths)

    def tokens(self, index: Array | None = None) -> Array:
        """The answers `[..., L]` of numbers `[...]`, in the numbers' array library; all of them `[A, L]` if None.

        Raises `ValueError` for more than 2^20 answers.

        >>> Answers(vocabulary=3, length=2).tokens(np.array([5, 9])).tolist()
        [[1, 2], [-1, -1]]
        """
        self.check_listed()
        if index is None:
            return jnp.asarray(self._spell(np.arange(self.count)))
        return _spell(self, index) if isinstance(index, jax.Array) else self._spell(np.asarray(index))

    def index(self, tokens: Array) -> Array:
        """The numbers `[...]` of answers `[..., L]`, int32; -1 for what is none.

        Raises `ValueError` for rows that are not L tokens long, or for more than 2^20 answers.

        >>> Answers(vocabulary=3, length=2, end=True).index(np.array([[0, 2], [3, 0], [0, 7]])).tolist()
        [6, 0, -1]
        """
        self.check_listed()
        return _count(self, tokens) if isinstance(tokens, jax.Array) else self._count(np.asarray(tokens))

    def inside(self, tokens: Array) -> Array:
        """Which positions of `[..., L]` tokens come before the end, `[..., L]`.

        >>> Answers(vocabulary=2, length=3, end=True).inside(np.array([1, 2, 0])).tolist()
        [True, False, False]
        """
        xp = namespace(tokens)
        shape = np.shape(tokens)
        if not shape or shape[-1] != self.length:
            raise ValueError(f"tokens has shape {shape}, but every answer has {self.length} positions: give [..., L].")
        if not self.end:
            return xp.ones(shape, bool)
        return xp.cumsum(xp.asarray(tokens) == self.vocabulary, axis=-1) == 0

    def valid(self, tokens: Array) -> Array:
        """Whether every token before the end is one of the vocabulary, `[...]`."""
        xp = namespace(tokens)
        known = (xp.asarray(tokens) >= 0) & (xp.asarray(tokens) < self.vocabulary)
        return xp.all(known | ~self.inside(tokens), axis=-1)

    def lengths(self, tokens: Array | None = None) -> Array:
        """How many tokens `[...]` come before the end of `[..., L]` tokens; of every answer, `[A]`, if None.

        >>> Answers(vocabulary=2, length=2, end=True).lengths().tolist()
        [0, 1, 1, 2, 2, 2, 2]
        """
        inside = self.inside(self.tokens() if tokens is None else tokens)
        return namespace(inside).sum(inside, axis=-1).astype(np.int32)

    def uniform(self) -> np.ndarray:
        """Log-probabilities `[A]` where every next token is equally likely: where an untrained network starts.

        >>> np.exp(Answers(vocabulary=1, length=2, end=True).uniform()).round(3).tolist()
        [0.5, 0.25, 0.25]
        """
        lengths = np.asarray(self.lengths())
        return -np.log(self.symbols) * np.minimum(lengths + bool(self.end), self.length)

    def names(self, letters: Sequence[str] = "abcdefghijklmnopqrstuvwxyz") -> tuple[str, ...]:
        """A name for every answer, letter by letter; the empty answer is "-".

        Raises `ValueError` for fewer letters than tokens.

        >>> Answers(vocabulary=2, length=2, end=True).names()
        ('-', 'a', 'b', 'aa', 'ab', 'ba', 'bb')
        """
        if len(letters) < self.vocabulary:
            raise ValueError(f"letters: {len(letters)} for {self.vocabulary} tokens: give one for each token.")
        rows, lengths = np.asarray(self.tokens()), np.asarray(self.lengths())
        words = ("".join(str(letters[t]) for t in row[:length]) for row, length in zip(rows, lengths, strict=True))
        return tuple(word or "-" for word in words)

    @property
    def listed(self) -> bool:
        """Whether there are no more answers than a table holds."""
        return self.count <= LARGEST

    def check_listed(self) -> None:
        """Raise `ValueError` for more answers than a table holds."""
        if not self.listed:
            raise ValueError(
                f"vocabulary={self.vocabulary}, length={self.length} make {self.count:,} answers, but at most "
                f"{LARGEST:,} are listed: shorten them, or use what needs no list (sample, log_prob, compare)."
            )

    def _spell(self, index: Array) -> Array:
        """The tokens `[..., L]` of numbers `[...]`: how long, how many before it are as long, and their digits."""
        xp = namespace(index)
        numbers = index.astype(np.int32)[..., None]
        powers = self.vocabulary ** np.arange(self.length)
        first = np.append(0, np.cumsum(powers)).astype(np.int32)
        length = xp.sum(numbers >= first[1:], axis=-1, keepdims=True) if self.end else np.array([self.length])
        place = length - 1 - np.arange(self.length)
        rank = numbers - xp.asarray(first)[length] if self.end else numbers
        digits = rank // xp.asarray(powers.astype(np.int32))[xp.maximum(place, 0)] % self.vocabulary
        tokens = xp.where(place >= 0, digits, self.vocabulary)
        return xp.where((numbers >= 0) & (numbers < self.count), tokens, -1).astype(np.int32)

    def _count(self, tokens: Array) -> Array:
        """The numbers `[...]` of tokens `[..., L]`; with an end, digits count from 1, so that none is left out."""
        inside, xp = self.inside(tokens), namespace(tokens)
        number = xp.zeros(tokens.shape[:-1], np.int32)
        for t in range(self.length):
            digit = tokens[..., t].astype(np.int32) + bool(self.end)
            number = xp.where(inside[..., t], number * self.vocabulary + digit, number)
        return xp.where(self.valid(tokens), number, -1).astype(np.int32)


_spell = jax.jit(Answers._spell, static_argnums=0)
_count = jax.jit(Answers._count, static_argnums=0)

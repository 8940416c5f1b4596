"""Rows of tokens: contexts are padded on the left and completions on the right, both with -1."""

import numpy as np

from nashpo.logspace import namespace
from nashpo.typing import Array


def positions(tokens: Array) -> Array:
    """The place `[..., T]` of every token among those of its row, -1 where the row holds -1; int32.

    >>> positions(np.array([[-1, -1, 7, 8]])).tolist()
    [[-1, -1, 0, 1]]
    """
    xp = namespace(tokens)
    there = tokens >= 0
    return xp.where(there, xp.cumsum(there, axis=-1, dtype=np.int32) - 1, -1)


def lengths(tokens: Array) -> Array:
    """How many tokens there are in every row `[..., T]`, the end token among them; int32 `[...]`.

    >>> lengths(np.array([[[5, 2, -1], [5, 5, 5]]])).tolist()
    [[2, 3]]
    """
    return namespace(tokens).sum(tokens >= 0, axis=-1, dtype=np.int32)


def finished(tokens: Array, end: tuple[int, ...]) -> Array:
    """Whether each row `[..., T]` holds one of the end tokens; the mean is the share that was not cut off.

    >>> finished(np.array([[[5, 2, -1], [5, 5, 5]]]), end=(2, 3)).tolist()
    [[True, False]]
    """
    xp = namespace(tokens)
    return xp.isin(tokens, np.asarray(end, np.int32)).any(axis=-1)


def bucket(length: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is not below `length`.

    Arrays cut to such lengths take few compiled programs, and a third of a row is padding at worst.

    >>> [bucket(length) for length in (1, 5, 8, 9, 100)]
    [1, 6, 8, 12, 128]
    """
    power = 1 << max(length - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= length else power


def cut_contexts(contexts: Array) -> Array:
    """Contexts `[B, P]` without columns of padding on the left, as far as `bucket` of the longest row.

    >>> cut_contexts(np.array([[-1, -1, -1, 7], [-1, -1, 5, 6]])).tolist()
    [[-1, 7], [5, 6]]
    """
    width = bucket(int(np.max(lengths(contexts), initial=1)))
    return contexts[:, max(contexts.shape[-1] - width, 0) :]


def cut_responses(responses: Array) -> Array:
    """Completions `[B, K, T]` cut to half of T, a quarter, ... as long as that loses padding only.

    >>> cut_responses(np.array([[[4, 2, -1, -1, -1], [3, 4, 2, -1, -1]]])).tolist()
    [[[4, 2, -1], [3, 4, 2]]]
    """
    longest, length = int(np.max(lengths(responses), initial=1)), responses.shape[-1]
    while length > 1 and (length + 1) // 2 >= longest:
        length = (length + 1) // 2
    return responses[..., :length]


def padded_to(values: Array, length: int) -> Array:
    """Values `[..., T']` with zeros up to `[..., length]`.

    >>> padded_to(np.ones((1, 2)), 3).tolist()
    [[1.0, 1.0, 0.0]]
    """
    missing = [(0, 0)] * (values.ndim - 1) + [(0, length - values.shape[-1])]
    return namespace(values).pad(values, missing)

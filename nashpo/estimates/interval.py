"""The uncertainty of a mean, by resampling."""

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.preferences.rows import as_key
from nashpo.typing import Array, Key
from nashpo.validation.numbers import is_positive, is_whole


def bootstrap_interval(
    key: Key | int, values: Array, *, confidence: float = 0.9, resamples: int = 1000
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of independent `values` `[N]`.

        (quantile((1 - confidence) / 2), quantile((1 + confidence) / 2)) of the means of N values drawn with replacement

    Efron, "Better bootstrap confidence intervals" (1987), Journal of the American Statistical Association 82. It is too
    short for few values (at 90% it held the mean of 4 normal ones in 75% of the cases, of 16 in 87%) and where rare
    values matter: one that is 0 but for a share of 0.003 is 0 in a fifth of all samples of 512, and so is the interval,
    whatever the confidence. Computed in JAX, in the precision of `values` that JAX allows.

    Raises `ValueError` for fewer than two values, one that is not finite, a confidence outside (0, 1) or less than two
    resamples.

    >>> low, high = bootstrap_interval(jax.random.key(0), np.arange(100.0))
    >>> 44 < low < 46 and 53 < high < 55
    True
    """
    if np.ndim(values) != 1 or len(values) < 2:
        raise ValueError(f"values has shape {np.shape(values)}: an interval needs a list [N] of at least two numbers.")
    if not np.all(np.isfinite(values)):
        raise ValueError("values: a mean has an interval where all of them are finite numbers.")
    if not is_positive(confidence) or confidence >= 1:
        raise ValueError(f"confidence={confidence}: must lie between 0 and 1, for example 0.9.")
    if not is_whole(resamples, 2):
        raise ValueError(f"resamples={resamples}: draw at least 2, better 1000.")
    means = np.asarray(_means(as_key(key), jnp.asarray(values), jnp.arange(resamples)))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@jax.jit
def _means(key: Key, values: Array, numbers: Array) -> Array:
    """The mean of `values` drawn with replacement, once for each number."""

    def mean(number: Array) -> Array:
        drawn = jax.random.randint(jax.random.fold_in(key, number), values.shape, 0, len(values))
        return jnp.mean(values[drawn])

    return jax.lax.map(mean, numbers, batch_size=64)

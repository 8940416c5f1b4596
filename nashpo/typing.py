"""Names for what goes in and out.

Axes: `X` prompts, `A` responses, `B` prompt batch, `K` responses per prompt, `T` entries of a trace.
"""

from typing import Any, Literal, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
Scalar: TypeAlias = float | jax.Array | np.ndarray
Key: TypeAlias = jax.Array
Scale: TypeAlias = Literal["probability", "score"]
Schedule: TypeAlias = Any
"""A step size: a scalar, or a callable `(beta, step) -> scalar`."""

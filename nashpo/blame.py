"""Which number of a failed step went wrong first."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.typing import Key

BAD_ANSWERS = "bad_answers"
"""The diagnostic of a learner that counts the payoffs that are no numbers."""
BAD_PARAMETER = "bad_parameter"
"""The diagnostic of a learner that says which parameter has a gradient that is not finite, -1 if none has."""


def blame(game: Any, solver: Any, key: Key, state: Any, first: int, failed: int) -> str:
    """In words, what was not finite in step `failed` of the run that stood at `state` after `first` steps.

    The steps are taken once more. A learner's integer diagnostics come before the state's own numbers.

    >>> import nashpo, numpy as np
    >>> game = nashpo.Game.from_table(np.array([[0.5, 0.9], [0.1, 0.5]]), beta=0.1)
    >>> solver = nashpo.run.as_solver(nashpo.solvers.SPO(eta=float("inf")))
    >>> blame(game, solver, jax.random.key(0), solver.init(game, game.reference), 0, 0)
    "slots['now'].logits is not finite"
    """
    game = jax.tree.map(jnp.asarray, game)
    one = jax.jit(lambda state, step: solver.step(game, state, jax.random.fold_in(key, step)))
    info: dict[str, Any] = {}
    for step in range(first, failed + 1):
        state, info = one(state, step)
    found = {name: np.asarray(value) for name, value in info.items()}
    for name, value in found.items():
        if name.endswith(BAD_ANSWERS) and value > 0:
            return f"{int(value)} of the oracle's answers were not finite, or outside [0, 1]"
    for name, value in found.items():
        if name.endswith(BAD_PARAMETER) and value >= 0:
            paths = parameter_paths(solver.last(state).params)
            return f"the gradient in the parameter {paths[int(value)]} is not finite"
    leaves = jax.tree_util.tree_leaves_with_path(state)
    wrong = [path for path, leaf in leaves if not _finite(leaf)]
    return f"{_words(wrong[0])} is not finite" if wrong else "the step is finite when it is taken again"


def first_bad(gradient: Any) -> jax.Array:
    """The number of the first leaf that is not finite, -1 if all are.

    >>> int(first_bad({"a": jnp.ones(2), "b": jnp.array([0.0, jnp.nan])}))
    1
    """
    bad = jnp.stack([~jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient)])
    return jnp.where(jnp.any(bad), jnp.argmax(bad), -1).astype(jnp.int32)


def parameter_paths(params: Any) -> list[str]:
    """The place of every leaf of a pytree of parameters, in words.

    >>> parameter_paths({"layers": {0: {"kernel": 1.0}}})
    ['layers.0.kernel']
    """
    return [_dotted(path) or "itself" for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def _finite(leaf: Any) -> bool:
    return not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact) or bool(jnp.all(jnp.isfinite(leaf)))


def _dotted(path: Any) -> str:
    return ".".join(str(getattr(part, "name", getattr(part, "key", getattr(part, "idx", part)))) for part in path)


def _words(path: Any) -> str:
    return jax.tree_util.keystr(path).lstrip(".") or "the state"

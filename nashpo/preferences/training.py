"""Fitting the parameters of a preference model by gradients: compiled chunks, early stopping, errors with names."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nashpo.blame import first_bad
from nashpo.compiling import Compiled
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.losses import Correction, check_correction, check_penalty, targets
from nashpo.preferences.rows import as_key, require_comparisons
from nashpo.typing import Array, Key, Scalar
from nashpo.validation.numbers import is_number, whole_number
from nashpo.validation.optimizers import check_optimizer


class Scored(Protocol):
    """What `fit` can train: a pytree record with parameters that gives every comparison log-odds."""

    @property
    def params(self) -> Any:
        """The arrays that are trained, any pytree."""
        ...

    def with_params(self, params: Any) -> Any:
        """The same model with other parameters."""
        ...

    def scores(self, prompts: Array, left: Array, right: Array) -> Array:
        """Log-odds `[N]` of `left` against `right`, each `[N]` or `[N, D]`, for prompts `[N]`."""
        ...


@dataclass(frozen=True)
class Training:
    """How parameters are fitted.

    Without an `optimizer`: L-BFGS with a line search on the whole likelihood, until the largest entry of the gradient
    (per vote) is below `tol`. With one (any Optax optimizer, as a function of the learning rate): `steps` of it, on
    `batch` rows drawn at random or on all. Every `every` steps the held-out likelihood is looked at, if there is one:
    the best parameters are kept, and training stops after `patience` looks without a better one.

    >>> Training(optimizer=optax.adam, learning_rate=3e-3, batch=64).steps
    1000
    """

    steps: int = 1000
    optimizer: Callable[[Any], Any] | None = None
    learning_rate: float = 1e-2
    batch: int | None = None
    every: int = 50
    patience: int | None = 10
    tol: float = 1e-7


class Fitted(NamedTuple):
    """A trained model and how the training went.

    >>> Fitted(model=None, losses=np.array([0.7, 0.6]), held_out=np.array([]), converged=False).losses[-1]
    np.float64(0.6)
    """

    model: Any
    """The model with its best parameters."""
    losses: np.ndarray
    """`[T]`: minus the objective per vote after every step, in nats (of the batch, where there is one)."""
    held_out: np.ndarray
    """Minus the held-out log-likelihood per vote after every look; empty without held-out comparisons."""
    converged: bool
    """Whether the gradient vanished or the held-out likelihood stopped improving."""


def fit(
    model: Any,
    data: Comparisons,
    key: Key | int,
    training: Training | None = None,
    held_out: Comparisons | None = None,
    penalty: float = 0.0,
    flip: float = 0.0,
    smoothing: float = 0.0,
    correction: Correction = "loss",
) -> Fitted:
    """The parameters that make the votes most likely, from those the model has.

        max_params  sum_n votes_n (t_n s_n - log(1 + exp(s_n))) - penalty / 2 |params|^2

    with `s = model.scores(prompts, left, right)` and `t = targets(share, flip, smoothing)`. The held-out likelihood is
    that of the same targets without the penalty. The key, or seed, draws the batches.

    `correction` says what `flip` does. `"loss"`: rDPO's targets, unbiased and without a lower bound, so that a model
    with much freedom and few votes may run away. `"likelihood"`: the targets stay the shares and the model's
    probabilities are flipped as the votes were, `(1 - 2 flip) sigmoid(s) + flip` (forward correction, Patrini et al.
    2017, arXiv:1609.03683): the likelihood of what was seen, never below 0.

    Raises `ValueError` for a batch without an optimizer, a flip or penalty that cannot be, or a gradient or loss that
    is not finite (the step and the parameter are named).

    >>> from nashpo.preferences import Perceptron, RewardModel
    >>> from flax import nnx
    >>> model = RewardModel.from_module(Perceptron(2, 1, hidden=(), rngs=nnx.Rngs(0)))
    >>> data = Comparisons.from_pairs(np.eye(2), np.eye(2)[::-1], share=[0.75, 0.25])
    >>> found = fit(model, data, jax.random.key(0))
    >>> table = found.model.over(np.eye(2)[None]).table()
    >>> found.converged, round(float(table[0, 0, 1]), 4)
    (True, 0.75)
    """
    training, key = training or Training(), as_key(key)
    require_comparisons(data, "fit")
    noise = check_correction(correction, flip, smoothing)
    check_penalty(penalty)
    if training.batch is not None and training.optimizer is None:
        raise ValueError(f"batch={training.batch}: L-BFGS needs all rows at once; give an optimizer, as optax.adam.")
    _check_training(training)
    like = jnp.asarray(jax.tree.leaves(model.params)[0]).dtype
    labels = (0.0, smoothing) if noise else (flip, smoothing)
    rows = _rows(data, like, *labels)
    _try(model, data, rows)
    total = float(np.sum(data.votes))
    check = None
    if held_out is not None:
        require_comparisons(held_out, "fit(held_out)")
        check = _rows(held_out, like, *labels)
        _try(model, held_out, check)
    optimizer = training.optimizer or _lbfgs
    carry = _start(model, training.learning_rate, optimizer)
    best, seen, losses, worse, done = model.params, [], [], 0, 0
    while done < training.steps:
        count = min(training.every, training.steps - done)
        carry, (values, slopes, bad) = _chunk(
            model,
            carry,
            rows,
            key,
            penalty / total,
            training.learning_rate,
            done,
            noise,
            optimizer,
            training.batch,
            count,
        )
        _require_finite(np.asarray(bad), model.params, done)
        losses.append(np.asarray(values))
        done += count
        if check is None:
            best = carry[0]
        else:
            value = float(_loss(carry[0], model, check, 0.0, noise))
            worse = worse + 1 if seen and value >= min(seen) else 0
            best = best if worse else carry[0]
            seen.append(value)
            if training.patience is not None and worse >= training.patience:
                break
        if training.optimizer is None and slopes[-1] < training.tol:
            break
    converged = done < training.steps or bool(training.optimizer is None and slopes[-1] < training.tol)
    return Fitted(model.with_params(best), np.concatenate(losses), np.array(seen), converged)


def _check_training(training: Training) -> None:
    """Refuse counts that are no counts, and what is no optimizer."""
    check_optimizer("Training", training.optimizer or _lbfgs, training.learning_rate)
    counts = {"steps": training.steps, "every": training.every, "batch": training.batch, "patience": training.patience}
    for name, count in counts.items():
        if count is not None or name in ("steps", "every"):
            whole_number(name, count, 1)
    if not is_number(training.tol, 0.0):
        raise ValueError(f"tol={training.tol!r}: the slope to stop at is a number that is at least 0.")


def _try(model: Any, data: Comparisons, rows: tuple[Array, ...]) -> None:
    """Score a few rows where nothing is traced, so that a network refuses what does not fit."""
    tried = np.unique([*range(min(3, len(data))), int(np.argmax(data.prompts))])
    model.scores(*(part[tried] for part in rows[:3]))


def _rows(data: Comparisons, dtype: Any, flip: float, smoothing: float) -> tuple[Array, ...]:
    """Prompts, sides, targets and relative votes as arrays of JAX."""
    sides = [jnp.asarray(side, None if side.ndim == 1 else dtype) for side in (data.left, data.right)]
    weights = data.votes / data.votes.mean()
    label = targets(data.share, flip, smoothing)
    return jnp.asarray(data.prompts), *sides, jnp.asarray(label, dtype), jnp.asarray(weights, dtype)


def _lbfgs(learning_rate: Any) -> Any:
    return optax.lbfgs()


def _loss(params: Any, model: Any, rows: tuple[Array, ...], penalty: Scalar, noise: float) -> Array:
    """Minus the objective per vote."""
    prompts, left, right, label, weights = rows
    scores = model.with_params(params).scores(prompts, left, right)
    losses = jax.nn.softplus(scores) - label * scores
    if noise:
        seen = [jnp.logaddexp(jnp.log(noise), jnp.log1p(-2 * noise) - jax.nn.softplus(s)) for s in (-scores, scores)]
        losses = -label * seen[0] - (1 - label) * seen[1]
    likelihood = jnp.mean(weights * losses)
    return likelihood + penalty / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


def _start(model: Any, learning_rate: float, optimizer: Callable) -> tuple[Any, Any]:
    params = jax.tree.map(jnp.asarray, model.params)
    carry = params, optax.with_extra_args_support(optimizer(learning_rate)).init(params)
    # Optimizers start from Python's numbers, whose weak types would make the second chunk another program.
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), carry)


@functools.partial(Compiled, static_argnames=("noise", "optimizer", "batch", "count"))
def _chunk(model, carry, rows, key, penalty, learning_rate, done, noise, optimizer, batch, count):
    """`count` steps: the new parameters, and for every step the loss, the largest slope, what is not finite."""
    update = optax.with_extra_args_support(optimizer(learning_rate)).update

    def step(carry, index):
        params, state = carry
        drawn = rows
        if batch is not None:
            chosen = jax.random.randint(jax.random.fold_in(key, index), (batch,), 0, len(rows[0]))
            drawn = tuple(part[chosen] for part in rows)

        def objective(params):
            return _loss(params, model, drawn, penalty, noise)

        value, slope = jax.value_and_grad(objective)(params)
        leaves = jax.tree.leaves(slope)
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
        moves, state = update(slope, state, params, value=value, grad=slope, value_fn=objective)
        return (optax.apply_updates(params, moves), state), (value, largest, first_bad((slope, value)))

    return jax.lax.scan(step, carry, done + jnp.arange(count))


def _require_finite(bad: np.ndarray, params: Any, done: int) -> None:
    """Raise at the first step with a bad slope or, after the slopes, a bad loss, naming the parameter."""
    steps = np.flatnonzero(bad >= 0)
    if len(steps):
        step, leaf = int(steps[0]), int(bad[steps[0]])
        leaves = jax.tree_util.tree_flatten_with_path(params)[0]
        what = "loss"
        if leaf < len(leaves):
            what = f"gradient of params{jax.tree_util.keystr(leaves[leaf][0])}"
        raise ValueError(
            f"step {done + step + 1}: the {what} is not finite: lower the learning rate, raise the "
            'penalty, or look for extreme features (with flip, try correction="likelihood").'
        )

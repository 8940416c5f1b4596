"""Optimizers of optax from outside: a function from a learning rate to a transformation."""

from typing import Any

from jax.core import Tracer

from nashpo.validation.numbers import is_positive


def check_optimizer(name: str, optimizer: Any, learning_rate: Any) -> None:
    """Refuse what is no optimizer or no learning rate; `name` is what has them as settings.

    >>> import optax
    >>> check_optimizer("Regression", optax.adam, -1.0)
    Traceback (most recent call last):
        ...
    ValueError: Regression(learning_rate=-1.0): must be a positive finite number or an optax schedule.
    """
    if not callable(optimizer):
        raise ValueError(
            f"{name}(optimizer={type(optimizer).__name__}): give a function from a learning rate to an optax "
            "transformation, for example optax.adam or lambda rate: optax.chain(optax.clip_by_global_norm(1.0), "
            "optax.adamw(rate))."
        )
    if isinstance(learning_rate, Tracer):
        return
    if not callable(learning_rate) and not is_positive(learning_rate):
        raise ValueError(
            f"{name}(learning_rate={learning_rate}): must be a positive finite number or an optax schedule."
        )
    called = getattr(optimizer, "__name__", optimizer)
    try:
        made = optimizer(learning_rate)
    except TypeError as error:
        raise ValueError(f"{name}(optimizer={called}): cannot be called with a learning rate alone: {error}.") from None
    if not hasattr(made, "init"):
        raise ValueError(
            f"{name}(optimizer={called}): makes a {type(made).__name__} of a learning rate, which is no optax "
            "transformation."
        )

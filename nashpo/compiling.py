"""How a program that runs for a user is compiled."""

import functools
from collections.abc import Callable
from typing import Any

import jax

_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
"""The CPU compiler's older code generator needs half the time, for programs that take 0.8 to 1.2 times as long.

Loops whose output overwrites their input are not vectorised by it, and take up to nine times as long."""
_NESTED = "can only be passed to top-level `jax.jit`"
"""What JAX says of options for a part of another program."""


class Compiled:
    """`jax.jit(function, **settings)`, compiled in about half the time on a CPU.

    What the compiler accepts is asked at the first call, because asking starts JAX's backend. Inside a program of the
    user's own, `jax.jit(lambda eta: nashpo.solve(...).policy.probs())`, the function is compiled as that program is.

    >>> import jax.numpy as jnp
    >>> double = Compiled(lambda x, times: x * times, static_argnames="times")
    >>> double(jnp.ones(2), times=2).tolist()
    [2.0, 2.0]
    """

    def __init__(self, function: Callable[..., Any], **settings: Any) -> None:
        self._function, self._settings = function, settings
        functools.update_wrapper(self, function)

    @functools.cached_property
    def program(self) -> Any:
        """The compiled function."""
        return jax.jit(self._function, compiler_options=_accepted(), **self._settings)

    @functools.cached_property
    def _part(self) -> Any:
        """The function as a part of another program."""
        return jax.jit(self._function, **self._settings)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function's answer."""
        try:
            return self.program(*arguments, **named)
        except ValueError as error:
            if _NESTED not in str(error):
                raise
        return self._part(*arguments, **named)


@functools.cache
def _accepted() -> dict[str, Any] | None:
    """The compiler's options, or None if this version does not know them."""
    try:
        jax.jit(lambda x: -x, compiler_options=_OPTIONS).lower(0.0).compile()
    except Exception:  # its class depends on the version, and any means the same
        return None
    return _OPTIONS

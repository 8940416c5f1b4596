"""One command in several processes, which `jax.distributed` connects."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def joined(where: str) -> Iterator[None]:
    """Connect this process with the others; what all but the first print goes nowhere.

    `where` is "auto" (Slurm, Open MPI, Kubernetes, TPU pods) or "ADDRESS:PORT,COUNT,NUMBER": where the first process
    listens, how many there are, and the number of this one.

    Raises `ValueError` for another form, and where the others cannot be found.

    >>> with joined("host0:1234,8"):
    ...     pass
    Traceback (most recent call last):
        ...
    ValueError: --processes host0:1234,8: must be auto, or ADDRESS:PORT,COUNT,NUMBER with 0 <= NUMBER < COUNT.
    """
    address, count, number = _parsed(where)
    import jax

    try:
        jax.distributed.initialize(address, count, number)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"--processes {where}: the processes cannot be connected ({reason}).") from None
    try:
        with contextlib.ExitStack() as stack:
            if jax.process_index():
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            yield
    finally:
        jax.distributed.shutdown()


def _parsed(where: str) -> tuple[str | None, int | None, int | None]:
    if where == "auto":
        return None, None, None
    address, *numbers = where.split(",")
    if ":" in address and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
        count, number = map(int, numbers)
        if number < count:
            return address, count, number
    raise ValueError(f"--processes {where}: must be auto, or ADDRESS:PORT,COUNT,NUMBER with 0 <= NUMBER < COUNT.")

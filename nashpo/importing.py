"""What a user names as `package.module:name`."""

import importlib
import traceback
from typing import Any

from nashpo.nearest import nearest


def imported(path: str, what: str) -> Any:
    """The object at `package.module:name`; `what` it is meant to be begins every sentence about it.

    Raises `ValueError` for a path of another form, a module that is not there or fails, and one without the name.

    >>> imported("math:pi", "the number")
    3.141592653589793
    >>> imported("math:logg", "the function")
    Traceback (most recent call last):
        ...
    ValueError: the function 'math:logg': module 'math' has no 'logg'; did you mean 'log'?
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"{what} {path!r} cannot be found: write package.module:name.")
    try:
        home = importlib.import_module(module)
    except Exception as error:
        raise ValueError(f"{what} {path!r}: module {module!r} cannot be imported ({_reason(error)}).") from error
    if not hasattr(home, name):
        public = [word for word in vars(home) if not word.startswith("_")]
        raise ValueError(f"{what} {path!r}: module {module!r} has no {name!r}{nearest(name, public)}")
    return getattr(home, name)


def _reason(error: Exception) -> str:
    """What went wrong, and in which line where the error itself does not say so."""
    if isinstance(error, ImportError | SyntaxError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}; {last.filename}, line {last.lineno}"

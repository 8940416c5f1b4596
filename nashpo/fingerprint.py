"""What a setting is, in words and digests that are the same in every process."""

import dataclasses
import enum
import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def fingerprint(setting: Any, name: str = "") -> dict[str, str]:
    """Everything that `setting` consists of: from dotted paths to values, type names and digests of arrays.

    Records, mappings, sequences and objects are taken apart; a function is its name and its code. Two settings with
    the same fingerprint are the same setting.

    >>> from nashpo.solvers import EGPO
    >>> fingerprint(EGPO(eta=0.5), "rule")
    {'rule': 'nashpo.solvers.egpo.EGPO', 'rule.eta': '0.5'}
    """
    found: dict[str, str] = {}
    _describe(setting, name, found, ())
    return found


def differences(there: Mapping[str, str], here: Mapping[str, str], most: int = 3) -> str:
    """In words, what two fingerprints do not agree in; empty where they agree.

    >>> differences({"rule.eta": "0.5"}, {"rule.eta": "1.0"})
    'rule.eta (there 0.5, here 1.0)'
    """
    changed = [path for path in {**here, **there} if there.get(path) != here.get(path)]
    top = [path for path in changed if not any(path.startswith((f"{p}.", f"{p}[")) for p in changed if p != path)]
    listed = [f"{path} (there {_short(there.get(path))}, here {_short(here.get(path))})" for path in top[:most]]
    more = [f"{len(top) - most} more"] if len(top) > most else []
    return " and ".join([", ".join(listed), *more])


def digest(array: Any) -> str:
    """The type, the shape and a checksum of an array.

    >>> digest(np.zeros((2, 3)))
    'float64[2, 3] sha256:17b0761f87b081d5'
    """
    values = np.asarray(array)
    checksum = hashlib.sha256(np.ascontiguousarray(values).view(np.uint8).data if values.size else b"").hexdigest()
    return f"{values.dtype}{list(values.shape)} sha256:{checksum[:16]}"


def _describe(value: Any, path: str, found: dict[str, str], above: tuple[int, ...]) -> None:
    plain = _plain(value)
    if plain is not None or id(value) in above:
        found[path] = plain or "itself"
        return
    if isinstance(value, types.FunctionType):
        found[path] = f"{value.__module__}.{value.__qualname__} code:{_code(value.__code__)}"
    else:
        found[path] = f"{type(value).__module__}.{type(value).__qualname__}"
    for step, part in _parts(value):
        _describe(part, f"{path}{step}", found, (*above, id(value)))


def _plain(value: Any) -> str | None:
    """A value without parts in words, None for one that has parts."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | range):
        return repr(value)
    if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return f"{jax.random.key_impl(value)} {_plain(np.asarray(jax.random.key_data(value)))}"
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        small = np.size(value) <= 4
        return f"{np.asarray(value).tolist()!r} {value.dtype}" if small else digest(value)
    if isinstance(value, jax.sharding.Mesh):
        return repr(None)  # where numbers are computed is no setting: a run goes on with other devices
    if isinstance(value, enum.Enum | np.dtype):
        return str(value)
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
    return None


def _parts(value: Any) -> list[tuple[str, Any]]:
    """The parts of a value, each with the step that leads to it."""
    if isinstance(value, types.FunctionType):
        return _captured(value)
    if isinstance(value, types.MethodType):
        return [(".function", value.__func__), (".self", value.__self__)]
    if isinstance(value, functools.partial):
        return [(".function", value.func), (".args", value.args), (".keywords", value.keywords)]
    if dataclasses.is_dataclass(value):
        return [(f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    if hasattr(value, "_fields"):
        return [(f".{name}", getattr(value, name)) for name in value._fields]
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [(f"[{index}]", part) for index, part in enumerate(ordered)]
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        return [(".function", wrapped)]
    return [(f".{name}", part) for name, part in sorted(getattr(value, "__dict__", {}).items())]


def _captured(function: types.FunctionType) -> list[tuple[str, Any]]:
    """What a function computes with besides its arguments: closure, defaults, and numbers among its globals."""
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    closure = [(f".{name}", cell.cell_contents) for name, cell in zip(names, cells, strict=True) if _filled(cell)]
    used = [(name, function.__globals__.get(name)) for name in function.__code__.co_names]
    numbers = [(f".{name}", value) for name, value in used if isinstance(value, int | float | np.ndarray | jax.Array)]
    defaults = (function.__defaults__, function.__kwdefaults__)
    return [*closure, *numbers, *([(".defaults", defaults)] if any(defaults) else [])]


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _code(code: types.CodeType) -> str:
    """A checksum of what a function does, wherever its file lies."""
    constants = [_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts]
    what = (code.co_code.hex(), constants, code.co_names, code.co_varnames)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _short(words: str | None) -> str:
    """One side of a difference, for people."""
    if words is None:
        return "nothing"
    return words if len(words) <= 60 else f"{words[:57]}..."

"""Algorithms by name."""

from typing import Any

import nashpo.solvers
from nashpo.importing import imported
from nashpo.nearest import nearest
from nashpo.stage import Harmonic


def names() -> list[str]:
    """The solvers of the package, sorted."""
    objects = {name: getattr(nashpo.solvers, name) for name in nashpo.solvers.__all__}
    return sorted((n for n, o in objects.items() if hasattr(o, "stages") or hasattr(o, "step")), key=str.lower)


def find_solver(name: str) -> Any:
    """The class of a solver, in any case, or the object at `package.module:name`.

    Raises `ValueError` with the nearest name.

    >>> find_solver("nash-md").__name__
    'NashMD'
    """
    if ":" in name:
        return imported(name, "solver")
    known = {n.lower(): getattr(nashpo.solvers, n) for n in names()} | {"harmonic": Harmonic}
    plain = name.lower().replace("_", "").replace("-", "")
    if plain not in known:
        raise ValueError(f"there is no solver {name!r}{nearest(name, known)}")
    return known[plain]

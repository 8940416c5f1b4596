"""Which code computes: part of every cell's key, so that results of other code are never taken for this one's."""

import functools
import hashlib
import inspect
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import jax

import nashpo

APART = ("cli", "plots", "testing")
"""Rooms of the package that draw, print or test, and that nothing which computes imports."""


@functools.cache
def code_version() -> dict[str, str]:
    """The version and a checksum of nashpo's source, and the versions of JAX and of what it computes on.

    >>> sorted(code_version())
    ['backend', 'jax', 'jaxlib', 'nashpo', 'source']
    """
    folder = Path(nashpo.__file__).parent
    files = [path for path in sorted(folder.rglob("*.py")) if path.relative_to(folder).parts[0] not in APART]
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "nashpo": nashpo.__version__,
        "source": total.hexdigest()[:16],
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "backend": jax.default_backend(),
    }


def surroundings() -> dict[str, str]:
    """Versions that are worth knowing and no part of a key."""
    packages = {name: version(name) for name in ("numpy", "xarray", "h5netcdf")}
    return {"python": platform.python_version(), "platform": platform.platform(), **packages}


def foreign_sources(fingerprint: Mapping[str, str]) -> dict[str, str]:
    """Checksums of the files of the modules that a fingerprint names and that belong to no package known by version.

    >>> foreign_sources({"rule": "nashpo.solvers.egpo.EGPO", "rule.eta": "0.5"})
    {}
    """
    found = {}
    for value in fingerprint.values():
        name = value
        while "." in name and name not in sys.modules:
            name = name.rpartition(".")[0]
        module = sys.modules.get(name)
        if module is not None and name.split(".")[0] not in ("nashpo", "jax", "jaxlib", "numpy", "builtins"):
            try:
                found[name] = hashlib.sha256(inspect.getsource(module).encode()).hexdigest()[:16]
            except (OSError, TypeError):
                continue
    return found

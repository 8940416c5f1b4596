"""Which code computes: part of every cell's key, so that results of other code are never taken for this one's."""

import ast
import functools
import hashlib
import importlib.util
import inspect
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import version
from pathlib import Path

import jax

import nashpo

APART = ("cli", "plots", "testing")
"""Rooms of the package that draw, print or test, and that nothing which computes imports."""

KNOWN = ("nashpo", "jax", "jaxlib", "numpy", "builtins")
"""Packages whose versions are in the key."""


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
    """Checksums of the modules that a fingerprint names, but for `KNOWN`, and of the user's that they import.

    The user's modules are files that were not installed. An import is one that is written as such, anywhere in a file.

    >>> foreign_sources({"rule": "nashpo.solvers.egpo.EGPO", "rule.eta": "0.5"})
    {}
    """
    found: dict[str, str] = {}
    waiting = [named for value in fingerprint.values() for named in _named(value)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        try:
            source = path.read_bytes()
        except OSError:
            continue
        found[name] = hashlib.sha256(source).hexdigest()[:16]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [own for imported in _imports(source, package) for own in _own(imported)]
    return found


def _named(value: str) -> Iterator[tuple[str, Path]]:
    """The module that a part of a fingerprint names, with its file, if it is none of `KNOWN`."""
    name = value
    while "." in name and name not in sys.modules:
        name = name.rpartition(".")[0]
    if name in sys.modules and name.split(".")[0] not in KNOWN:
        try:
            path = inspect.getsourcefile(sys.modules[name])
        except TypeError:
            return
        if path is not None:
            yield name, Path(path)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The dotted names in the import statements of a source; with `from`, what is imported may be no module."""
    try:
        statements = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _own(name: str) -> Iterator[tuple[str, Path]]:
    """The user's modules on the way to a dotted name, with their files; nothing is imported to find them."""
    first, *rest = name.split(".")
    if first in (*KNOWN, "nashpo_games", *sys.stdlib_module_names):
        return
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:
        return
    while spec is not None:
        if spec.origin is not None:
            path = Path(spec.origin)
            if path.suffix != ".py" or {"site-packages", "dist-packages"} & set(path.parts):
                return
            yield spec.name, path
        places = spec.submodule_search_locations
        spec = PathFinder.find_spec(f"{spec.name}.{rest.pop(0)}", places) if places is not None and rest else None

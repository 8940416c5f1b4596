"""What the documentation is made of besides its own pages: public names, notebooks, docstrings as reStructuredText.

Nothing here needs Sphinx; `conf.py` calls it before a build and `tests/test_docs.py` checks it.
"""

import ast
import importlib
import inspect
import re
import shutil
import zlib
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
GENERATED = "generated"
"""The folder below docs/ that a build writes; git ignores it."""

INNER = ("nashpo.stage", "nashpo.solver", "nashpo.struct", "nashpo.typing", "nashpo.exact", "nashpo_games")
"""Modules that no list of public names mentions, for those who write an algorithm, an oracle or a game."""

NESTED = (
    "nashpo.learners.losses",
    "nashpo.lm",
    "nashpo.lm.decoder",
    "nashpo.lm.duels",
    "nashpo.lm.evaluation",
    "nashpo.lm.files",
    "nashpo.lm.gains",
    "nashpo.lm.judges",
    "nashpo.lm.learner",
    "nashpo.lm.mesh",
    "nashpo.lm.oracle",
    "nashpo.lm.tiny",
    "nashpo.lm.training",
)
"""Rooms inside of rooms, whose names are public too."""

OUTSIDE = {
    **{
        f"collections.abc.{name}": f"https://docs.python.org/3/library/collections.abc.html#collections.abc.{name}"
        for name in ("Callable", "Iterable", "Iterator", "Mapping", "Sequence")
    },
    "jax.Array": "https://docs.jax.dev/en/latest/_autosummary/jax.Array.html",
    "matplotlib.axes.Axes": "https://matplotlib.org/stable/api/_as_gen/matplotlib.axes.Axes.html",
    "matplotlib.figure.Figure": "https://matplotlib.org/stable/api/_as_gen/matplotlib.figure.Figure.html",
    "numpy.ndarray": "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html",
    "os.PathLike": "https://docs.python.org/3/library/os.html#os.PathLike",
    "pandas.DataFrame": "https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.html",
    "pathlib.Path": "https://docs.python.org/3/library/pathlib.html#pathlib.Path",
    "xarray.Dataset": "https://docs.xarray.dev/en/stable/generated/xarray.Dataset.html",
}
"""Classes of other libraries that signatures name, and where they are documented."""


def rooms() -> dict[str, list[str]]:
    """The public names of every room, each name once.

    The rooms are `nashpo` itself, the modules in its `__all__`, those of `NESTED` and `INNER`, and the modules in which
    the names of `nashpo` are defined, as far as there is more in them.
    """
    package = importlib.import_module("nashpo")
    top = {name: getattr(package, name) for name in package.__all__}
    found = {"nashpo": [name for name, thing in top.items() if not inspect.ismodule(thing)]}
    outer = sorted([*(thing.__name__ for thing in top.values() if inspect.ismodule(thing)), *NESTED])
    homes = sorted(home for name in found["nashpo"] if (home := top[name].__module__).count(".") == 1)
    for name in dict.fromkeys([*outer, *INNER, *homes]):
        module = importlib.import_module(name)
        above = name.rsplit(".", 1)[0]
        shown = [top[label] for label in found["nashpo"]]
        shown += [getattr(importlib.import_module(above), label) for label in found.get(above, ())]
        labels = [label for label in public(module) if not any(getattr(module, label) is thing for thing in shown)]
        if (labels or name in outer) and name not in found:
            found[name] = labels
    return found


def public(module: ModuleType) -> list[str]:
    """`__all__` in its order, or the type aliases, classes and functions that the module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__]
    return [name for name in dict.fromkeys([*aliases(module), *own]) if not name.startswith("_")]


def aliases(module: ModuleType) -> dict[str, str]:
    """The type aliases that a module defines, and what they stand for."""
    tree = ast.parse(inspect.getsource(module))
    named = [
        node for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
    ]
    return {ast.unparse(node.target): ast.unparse(node.value) for node in named if node.value}


def note(module: ModuleType, name: str) -> str:
    """The string below the assignment of `name`, in the module itself or in the one that it is imported from."""
    body = ast.parse(inspect.getsource(module)).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return note(importlib.import_module(node.module), name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if name in {ast.unparse(target) for target in targets if target}:
            text = after.value if isinstance(after, ast.Expr) else None
            return inspect.cleandoc(str(text.value)) if isinstance(text, ast.Constant) else ""
    return ""


def write_reference(folder: Path) -> None:
    """One page for each room, and their index, as reStructuredText in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = rooms()
    for name, labels in listed.items():
        _write(folder / f"{name}.rst", _room_page(name, labels))
    for stale in {page.stem for page in folder.glob("*.rst")} - {"index", *listed}:
        (folder / f"{stale}.rst").unlink()
    inner = [name for name in listed if name in INNER or not (name in NESTED or "." not in name or _is_public(name))]
    outer = [name for name in listed if name not in inner]
    lines = _title("API reference")
    lines += ["Generated from the docstrings. The first room is the library; the others hold what it is made of.", ""]
    lines += ["Names that are public", "---------------------", "", *_tree(outer)]
    lines += ["To write your own with", "----------------------", "", *_tree(inner)]
    _write(folder / "index.rst", "\n".join(lines))


def _is_public(name: str) -> bool:
    return name.split(".")[1] in importlib.import_module("nashpo").__all__


def _room_page(name: str, labels: list[str]) -> str:
    module = importlib.import_module(name)
    called = [label for label in labels if callable(getattr(module, label)) and label not in aliases(module)]
    lines = [*_title(name), f".. automodule:: {name}", "   :no-members:", "", f".. currentmodule:: {name}", ""]
    if called:
        lines += [".. autosummary::", "", *(f"   {label}" for label in called), ""]
    for label in labels:
        lines += [*_entry(module, label, label in called), ""]
    return "\n".join(lines)


def _entry(module: ModuleType, label: str, called: bool) -> list[str]:
    thing = getattr(module, label)
    if called and inspect.isclass(thing):
        return [f".. autoclass:: {label}", "   :members:", "   :member-order: bysource"]
    if called:
        return [f".. autofunction:: {label}"]
    alias = aliases(module).get(label)
    head = (
        [f".. py:type:: {label}", f"   :canonical: {alias}"]
        if alias
        else [f".. py:data:: {label}", f"   :value: {thing!r}"]
    )
    return [*head, "", *(f"   {row}".rstrip() for row in note(module, label).split("\n"))]


def _title(text: str) -> list[str]:
    return [text, "=" * len(text), ""]


def _tree(names: list[str]) -> list[str]:
    return [".. toctree::", "   :maxdepth: 1", "", *(f"   {name}" for name in names), ""]


def copy_notebooks(folder: Path) -> None:
    """The notebooks, under their own names, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}
    for stale in {path.name for path in folder.glob("*.ipynb")} - set(sources):
        (folder / stale).unlink()
    for name, path in sources.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != path.read_bytes():
            shutil.copyfile(path, folder / name)


def write_inventory(path: Path) -> None:
    """The classes of `OUTSIDE` as a Sphinx inventory, so that links to them need no network."""
    head = b"# Sphinx inventory version 2\n# Project: outside\n# Version: \n# The rest is compressed using zlib.\n"
    rows = [f"{name} py:class 1 {address.removeprefix('https://')} -\n" for name, address in sorted(OUTSIDE.items())]
    path.write_bytes(head + zlib.compress("".join(rows).encode()))


def literal_formulas(lines: list[str]) -> list[str]:
    """A docstring whose formulas, which are plain text, are shown line by line as they are.

    A formula is an indented block, or a block in which every line has ` <- ` or ` = ` and which is no sentence.
    """
    blocks = re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines).strip("\n"))
    text = "\n\n".join(_literal(block) if _is_formula(block) else block for block in blocks)
    return [*text.split("\n"), ""]


def _is_formula(block: str) -> bool:
    rows = block.split("\n")
    if any(row.lstrip().startswith(">>>") for row in rows):
        return False
    if all(row.startswith("  ") for row in rows):
        return True
    assigns = all(" <- " in row or " = " in row or "   " in row.strip() for row in rows)
    return assigns and not block.startswith(("`", "*", ".. ")) and not block.endswith((".", ":"))


def _literal(block: str) -> str:
    rows = inspect.cleandoc("\n" + block).split("\n")
    return "\n".join([".. code-block:: text", "", *(f"   {row}".rstrip() for row in rows)])


def _write(path: Path, text: str) -> None:
    """Write `text` unless it is there already, so that a second build has less to do."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def plain_types(signature: str) -> str:
    """A signature in which the unions that `nashpo.typing` has names for have these names."""
    for union, name in _UNIONS.items():
        signature = signature.replace(union, name)
    return signature


_JAX = "~jax.jaxlib._jax.Array"
_UNIONS = {
    f"float | {_JAX} | ~numpy.ndarray": "~nashpo.typing.Scalar",
    f"{_JAX} | ~numpy.ndarray": "~nashpo.typing.Array",
    _JAX: "~jax.Array",
}

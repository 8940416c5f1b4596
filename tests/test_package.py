"""What holds of the package as a whole: imports, public names, documentation, sizes."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import nashpo
import nashpo_games

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"nashpo": ROOT / "nashpo", "nashpo_games": ROOT / "games" / "nashpo_games"}

# Rooms of `nashpo`, lowest first: a room imports from lower floors and from itself, never from its own floor or above.
FLOORS = (
    {"struct", "compiling", "files", "lazy", "nearest", "netcdf", "reproduction", "signature"},
    {"importing"},
    {"catalog", "typing", "exact"},
    {"logspace", "blame", "fingerprint", "summing"},
    {"validation"},
    {"policies", "stage", "describe"},
    {"oracles", "solver"},
    {"game"},
    {"metrics", "results", "stacking", "tables", "players", "maxmin"},
    {"equilibria", "learners", "preferences", "solvers"},
    {"estimates", "march", "mirror"},
    {"run", "callbacks"},
    {"checkpoint"},
    {"driver", "sweeps"},
    {"plots", "studies", "testing"},
    {"lm"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("jax", "scipy", "matplotlib", "xarray", "pandas", "transformers", "flax", "orbax", "rich", "tyro")


def sources() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()
MODULES = [name for name in SOURCES if not name.endswith("__main__")]


class Imports(ast.NodeVisitor):
    """The names imported by a module, inside functions too, but not those for a type checker alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"line {node.lineno}: imports are absolute here"
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names}


def imports(path: Path) -> set[str]:
    visitor = Imports()
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return visitor.names


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "nashpo" and len(parts) > 1 else None


def roots(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_every_file_is_importable():
    found = {m.name for p in (nashpo, nashpo_games) for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")}
    assert found | {"nashpo", "nashpo_games"} == set(SOURCES)


def test_imports_point_one_way():
    wrong = []
    for name in filter(room, SOURCES):
        own = room(name)
        assert own in FLOOR, f"nashpo.{own} is new: give it a floor in FLOORS"
        others = {room(imported) for imported in imports(SOURCES[name])} - {None, own, "__version__"}
        for other in {other if other in FLOOR else nashpo._HOME[other] for other in others}:
            if FLOOR[other] >= FLOOR[own]:
                wrong.append(f"{name} imports nashpo.{other}, which is not below it")
    assert not wrong


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("nashpo", {"nashpo_games", "experiments", "tests", "torch"}),
        ("nashpo_games", {"experiments", "tests", "torch"}),
    ],
)
def test_a_package_never_imports(package, forbidden):
    mine = {name: path for name, path in SOURCES.items() if name.split(".")[0] == package}
    assert {name: found for name, path in mine.items() if (found := forbidden & roots(imports(path)))} == {}


def test_importing_nashpo_imports_nothing_heavy():
    program = f"import sys, nashpo; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PUBLIC = ast.parse(
    """
game = nashpo.Game.from_table(P, beta=0.1, reference=None, prompts=None)
nashpo.load_table
nashpo.duality_gap(game, game.reference)
nashpo.best_response(game, game.reference).probs()
nashpo.equilibrium(game)
nashpo.equilibrium_path(game, [1.0, 0.1])
nashpo.solvers.SPO(0.1)
nashpo.solvers.SPPO(0.1, baseline="exact")
nashpo.solvers.SPPO(0.1, baseline="half")
nashpo.solvers.DNO(0.1)
nashpo.solvers.INPO(0.1)
nashpo.solvers.EGPO(0.1)
nashpo.solvers.MNPO(0.1, history=(0.5, 0.5), opponents="mixture")
nashpo.solvers.MNPO(0.1, history=(0.5, 0.5), opponents="current")
nashpo.solvers.APO(0.1, 0.3)
nashpo.solvers.APO(0.1, 0.3, base=nashpo.solvers.SPPO(0.1))
nashpo.solvers.NashMD(0.1, mix=None)
nashpo.solvers.MPO(0.1, 10)
nashpo.solvers.ONPO(0.1)
nashpo.solvers.OnlineIPO
nashpo.solvers.IterativeDPO
nashpo.solvers.GPO(0.1)
nashpo.solvers.FictitiousPlay()
nashpo.solvers.RegretMatching()
nashpo.oracles.Table
nashpo.oracles.BradleyTerry
nashpo.oracles.GeneralPreference
nashpo.oracles.Mixture
nashpo.oracles.Noisy
nashpo.plots
nashpo.testing
"""
).body


@pytest.mark.parametrize("line", PUBLIC, ids=ast.unparse)
def test_public_names(line):
    names = {"nashpo": nashpo, "P": np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]])}
    names["game"] = nashpo.Game.from_table(names["P"], beta=0.1)
    exec(compile(ast.Module([line], []), "public names", "exec"), names)


@pytest.mark.parametrize("package", [nashpo, nashpo_games], ids=lambda package: package.__name__)
def test_lists_of_public_names_are_true(package):
    assert sorted(package.__all__) == sorted(set(package.__all__))
    for name in package.__all__:
        getattr(package, name)
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018 - the attribute access is what is tested


def test_a_public_name_is_not_replaced_by_the_module_it_lives_in():
    for home in set(nashpo._HOME.values()):
        importlib.import_module(f"nashpo.{home}")
    assert [name for name in nashpo._HOME if inspect.ismodule(getattr(nashpo, name))] == []


def definitions(name: str):
    """The public classes, functions and methods that a module defines."""
    module = importlib.import_module(name)
    for label, thing in vars(module).items():
        if label.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if inspect.isclass(thing) or inspect.isroutine(thing):
            yield f"{name}.{label}", thing
        if inspect.isclass(thing):
            for method, function in vars(thing).items():
                if not method.startswith("_") and (inspect.isroutine(function) or isinstance(function, property)):
                    yield f"{name}.{label}.{method}", getattr(thing, method)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    assert importlib.import_module(name).__doc__
    assert not [label for label, thing in definitions(name) if not inspect.getdoc(thing)]


@pytest.mark.parametrize(
    "package",
    [nashpo.solvers, nashpo.oracles, nashpo.plots, nashpo.preferences, nashpo.testing, nashpo_games],
    ids=lambda p: p.__name__,
)
def test_everything_to_be_used_shows_how(package):
    public = {name: getattr(package, name) for name in package.__all__}
    without = [
        name
        for name, thing in public.items()
        if (callable(thing) and not getattr(thing, "_is_protocol", False))
        and not (inspect.isclass(thing) and issubclass(thing, Warning))
        and ">>>" not in (inspect.getdoc(thing) or "")
    ]
    assert without == []


@pytest.mark.parametrize("double", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_doctests(name, double):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for test in finder.find(module) if test.examples]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    with jax.enable_x64(double), warnings.catch_warnings():
        warnings.simplefilter("error")
        for test in examples:
            runner.run(test, out=report.append)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert runner.failures == 0, "".join(report)


CODE = [path for folder in ("nashpo", "games", "experiments") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_functions_are_short_and_name_what_they_take():
    wrong = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node, clean=False) and len(node.body) > 1 else node.body
                if (body[-1].end_lineno or 0) - body[0].lineno >= 60:
                    wrong.append(f"{path.relative_to(ROOT)}: {node.name} is longer than 60 lines")
                public = path.parts[len(ROOT.parts)] != "experiments" and not node.name.startswith("_")
                if public and node.args.kwarg and node.name != "static":
                    wrong.append(f"{path.relative_to(ROOT)}: {node.name} takes **{node.args.kwarg.arg}")
    assert wrong == []


def test_the_package_is_typed():
    assert (ROOT / "nashpo" / "py.typed").exists()

"""`nashpo reproduce`: the experiments of the source tree, expected against measured."""

import ast
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from nashpo.cli import FAILED, OK, complain
from nashpo.cli.options import Command, Option, text, yes_or_no
from nashpo.nearest import nearest

COMMAND = Command(
    name="reproduce",
    summary="Run an experiment that a paper reports, or whose result it claims; without a name, list them.",
    positional=(Option("name", text, "an experiment (default: list them)", None, "[NAME]"),),
    options=(
        Option("smoke", yes_or_no, "seconds instead of minutes: only what is proven for every length is judged", False),
        Option("json", yes_or_no, "print JSON instead of a table", False),
    ),
    epilog=(
        "The experiments are scripts of the source tree, in ./experiments or beside an\n"
        "editable install; pictures and netCDF files go to experiments/results/NAME.\n\n"
        "exit codes: 0 everything holds, 1 a finding does not hold, 2 bad input"
    ),
)


def run(arguments: Sequence[str]) -> int:
    """Run one experiment, or list them; 1 if a finding does not hold."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    scripts = find_scripts()
    if options.name is None:
        return _list(scripts, options.json)
    if options.name not in scripts:
        raise ValueError(f"there is no experiment {options.name!r}{nearest(options.name, scripts)}")
    from nashpo.cli.startup import prepare

    prepare()
    from nashpo.reproduction import failed

    findings = load_script(scripts[options.name]).main(smoke=options.smoke)
    if options.json:
        import dataclasses

        from nashpo.cli.output import json_text

        print(json_text([dataclasses.asdict(finding) for finding in findings]), end="")
    else:
        _show(scripts[options.name], findings, options.smoke)
    wrong = failed(findings, smoke=options.smoke)
    if not wrong:
        return OK
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return complain(f"{options.name}: does not hold: {wrong[0].claim}{more}.", FAILED)


def find_scripts() -> dict[str, Path]:
    """The experiments by name: files in `./experiments`, or beside the package, with a function `main(smoke=...)`.

    Raises `ValueError` where there are none.
    """
    import nashpo

    beside = Path(nashpo.__file__).resolve().parents[1]
    for root in (Path.cwd(), beside):
        found = {path.stem: path for path in sorted((root / "experiments").glob("*.py")) if _is_experiment(path)}
        if found:
            return found
    raise ValueError(
        "the experiments belong to the source tree and are not installed: run this in a clone of nashpo, or install "
        "the clone with pip install -e."
    )


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not Python ({error}).") from None


def _is_experiment(path: Path) -> bool:
    """Whether the file has a function `main` with an argument `smoke`."""
    functions = [node for node in _tree(path).body if isinstance(node, ast.FunctionDef)]
    return any(node.name == "main" and "smoke" in [arg.arg for arg in node.args.args] for node in functions)


def _summary(path: Path) -> str:
    """The first line of the file's docstring."""
    return (ast.get_docstring(_tree(path)) or "").split("\n", 1)[0]


def _list(scripts: dict[str, Path], as_json: bool) -> int:
    entries = [(name, _summary(path)) for name, path in scripts.items()]
    if as_json:
        from nashpo.cli.output import json_text

        print(json_text([dict(zip(("name", "summary"), entry, strict=True)) for entry in entries]), end="")
        return OK
    from nashpo.cli.screen import Screen

    screen = Screen()
    for name, line in entries:
        screen.entry(name, line)
    return OK


def load_script(path: Path) -> ModuleType:
    """The script as a module; what lies beside it can be imported, as when it is run by itself."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _show(path: Path, findings: Sequence, smoke: bool) -> None:
    from nashpo.cli.screen import Screen
    from nashpo.reproduction import report

    screen = Screen()
    for line in report(path.stem, findings, width=min(screen.width, 100), smoke=smoke).splitlines():
        screen.line(line, "red" if line.startswith("FAILS") else "" if line.startswith(" ") else "bold")
    results = path.parent / "results" / path.stem
    if results.is_dir():
        screen.line(f"pictures and data: {results / 'smoke' if smoke else results}", "dim")

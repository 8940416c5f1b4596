"""The command line of a benchmark: its sections in turn, one line a figure."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from timing import limit_threads, machine

Section = Callable[[int, bool], list[dict[str, Any]]]
"""From the number of repeats and whether sizes are tiny to rows of figures."""


def run(
    description: str | None,
    sections: Mapping[str, Section],
    line: Callable[..., str],
    repeats: int,
    arguments: list[str] | None = None,
) -> None:
    """Run the sections that are asked for on one thread; `line` prints a row of theirs."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--sections", type=lambda text: text.split(","), default=[*sections], help=", ".join(sections))
    parser.add_argument("--repeats", type=int, default=repeats, help="times each candidate runs; medians are shown")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.sections if name not in sections]
    if unknown:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(sections)}")
    limit_threads(1)
    about = machine(1)
    print(f"{about['processor']}, {about['cores']} cores; one thread for everybody")
    print("Python", about["python"], *(f"{name} {version}" for name, version in about["versions"].items()))
    rows = []
    for section in options.sections:
        for row in sections[section](1 if options.smoke else options.repeats, options.smoke):
            rows.append({"section": section, **row})
            print(line(**row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1), encoding="utf-8")

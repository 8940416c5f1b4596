"""What a paper says beside what was measured: the findings of an experiment."""

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_WIDTH = 60


@dataclass(frozen=True)
class Finding:
    """One published or derived figure beside what was measured.

    >>> Finding("EGPO ends at the equilibrium", "derived: linear rate", "<= 1e-6", 3e-9, holds=True).shown
    '3e-09'
    """

    claim: str
    """What is said, in one line."""
    source: str
    """The paper with section or equation, or `derived: ...`."""
    expected: str
    """As printed for people: `<= 1e-6`, `0.199`, `cycles`."""
    measured: float | str
    """From this run."""
    holds: bool
    """Whether the measurement agrees with `expected`."""
    exact: bool = False
    """Whether it is proven for a run of any length, so that a short one must find it too."""

    @property
    def shown(self) -> str:
        """The measurement as printed, a number with three digits."""
        return self.measured if isinstance(self.measured, str) else f"{self.measured:.3g}"


def report(name: str, findings: Sequence[Finding], width: int = _WIDTH, smoke: bool = False) -> str:
    """Expected against measured, in lines of at most `width` characters where no single word is longer.

    Of a short run (`smoke`) only what is proven for a run of any length is judged.

    >>> print(report("limits", [Finding("the gap falls", "derived: rate", "<= 1e-6", 3e-9, holds=True)]))
    limits: 1 of 1 holds
    holds  the gap falls
             expected <= 1e-6
             measured 3e-09
             (derived: rate)
    """
    judged = [one for one in findings if one.exact or not smoke]
    good = sum(one.holds for one in judged)
    short = f" ({len(findings) - len(judged)} not judged in a short run)" if smoke else ""
    lines = [f"{name}: {good} of {len(judged)} {'holds' if len(judged) == 1 else 'hold'}{short}"]
    for one in findings:
        mark = ("holds" if one.holds else "FAILS") if one in judged else "-    "
        lines += _wrapped(one.claim, f"{mark}  ", 7, width)
        for part in (f"expected {one.expected}", f"measured {one.shown}", f"({one.source})"):
            lines += _wrapped(part, " " * 9, 11, width)
    return "\n".join(lines)


def results_folder(script: str, smoke: bool = False) -> Path:
    """The folder `results/NAME` beside an experiment's file, made if it is not there; its `smoke` for a short run.

    >>> import tempfile
    >>> folder = results_folder(str(Path(tempfile.mkdtemp(), "limits.py")), smoke=True)
    >>> folder.parts[-3:], folder.is_dir()
    (('results', 'limits', 'smoke'), True)
    """
    file = Path(script).resolve()
    folder = file.parent / "results" / file.stem / ("smoke" if smoke else "")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def failed(findings: Sequence[Finding], smoke: bool = False) -> list[Finding]:
    """The findings that do not hold; of a short run only those that are proven for a run of any length.

    >>> failed([Finding("it is reached", "measured", "<= 1e-6", 0.1, holds=False)], smoke=True)
    []
    """
    return [one for one in findings if not one.holds and (one.exact or not smoke)]


def command(main: Callable[[bool], list[Finding]], script: str, description: str | None) -> int:
    """Run an experiment from a command line with `--smoke`, print its report; 1 if a finding does not hold."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    smoke = parser.parse_args().smoke
    findings = main(smoke)
    print(report(Path(script).stem, findings, smoke=smoke))
    return 1 if failed(findings, smoke) else 0


def _wrapped(text: str, first: str, rest: int, width: int) -> list[str]:
    """Lines of at most `width` characters, the first after `first`, the others `rest` spaces in."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * rest, break_long_words=False, break_on_hyphens=False
    )

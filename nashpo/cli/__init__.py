"""The command `nashpo`: preference tables solved, verified and described from a terminal.

One file per command. Nothing here imports JAX before the command line has been read.
"""

import contextlib
import gc
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from nashpo.nearest import nearest

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; scripts may rely on them."""

COMMANDS = {
    "solve": "compute the equilibrium of a table or a shipped game and certify it",
    "verify": "check a policy that somebody else computed",
    "describe": "winners, cycles and the maximal lottery of a table",
    "sweep": "run a study: many games, solvers, settings and seeds",
    "plot": "draw a saved result or a saved sweep",
    "lm": "language models: train, sample, judge, evaluate and export checkpoints",
    "games": "list the games that ship with the package",
    "solvers": "list the algorithms and their settings",
    "reproduce": "run an experiment of the source tree: what papers say against what is measured",
}

HELP = """usage: nashpo COMMAND [options]

Equilibria of preference games. A table is a CSV of win probabilities (or wins, or
matches), an .npz archive or a simulations file; a game is a name from `nashpo games`.

commands:
{commands}

  nashpo solve pokemon_types
  nashpo solve table.csv --solver "mnpo:eta=0.1,history=(0.5,0.5)" --plot gap.png
  nashpo COMMAND --help        the options of a command
  nashpo --version

exit codes: 0 done, 1 not converged or verification failed, 2 bad input, 130 interrupted

environment: NO_COLOR turns colours off; NASHPO_CACHE names the folder of compiled
programs (default ~/.cache/nashpo), NASHPO_CACHE=off keeps none"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without `argv`, the command that started this program.

    >>> main(["--version"])
    nashpo 0.1.0
    0
    """
    if argv is not None:
        return _guarded(list(argv))
    # A program that ends soon has no use for the garbage collector, which takes a seventh of JAX's import and as
    # much again on the way out.
    gc.disable()
    code = _guarded(sys.argv[1:])
    if code == INTERRUPTED:
        # Python's way out waits for what JAX still computes, and breaks it off with a crash at times.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    gc.freeze()
    return code


def _guarded(arguments: list[str]) -> int:
    """The exit code of a command, whatever happens to it; every error that the user made is one sentence."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed, as by `nashpo games >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the program runs
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            code = _run(arguments)
            sys.stdout.flush()
            return code
    except ValueError as error:
        return complain(error, BAD_INPUT)
    except MemoryError as error:
        return complain(f"not enough memory: {str(error) or 'none is left'}; take a smaller game", BAD_INPUT)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever reads has seen enough (`nashpo games | head`).
        _mute()
        return OK
    except OSError as error:
        if error.filename is not None:
            raise
        # A full disk under `nashpo games > file` says so where it is printed.
        _mute()
        return complain(f"the output cannot be written ({error.strerror or error}).", FAILED)


def _mute() -> None:
    """Nothing may be flushed into a closed pipe or a full disk on the way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        from nashpo.cli.options import fitted, wrapped

        print(fitted(HELP.format(commands="\n".join(wrapped(f"  {n:<9} {text}", 12) for n, text in COMMANDS.items()))))
        return OK if arguments else BAD_INPUT
    if arguments[0] == "--version":
        from nashpo import __version__

        print(f"nashpo {__version__}")
        return OK
    if arguments[0] not in COMMANDS:
        raise ValueError(f"there is no command {arguments[0]!r}{nearest(arguments[0], COMMANDS)}")
    command = importlib.import_module(f"nashpo.cli.{arguments[0]}")
    return command.run(arguments[1:])


def complain(message: object, code: int) -> int:
    """Say one sentence on stderr; returns the exit code."""
    print(f"nashpo: {message}", file=sys.stderr)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"nashpo: warning: {message}", file=sys.stderr)

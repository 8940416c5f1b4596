"""The text format of the EGPO simulations (Zhou, Fazel, Du 2025): a stack of games in one file."""

import numpy as np

from nashpo.tables.table import PreferenceTable


def is_simulations(text: str) -> bool:
    """Whether the first line is `runs n beta`: two integers and a number, separated by spaces."""
    words = next(iter(text.splitlines()), "").split()
    if len(words) != 3:
        return False
    try:
        return int(words[0]) >= -1 and int(words[1]) >= 0 and float(words[2]) >= 0
    except ValueError:
        return False


def parse_simulations(text: str, source: str) -> PreferenceTable:
    """Read `runs n beta`, then for every run an optional line with its name and n rows of n numbers.

    `runs = -1` reads to the end of the file. One run gives P `[A, A]`, several give `[runs, A, A]`.

    Raises:
        ValueError: the header is not `runs n beta`, a row is ragged or not numeric, a run is missing.
    """
    lines = [(i, line.split()) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not is_simulations(text.lstrip()):
        raise ValueError(f"{source}: line 1 is not `runs n beta` (two integers and a number): no simulations file.")
    runs, n, beta = int(lines[0][1][0]), int(lines[0][1][1]), float(lines[0][1][2])
    if n < 1 or (runs < 1 and runs != -1):
        raise ValueError(f"{source}: line 1 says {runs} runs of {n} actions; both must be positive.")
    tables: list[list[list[float]]] = []
    names: list[str] = []
    position = 1
    while position < len(lines) and (runs == -1 or len(tables) < runs):
        name = f"Run {len(tables)}"
        if not _is_row(lines[position][1], n):
            name = " ".join(lines[position][1])
            position += 1
        block = lines[position : position + n]
        tables.append([_row(words, line, n, name, source) for line, words in block])
        names.append(name)
        if len(block) < n:
            raise ValueError(f"{source}: {name} has {len(block)} rows, but line 1 says n = {n}.")
        position += n
    if position < len(lines):
        raise ValueError(f"{source}: line {lines[position][0]} is left over after {runs} runs of {n} rows.")
    if not tables or (runs != -1 and len(tables) < runs):
        raise ValueError(f"{source}: the file has {len(tables)} runs, but line 1 says {runs}.")
    P = np.array(tables, dtype=np.float64)
    return PreferenceTable(P if len(tables) > 1 else P[0], beta=beta, prompt_names=names, source=source)


def format_simulations(table: PreferenceTable, source: str) -> str:
    """The text that the authors' reader and `parse_simulations` read back bit for bit.

    Raises:
        ValueError: the table has something that the format cannot hold, or names of prompts that look like numbers.
    """
    losses = {
        "scores": table.scale != "probability",
        "item names": tuple(table.items) != tuple(map(str, range(table.shape[1]))),
        "a reference": table.reference is not None,
        "weights of prompts": table.prompts is not None and len(set(table.prompts)) > 1,
    }
    lost = next((what for what, present in losses.items() if present), None)
    if lost is not None:
        raise ValueError(f"{source}: the simulations format holds probabilities, not {lost}; write .npz.")
    for name in table.prompt_names or ():
        if " ".join(name.split()) != name or _is_row(name.split(), table.shape[1]):
            raise ValueError(f"{source}: the simulations format cannot hold the prompt name {name!r}; write .npz.")
    P = table.P if table.P.ndim == 3 else table.P[None]
    beta = float(table.beta or 0.0)
    lines = [f"{P.shape[0]} {P.shape[1]} {beta!r}"]
    for run, rows in enumerate(P.tolist()):
        lines.append(table.prompt_names[run] if table.prompt_names else f"Run {run}")
        lines += [" ".join(map(repr, row)) for row in rows]
    return "\n".join(lines) + "\n"


def _is_row(words: list[str], n: int) -> bool:
    """Whether a line is a row of numbers (of any length), not the name of a run."""
    try:
        [float(word) for word in words]
    except ValueError:
        return len(words) == n and sum(map(_numeric, words)) > n / 2
    return True


def _row(words: list[str], line: int, n: int, name: str, source: str) -> list[float]:
    """The n numbers of one row."""
    if len(words) != n:
        raise ValueError(f"{source}: line {line} ({name}) has {len(words)} numbers, but line 1 says n = {n}.")
    for column, word in enumerate(words, start=1):
        if not _numeric(word):
            raise ValueError(f"{source}: line {line} ({name}), column {column}: {word!r} is not a number.")
    return [float(word) for word in words]


def _numeric(word: str) -> bool:
    """Whether a word reads as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True

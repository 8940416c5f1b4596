"""The table `[data]`: prompts to train on and prompts held out."""

import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nashpo.lm.config.tables import Data, texts
from nashpo.lm.prompts import Prompts
from nashpo.lm.text import Text
from nashpo.studies.document import Document


class Asked(NamedTuple):
    """The prompts of a run, those that are held out last."""

    prompts: Prompts
    contexts: np.ndarray
    """int32 `[X, P]`."""
    weights: np.ndarray
    """`[X]`: equal for the prompts that are trained on, 0 for those held out."""

    @property
    def held_out(self) -> np.ndarray:
        """The numbers of the prompts that are held out."""
        return np.flatnonzero(self.weights == 0)


def read_data(document: Document, data: Data, text: Text) -> Asked:
    """The prompts that `[data]` names, as tokens.

    Raises `ValueError` naming the file and the line, for files that are not there, prompts that are empty, over-long
    or refused by the chat template, and where nothing is left to train on.

    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> from nashpo.studies.document import read_document
    >>> prompts = Prompts.of(["red", "red red", "red"])
    >>> asked = read_data(read_document({}), Data(prompts, held_out=1), tiny_tokenizer(["red"]))
    >>> asked.weights.tolist(), asked.held_out.tolist()
    ([0.5, 0.5, 0.0], [2])
    """
    prompts = _kept(document, ("data", "prompts"), _read(document, ("data", "prompts"), data.prompts, data), data, text)
    if isinstance(data.held_out, int):
        count = data.held_out
        if count >= len(prompts):
            document.wrong(("data", "held_out"), f"is {count}, but there are {len(prompts)} prompts; leave some.")
    else:
        place = ("data", "held_out")
        others = _kept(document, place, _read(document, place, data.held_out, data), data, text)
        count, prompts = len(others), joined(prompts, others)
    contexts = prompts.contexts(text, data.longest, truncate=data.overlong == "truncate")
    weights = np.full(len(prompts), 1.0 / (len(prompts) - count))
    weights[len(prompts) - count :] = 0.0
    return Asked(prompts, contexts, weights)


def joined(*parts: Prompts) -> Prompts:
    """Prompts one after the other.

    >>> joined(Prompts.of(["one"]), Prompts.of(["two"])).items
    ['one', 'two']
    """
    items = [item for part in parts for item in part.items]
    return Prompts(items, tuple(where for part in parts for where in part.where))


def files_of(document: Document, place: tuple[str, ...], value: Any) -> list[Path]:
    """The files that a name, a pattern or a list of them stands for, relative to the document.

    Raises `ValueError` for one that matches nothing.
    """
    try:
        names = texts(value)
    except ValueError as error:
        document.wrong(place, f"is {value!r}, but must be a file, a pattern or a list of them: {error}.")
    found = []
    for name in names:
        path = str(document.folder / name)
        matched = sorted(glob.glob(path)) if glob.has_magic(name) else [path]
        if not matched or not all(Path(one).is_file() for one in matched):
            document.wrong(place, f"is {name!r}, but there is no such file: {path}.")
        found += [Path(one) for one in matched]
    return found


def _read(document: Document, place: tuple[str, ...], value: Any, data: Data) -> Prompts:
    if isinstance(value, Prompts):
        return value
    return joined(*(Prompts.read(path, data.key) for path in files_of(document, place, value)))


def _kept(document: Document, place: tuple[str, ...], prompts: Prompts, data: Data, text: Text) -> Prompts:
    """The prompts without those that are too long, where they are to be dropped."""
    if data.overlong != "error" and data.longest is None:
        document.wrong(("data", "overlong"), f'is "{data.overlong}", which needs longest: write longest = 1024.')
    return prompts.within(text, data.longest) if data.overlong == "drop" and data.longest else prompts

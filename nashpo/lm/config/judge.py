"""The table `[judge]`: who says which answer is better."""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nashpo.lm import judges
from nashpo.lm.config.making import made, settings
from nashpo.lm.config.tables import some_text
from nashpo.lm.text import Text
from nashpo.nearest import nearest
from nashpo.studies.document import Document
from nashpo.studies.values import at_least_zero, positive, up_to_one, whole

KINDS = {
    "reward": "Reward",
    "pair": "PairClassifier",
    "pairrm": "PairRM",
    "choice": "Choice",
    "preference": "GeneralPreference",
    "function": "Function",
    "scores": "RewardFunction",
    "remote": "Remote",
}
"""Kinds of judges and their classes in `nashpo.lm.judges`; beside them there is "ensemble"."""

OUTER = ("kind", "cache", "retries", "wait", "unfinished_penalty")
"""Keys of every judge; `unfinished_penalty` is the game's."""

Build = Callable[[Any], Any]
Planned = tuple[Build, "tuple[PlannedModel, ...]"]

_PATHS = ("path", "adapter", "tokenizer")
"""Settings of judges that are paths."""

_CHECKS: dict[str, Callable[[Any], Any]] = {
    "cache": some_text,
    "retries": whole(0),
    "wait": at_least_zero,
    "unfinished_penalty": up_to_one,
}


@dataclasses.dataclass(frozen=True)
class PlannedModel:
    """A checkpoint that a judge will load.

    >>> from nashpo.studies.document import read_document
    >>> PlannedModel(read_document({}), ("judge",), judges.Reward, {"path": "reward-model"}).path.name
    'reward-model'
    """

    document: Document
    place: tuple[str, ...]
    """Its table in the document."""
    maker: Any
    """The judge's class."""
    settings: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The directory of the checkpoint."""
        return Path(str(self.settings["path"]))

    @functools.cached_property
    def text(self) -> Text:
        """Its tokenizer."""
        return Text.load(self.path)

    def load(self, devices: Any) -> Any:
        """The judge, its parameters placed by `devices`."""
        try:
            text, checkpoint = self.text, self.maker.read(self.path, self.settings.get("dtype"), devices)
        except ValueError as error:
            self.document.wrong(self.place, f": {error}")
        return self._opened(text, checkpoint)

    def look(self) -> Any:
        """The judge as it would be loaded, without its parameters."""
        try:
            text, checkpoint = self.text, self.maker.look(self.path)
        except ValueError as error:
            self.document.wrong((*self.place, "path"), f": {error}")
        return self._opened(text, checkpoint)

    def _opened(self, text: Text, checkpoint: Any) -> Any:
        options = {key: value for key, value in self.settings.items() if key not in ("path", "dtype")}
        try:
            return self.maker.opened(text, checkpoint, options)
        except (ValueError, TypeError) as error:
            self.document.wrong(self.place, f": {error}")


@dataclasses.dataclass(frozen=True)
class PlannedJudge:
    """A judge that is loaded when it is built; `build` takes what `nashpo.lm.files.load` calls `place`.

    >>> PlannedJudge(lambda place: "judge", 0.0).build(None)
    'judge'
    """

    build: Build
    unfinished_penalty: float
    models: tuple[PlannedModel, ...] = ()
    """The checkpoints that it will load."""


def read_judge(document: Document, name: str = "judge") -> PlannedJudge:
    """The judge of the table `[judge]`, all its settings checked; models are loaded by `build`.

    `kind` is reward, pair, pairrm, choice, preference (checkpoints, `path = ...`), function or scores (Python,
    `function = "package.module:name"`, found beside the file too), remote (`url = ...`) or ensemble of
    `[[judge.members]]`, each with a `weight`. Other keys are the arguments of its class. `cache` names a folder for
    verdicts, `retries` how often a judge that fails is asked again.

    Raises `ValueError` naming the line, for an unknown kind, settings that it has not, and checkpoints that are not
    there.

    >>> from nashpo.studies.document import read_document
    >>> read_judge(read_document({"judge": {"kind": "rewrad"}}))
    Traceback (most recent call last):
        ...
    ValueError: study: judge.kind is 'rewrad': there is no such judge; did you mean 'reward'?
    """
    given = document.entries.get(name)
    if hasattr(given, "compare"):
        return PlannedJudge(lambda place: given, 0.0)
    if not isinstance(given, Mapping):
        raise ValueError(f"{document.source}: there is no [{name}] with kind = ...")
    penalty = _outer(document, (name,), given).get("unfinished_penalty", 0.0)
    build, models = _planned(document, (name,), given)
    return PlannedJudge(build, penalty, models)


def named(given: Any, folder: Path) -> Any:
    """What tells judges apart in words that JSON can hold: kind, checkpoint and its weights, function, members.

    The code of a function is left out, for it may be mended, and so are the other settings.

    >>> named({"kind": "function", "function": "mine:better", "retries": 3}, Path())
    {'kind': 'function', 'function': 'mine:better'}
    """
    if not isinstance(given, Mapping):
        return type(given).__name__
    found = {key: given[key] for key in ("kind", "path", "url", "weight") if key in given}
    if "function" in given:
        function = given["function"]
        found["function"] = function if isinstance(function, str) else getattr(function, "__qualname__", None)
    if "path" in given:
        found["digest"] = _digest(folder / str(given["path"]))
    if "members" in given:
        found["members"] = [named(member, folder) for member in given["members"]]
    return found


def _digest(folder: Path) -> str:
    """A checksum of pieces of all tensors in a directory: training changes it, and large files are not read whole."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        found.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for piece in range(64):
                stream.seek(size * piece // 64)
                found.update(stream.read(4096))
    return found.hexdigest()


def _planned(document: Document, place: tuple[str, ...], given: Mapping[str, Any]) -> Planned:
    """What builds the judge of a table, and the checkpoints that it loads."""
    outer = _outer(document, place, given)
    settings = {key: value for key, value in given.items() if key not in OUTER}
    kind = given.get("kind")
    known = [*KINDS, "ensemble"]
    if kind not in known:
        document.wrong((*place, "kind"), f"is {kind!r}: there is no such judge{nearest(str(kind), known)}")
    if kind == "ensemble":
        inner, models = _ensemble(document, place, settings)
    else:
        inner, models = _single(document, place, kind, settings, outer)
    retries = outer.get("retries", 0 if kind == "ensemble" or models else 2)

    def build(place: Any) -> Any:
        judge = inner(place)
        if kind != "remote" and retries:
            judge = judges.Retried(judge, retries, outer.get("wait", 1.0))
        return judge if "cache" not in outer else judges.Cached(judge, document.folder / outer["cache"])

    return build, models


def _single(
    document: Document, place: tuple[str, ...], kind: str, given: dict[str, Any], outer: Mapping[str, Any]
) -> Planned:
    for key in _PATHS:
        if isinstance(given.get(key), str):
            given[key] = str(document.folder / given[key])
    path = given.get("path")
    if isinstance(path, str) and Path(path, "adapter_config.json").is_file():
        document.wrong(
            (*place, "path"),
            f"is {path!r}, which is an adapter; a judge is a whole checkpoint: merge the adapter into its base, with "
            "PEFT's merge_and_unload, or nashpo lm export --how merged for a run.",
        )
    if isinstance(path, str) and not Path(path, "config.json").is_file():
        document.wrong((*place, "path"), f"is {path!r}, which is no directory of a checkpoint (config.json).")
    if kind in ("function", "scores"):
        folder = str(document.folder.resolve())
        if folder not in sys.path:
            sys.path.append(folder)
    if kind == "remote":
        given |= {key: outer[key] for key in ("retries", "wait") if key in outer}
    if isinstance(given.get("layout"), Mapping):
        given["layout"] = made(document, (*place, "layout"), judges.Layout, given["layout"])
    maker = getattr(judges, KINDS[kind])
    if not hasattr(maker, "load"):
        judge = made(document, place, maker, given, extra=OUTER)
        return lambda place: judge, ()
    model = PlannedModel(document, place, maker, settings(document, place, maker.load, given, ("place",), OUTER))
    return model.load, (model,)


def _ensemble(document: Document, place: tuple[str, ...], settings: dict[str, Any]) -> Planned:
    members = settings.pop("members", None)
    for key in settings:
        document.unknown((*place, key), [*OUTER, "members"])
    if not isinstance(members, list) or not members or not all(isinstance(one, Mapping) for one in members):
        document.wrong(place, f"needs members: write [[{'.'.join(place)}.members]] for each, with kind and weight.")
    makers, weights, models = [], [], []
    for number, member in enumerate(members):
        entry, here = dict(member), (*place, "members", str(number))
        try:
            weights.append(positive(entry.pop("weight", 1.0)))
        except ValueError as error:
            document.wrong((*here, "weight"), f"is {member['weight']!r}, but must be {error}.")
        if "unfinished_penalty" in entry:
            document.wrong((*here, "unfinished_penalty"), "belongs to the whole judge.")
        make, found = _planned(document, here, entry)
        makers.append(make)
        models += found
    shares = [weight / sum(weights) for weight in weights]
    return lambda place: judges.Ensemble([make(place) for make in makers], shares), tuple(models)


def _outer(document: Document, place: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of every judge, checked."""
    found = {}
    for key, check in _CHECKS.items():
        if key in given:
            try:
                found[key] = check(given[key])
            except ValueError as error:
                document.wrong((*place, key), f"is {given[key]!r}, but must be {error}.")
    return found

"""The tables of a configuration: what each key may be, and what it is when it is left out."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nashpo.studies.document import Document
from nashpo.studies.settings import checked
from nashpo.studies.values import at_least_zero, inside_one, listed, one_of, positive_up_to_one, whole


def some_text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def yes_or_no(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def anything(value: Any) -> Any:
    """Whatever it is: somebody else looks at it."""
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one.

    >>> texts("one")
    ('one',)
    """
    found = tuple(value) if listed(value) else (value,)
    if not found or not all(isinstance(one, str) and one for one in found):
        raise ValueError("a text, or a list of them")
    return found


@dataclasses.dataclass(frozen=True)
class Model:
    """`[model]`: what is trained.

    >>> Model("checkpoint").remat
    True
    """

    path: str
    adapter: str | None = None
    reference: str | None = None
    dtype: str | None = None
    lora: Any = None
    remat: bool = True
    chunk: int = 32


@dataclasses.dataclass(frozen=True)
class Data:
    """`[data]`: what is answered.

    >>> Data("prompts.jsonl").overlong
    'error'
    """

    prompts: Any
    key: str = "prompt"
    longest: int | None = None
    overlong: str = "error"
    held_out: Any = 0


@dataclasses.dataclass(frozen=True)
class Generation:
    """`[generation]`: how answers are drawn.

    >>> Generation().new_tokens
    128
    """

    new_tokens: int = 128
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    batch: int = 64
    """Prompts that are answered at once."""


@dataclasses.dataclass(frozen=True)
class Run:
    """`[run]`: how long, and where to.

    >>> Run(steps=10).export
    'auto'
    """

    steps: int
    seed: int = 0
    folder: str | None = None
    save_every: int | None = None
    keep: int = 2
    completions: int = 4
    export: str = "auto"
    tensorboard: bool = False


@dataclasses.dataclass(frozen=True)
class Measuring:
    """`[evaluation]`: how the run is measured.

    >>> Measuring().history
    4
    """

    every: int | None = None
    prompts: int = 64
    responses: int = 2
    history: int = 4
    confidence: float = 0.9


@dataclasses.dataclass(frozen=True)
class Spread:
    """`[mesh]`: over how many devices; without the table there is one.

    >>> Spread(fsdp=4).given
    True
    """

    fsdp: int | None = None
    tensor: int | None = None

    @property
    def given(self) -> bool:
        """Whether there is a mesh."""
        return self.fsdp is not None or self.tensor is not None


def _held_out(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    try:
        return whole(0)(value)
    except ValueError:
        raise ValueError("how many of the last prompts, or a file of others") from None


KINDS: dict[str, tuple[type, dict[str, Callable[[Any], Any]]]] = {
    "model": (
        Model,
        {
            "path": some_text,
            "adapter": some_text,
            "reference": some_text,
            "dtype": one_of("float32", "bfloat16", "float16"),
            "lora": anything,
            "remat": yes_or_no,
            "chunk": whole(1),
        },
    ),
    "data": (
        Data,
        {
            "prompts": anything,
            "key": some_text,
            "longest": whole(1),
            "overlong": one_of("error", "drop", "truncate"),
            "held_out": _held_out,
        },
    ),
    "generation": (
        Generation,
        {
            "new_tokens": whole(1),
            "temperature": at_least_zero,
            "top_k": whole(1),
            "top_p": positive_up_to_one,
            "stop": texts,
            "batch": whole(1),
        },
    ),
    "run": (
        Run,
        {
            "steps": whole(1),
            "seed": whole(0),
            "folder": some_text,
            "save_every": whole(1),
            "keep": whole(1),
            "completions": whole(0),
            "export": one_of("auto", "adapter", "merged", "full", "none"),
            "tensorboard": yes_or_no,
        },
    ),
    "evaluation": (
        Measuring,
        {
            "every": whole(0),
            "prompts": whole(4),
            "responses": whole(2),
            "history": whole(1),
            "confidence": inside_one,
        },
    ),
    "mesh": (Spread, {"fsdp": whole(1), "tensor": whole(1)}),
}
"""Tables whose keys are plain values: the class that holds them, and what turns a value into a checked one."""


def read_table(document: Document, name: str) -> Any:
    """The values of one table, every default filled in.

    Raises `ValueError` naming the file, the line and the key that is unknown, missing or not what it must be.

    >>> from nashpo.studies.document import read_document
    >>> read_table(read_document({"run": {"steps": 5, "seed": 2}}), "run").seed
    2
    >>> read_table(read_document({"run": {"stpes": 5}}), "run")
    Traceback (most recent call last):
        ...
    ValueError: study: run.stpes is not known; did you mean 'steps'?
    """
    holder, kinds = KINDS[name]
    given = document.entries.get(name, {})
    if not isinstance(given, Mapping):
        document.wrong((name,), f"is {given!r}, but must be a table: write [{name}].")
    values = checked(document, (name,), given, kinds)
    for field in dataclasses.fields(holder):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            if not given:
                raise ValueError(f"{document.source}: there is no [{name}] with {field.name} = ...")
            document.wrong((name,), f"needs {field.name}: write {field.name} = ...")
    return holder(**values)

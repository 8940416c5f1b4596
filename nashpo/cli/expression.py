"""`name:key=value,...` and `name(key=value, ...)`: an object and its settings, as one writes them on a command line.

Values are literals (`0.5`, `(0.5, 0.5)`, `none`), words (`current`) or other objects of the same kind
(`inpo(eta=0.3)`). Nothing is evaluated: the text is parsed, names are looked up, settings are compared with
the constructor's signature.
"""

import ast
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nashpo.nearest import nearest
from nashpo.signature import annotations, choices

_WORDS = {"none": None, "true": True, "false": False}
_PLAIN = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}


@dataclass(frozen=True)
class Written:
    """A name and its settings, as they were written."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    called: bool = True
    """Whether there were settings or parentheses; a bare name may be a word."""


def parse(text: str, what: str) -> Written:
    """What was written; `what` names it in messages ("solver").

    Raises `ValueError` for text that is not a name with settings.

    >>> parse("mnpo:history=(0.5,0.5),opponents=current", "solver").settings["history"]
    (0.5, 0.5)
    >>> parse("my.module:Solver:eta=0.1", "solver").name
    'my.module:Solver'
    """
    name, settings = _split(text.strip())
    name = name.replace("-", "_")
    wrong = f"{what} {text!r} cannot be read: write name or name:key=value,key=value."
    if not name or not all(part.isidentifier() for part in name.replace(":", ".").split(".")):
        raise ValueError(wrong)
    try:
        call = ast.parse(f"f({settings})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise ValueError(wrong) from None
    if not isinstance(call, ast.Call):
        raise ValueError(wrong)
    return Written(name, _settings(call, f"{what} {text!r}"), bool(settings))


def build(written: Written, find: Callable[[str], Any], what: str, defaults: Mapping[str, Any] | None = None) -> Any:
    """The object: `find(name)` called with the settings and, for parameters nobody set, `defaults`.

    Raises `ValueError` naming the setting that is unknown, of the wrong kind or missing.
    """
    maker = find(written.name)
    label = f"{what} {written.name}"
    if not callable(maker):
        raise ValueError(f"{label} is neither a class nor a function.")
    parameters = inspect.signature(maker).parameters
    for key in written.settings:
        if key not in parameters:
            tail = nearest(key, parameters) if parameters else "; it has none."
            raise ValueError(f"{label} has no setting {key!r}{tail}")
    # An object among the settings shares what its owner was given: apo:eta=0.3,base=sppo.
    shared = {key: written.settings.get(key, value) for key, value in (defaults or {}).items()}

    def make(inner: Written) -> Any:
        return build(inner, find, what, shared)

    for key, value in written.settings.items():
        if value is None and parameters[key].default is not None:
            raise ValueError(f"{label}: {key} cannot be none.")
    kinds = annotations(maker)
    settings = {
        k: v if v is None else _fitting(v, kinds.get(k), f"{label}: {k}", make) for k, v in written.settings.items()
    }
    settings |= {k: v for k, v in shared.items() if k in parameters and k not in settings}
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings:
            raise ValueError(f"{label} needs {key}: write {written.name}:{key}=...")
    return maker(**settings)


def _split(text: str) -> tuple[str, str]:
    """The name, and the settings without the brackets."""
    if text.endswith(")") and "(" in text and "=" not in text.partition("(")[0]:
        name, _, rest = text.partition("(")
        return name.strip(), rest[:-1]
    name, _, rest = text.partition(":")
    second, more, tail = rest.partition(":")
    if rest and "=" not in second:
        return f"{name}:{second}", tail if more else ""
    return name, rest


def _settings(call: ast.Call, where: str) -> dict[str, Any]:
    if call.args or any(k.arg is None for k in call.keywords):
        raise ValueError(f"{where}: write every setting as key=value.")
    settings = {}
    for keyword in call.keywords:
        if keyword.arg in settings:
            raise ValueError(f"{where}: {keyword.arg} is given twice.")
        settings[str(keyword.arg)] = _read(keyword.value, where)
    return settings


def _read(node: ast.expr, where: str) -> Any:
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id.lower(), Written(node.id, called=False))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return Written(node.func.id, _settings(node, where))
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_read(element, where) for element in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{where}: {ast.unparse(node)!r} is not a number, a word or a tuple of them.") from None


def _fitting(value: Any, annotation: Any, label: str, make: Callable[[Written], Any]) -> Any:
    """`value` if the parameter can take it; words become choices or objects."""
    if typing.get_origin(annotation) is tuple or (isinstance(value, tuple) and annotation is None):
        return tuple(_fitting(v, float, label, make) for v in (value if isinstance(value, tuple) else (value,)))
    words = choices(annotation)
    word = value.name if isinstance(value, Written) and not value.called else value
    if words and isinstance(word, str):
        if word in words:
            return word
        raise ValueError(f"{label} is {word!r}, but must be one of {', '.join(words)}.")
    if isinstance(value, Written) and annotation not in _PLAIN:
        try:
            return make(value)
        except ValueError as error:
            raise ValueError(f"{label} is {value.name!r}, which is no number, and {error}") from None
    value = word if annotation is str else value
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    fits = type(value) in (int, float) if annotation is float else type(value) is annotation
    known = annotation in _PLAIN or (annotation is not None and isinstance(value, bool | tuple))
    if not fits and (known or isinstance(value, str)):
        raise ValueError(f"{label} is {word!r}, but must be {_PLAIN.get(annotation, 'a number')}.")
    return value

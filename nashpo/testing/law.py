"""How a broken law is said: one sentence with who, which law, where, by how much, and what to do."""

import dataclasses
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class BrokenLaw(AssertionError):
    """A law that a part of a game or an algorithm owes does not hold: an `AssertionError` with the sentence.

    >>> from nashpo.oracles import Table
    >>> from nashpo.testing import check_oracle
    >>> try:
    ...     check_oracle(Table(np.array([[[0.5, 1.9], [-0.9, 0.5]]])))
    ... except BrokenLaw as broken:
    ...     print(str(broken).split(";")[0])
    Table breaks the law "table() is [prompts, responses, responses], finite and on its scale": table()[0, 0, 1] is 1.9
    """


class Law:
    """One law that `subject` owes: what is measured inside `with` either holds or ends in one sentence.

    An exception of the code under test, whatever its kind, is such a sentence too.

    >>> with Law("Coin", "both sides are equally likely", "mint another one") as law:
    ...     law.close([0.5, 0.6], [0.5, 0.5], "the chance", ["side"], atol=1e-3)
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Coin breaks the law "both sides are equally likely": the chance is 0.6 at side 1 \
instead of 0.5, off by 0.1 (allowed: 0.001); mint another one.
    """

    def __init__(self, subject: str, text: str, remedy: str) -> None:
        self.subject, self.text, self.remedy = subject, text, remedy

    def __enter__(self) -> "Law":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, BrokenLaw):
            said = (str(error).strip() or "without a word").splitlines()[0][:200].rstrip(".")
            if isinstance(error, jax.errors.JAXTypeError):
                self.remedy = (
                    "it is compiled: compute with jax.numpy (jnp.where for an if), and turn no value into Python's"
                )
            raise self.broken(f"{type(error).__name__} was raised ({said})") from error

    def broken(self, found: str) -> BrokenLaw:
        """The sentence about what was found."""
        return BrokenLaw(f'{self.subject} breaks the law "{self.text}": {found}; {self.remedy}.')

    def require(self, holds: Any, found: str) -> None:
        """Raise unless it holds; `found` says what was found instead."""
        if not bool(holds):
            raise self.broken(found)

    def shape(self, found: Any, expected: tuple[int, ...], what: str) -> None:
        """Raise unless `what` has the shape."""
        self.require(np.shape(found) == tuple(expected), f"{what} has shape {np.shape(found)}, not {tuple(expected)}")

    def close(
        self, found: Any, expected: Any, what: str, axes: Any = (), *, atol: float = 0.0, rtol: float = 0.0
    ) -> None:
        """Raise unless `|found - expected| <= atol + rtol |expected|` everywhere; `axes` name the axes."""
        found, expected = np.asarray(found), np.asarray(expected)
        self.shape(found, expected.shape, what)
        with np.errstate(invalid="ignore"):
            error = np.where(found == expected, 0.0, np.abs(np.subtract(found, expected, dtype=float)))
        allowed = atol + rtol * np.abs(expected)
        excess = np.where(np.isnan(error), np.inf, error - allowed)
        if not excess.size or excess.max() <= 0:
            return
        at = np.unravel_index(np.argmax(excess), excess.shape)
        names = [*axes, *(f"axis {i}" for i in range(len(axes), len(at)))]
        place = " at " + ", ".join(f"{name} {index}" for name, index in zip(names, at, strict=False)) if at else ""
        value, wanted = (float(array[at]) for array in (found, expected))
        numbers = f"{value:.9g}{place} instead of {wanted:.9g}"
        raise self.broken(f"{what} is {numbers}, off by {error[at]:.2g} (allowed: {np.max(allowed[at]):.2g})")


def check_fields(subject: str, thing: Any) -> None:
    """Raise unless `thing` is a pytree whose numbers are leaves and whose structure is static.

    >>> from nashpo.struct import record, static
    >>> @record
    ... class Frozen:
    ...     eta: float = static(default=0.5)
    >>> check_fields("Frozen", Frozen())
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Frozen breaks the law "a number is a leaf, structure is static": its field eta = 0.5 \
is static, so that every new value compiles again; declare numbers as plain fields and structure with static().
    """
    if isinstance(thing, type):
        with Law(thing.__name__, "it is an instance", f"give {thing.__name__}(...)") as law:
            raise law.broken("it is the class")
    remedy = "make the class a pytree with @nashpo.struct.record"
    with Law(subject, "it is a pytree", remedy) as law:
        leaves, structure = jax.tree.flatten(thing)
        law.require(not any(leaf is thing for leaf in leaves), f"jax.tree.leaves({subject}) is the object itself")
        again = jax.tree.unflatten(structure, leaves)
        law.require(type(again) is type(thing), f"a round trip through its leaves gives a {type(again).__name__}")
        law.require(
            [id(leaf) for leaf in jax.tree.leaves(again)] == [id(leaf) for leaf in leaves],
            "a round trip through its leaves changes them",
        )
    remedy = "declare numbers as plain fields and structure with static()"
    with Law(subject, "a number is a leaf, structure is static", remedy) as law:
        for path, leaf in jax.tree_util.tree_leaves_with_path(thing):
            name = jax.tree_util.keystr(path).lstrip(".")
            number = isinstance(leaf, float | int | np.ndarray | np.generic | jax.Array) and not isinstance(leaf, bool)
            law.require(number or callable(leaf), f"its field {name} = {leaf!r} is a leaf but no number")
        for name, value in _static_fields(thing):
            real = isinstance(value, float | np.ndarray | np.generic | jax.Array)
            law.require(not real, f"its field {name} = {value} is static, so that every new value compiles again")
            try:
                hash(value)
            except TypeError:
                raise law.broken(f"its static field {name} is a {type(value).__name__}, which has no hash") from None


def _static_fields(thing: Any) -> list[tuple[str, Any]]:
    """Names and values of the static fields of a record and of the records in it."""
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return []
    found: list[tuple[str, Any]] = []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        found += [(field.name, value)] if field.metadata.get("static") else []
        found += [(f"{field.name}.{name}", inner) for name, inner in _static_fields(value)]
    return found


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is a real number or an array of them.

    >>> is_floating(np.zeros(2)), is_floating(1.0), is_floating(np.zeros(2, int))
    (True, True, False)
    """
    kinds = float | np.ndarray | np.generic | jax.Array
    return isinstance(leaf, kinds) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def cast(thing: Any, dtype: Any) -> Any:
    """The same pytree with the floating arrays among its leaves in `dtype`, each in its own array library.

    >>> cast((np.zeros(2), 1.0, np.zeros(2, int)), np.float32)[0].dtype
    dtype('float32')
    """

    def convert(leaf: Any) -> Any:
        return leaf.astype(dtype) if hasattr(leaf, "astype") and is_floating(leaf) else leaf

    return jax.tree.map(convert, thing)

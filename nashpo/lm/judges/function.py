"""Python functions as judges."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nashpo.importing import imported
from nashpo.lm.judges.base import JudgeError, checked, identity_of, numbers, same_length
from nashpo.lm.judges.scored import Scored
from nashpo.lm.text import Prompt


class Function:
    """A function that compares two answers to each of several prompts.

        p = function(prompts [N], left [N], right [N]), N win probabilities or 0/1 verdicts for the left answer
        symmetrise:  P(left, right) = (p(left, right) + 1 - p(right, left)) / 2

    `function` is a callable or named as `package.module:name`. Both orders are asked in one call. Without
    `symmetrise` the function is trusted that it does not mind the order.

    Raises `ValueError` for a function that cannot be found.

    >>> first = Function(lambda prompts, left, right: [True for _ in prompts])
    >>> first.compare(["Say something."], ["a"], ["b"]).tolist()
    [0.5]
    """

    def __init__(self, function: Callable[..., Any] | str, symmetrise: bool = True) -> None:
        self.function = found(function)
        self.symmetrise = symmetrise
        self.name = _name(function)

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`.

        Raises `JudgeError` where the function fails or returns something that is no win probability.
        """
        same_length(prompts, left, right)
        prompts, left, right = list(prompts), list(left), list(right)
        if not prompts:
            return np.zeros(0)
        if not self.symmetrise:
            return checked(_called(self.function, self.name, prompts, left, right), prompts, self.name)
        said = _called(self.function, self.name, prompts * 2, left + right, right + left)
        numbers(said, 2 * len(prompts), self.name, "pairs, each in both orders")
        forward = checked(said[: len(prompts)], prompts, self.name)
        backward = checked(said[len(prompts) :], prompts, f"{self.name}, asked in the other order,")
        return (forward + 1.0 - backward) / 2

    def identity(self) -> str:
        """The function's name and code, and whether both orders are asked."""
        return f"Function {self.symmetrise} {identity_of(self.function)}"


class RewardFunction(Scored):
    """A function that scores answers: `P(y beats y') = 1 / (1 + exp(-(r(y) - r(y')) / temperature))`.

        r = function(prompts [N], answers [N]), N numbers

    `function` is a callable or named as `package.module:name`; each answer is scored once. Such a judge is never
    cyclic.

    Raises `ValueError` for a function that cannot be found, or a temperature that is not positive.

    >>> longer = RewardFunction(lambda prompts, answers: [len(answer) for answer in answers])
    >>> longer.compare(["Say something."], ["aa"], ["a"]).round(3).tolist()
    [0.731]
    """

    def __init__(self, function: Callable[..., Any] | str, temperature: float = 1.0) -> None:
        self.function = found(function)
        self.temperature = positive(temperature, "temperature")
        self.name = _name(function)

    def scores(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Any:
        """The function's numbers.

        Raises `JudgeError` where it fails.
        """
        return _called(self.function, self.name, list(prompts), list(answers))

    def identity(self) -> str:
        """The function's name and code, and the temperature."""
        return f"RewardFunction {self.temperature} {identity_of(self.function)}"


def found(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """A function, which may be named as `package.module:name`.

    Raises `ValueError` for what is no function or is not there.

    >>> found("os.path:basename")("a/b")
    'b'
    """
    named = imported(function, "the judge") if isinstance(function, str) else function
    if not callable(named):
        raise ValueError(f"the judge {function!r} is no function: give one that can be called.")
    return named


def positive(value: float, name: str) -> float:
    """`value` as a float.

    Raises `ValueError` unless it is positive and finite.
    """
    if not (isinstance(value, int | float) and np.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: must be a positive finite number.")
    return float(value)


def _called(function: Callable[..., Any], name: str, *columns: list[Any]) -> Any:
    """What the function returns."""
    try:
        return function(*columns)
    except JudgeError:
        raise
    except Exception as error:  # a user's function raises what it likes
        raise JudgeError(f"the judge {name} failed ({type(error).__name__}: {error}).") from error


def _name(function: Callable[..., Any] | str) -> str:
    return function if isinstance(function, str) else getattr(function, "__name__", type(function).__name__)

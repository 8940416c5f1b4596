"""Parameters read out of files: each tensor under the name and shape that an architecture gives it."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from nashpo.lm.files.tensors import Tensors


class ParameterReader:
    """Reads parameters into place, and remembers which tensors it has seen."""

    def __init__(self, tensors: Tensors, dtype: Any, place: Callable[[str, np.ndarray], Any]) -> None:
        self.tensors, self.place = tensors, place
        self.dtype = None if dtype is None else jnp.dtype(dtype)
        self.seen: set[str] = set()

    def look(self, file: str, shape: tuple[int | None, ...]) -> None:
        """Refuse a tensor that is missing or of another shape."""
        if file not in self.tensors:
            raise ValueError(f"{self.tensors.folder}: the tensor {file} is missing; the checkpoint is not complete.")
        self.seen.add(file)
        self.tensors.check(file, shape)

    def array(self, file: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """One tensor of this shape."""
        self.look(file, shape)
        return self.tensors.read(file)

    def single(self, name: str, file: str, shape: tuple[int | None, ...]) -> Any:
        """A parameter that is one tensor."""
        array = self.array(file, shape)
        return self.place(name, array if self.dtype is None else array.astype(self.dtype, copy=False))

    def stacked(self, name: str, files: list[str], shape: tuple[int, ...]) -> Any:
        """A parameter of every layer; matrices are turned, for files have them `[out, in]`."""
        stack = None
        for number, file in enumerate(files):
            array = self.array(file, shape[::-1])
            if stack is None:
                stack = np.empty((len(files), *shape), array.dtype if self.dtype is None else self.dtype)
            stack[number] = array.T
        assert stack is not None
        return self.place(name, stack)

    def check_rest(self, family: str, ignored: tuple[str, ...]) -> None:
        """Refuse tensors that nobody has read, but for those whose names end in one of `ignored`."""
        unknown = [name for name in self.tensors if name not in self.seen and not name.endswith(ignored)]
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            folder = self.tensors.folder
            raise ValueError(f"{folder}: {unknown[0]}{more} is no parameter of a {family} model as configured.")

    def check_tied(self, head: str, embed: str, shape: tuple[int, ...]) -> None:
        """Refuse a head of its own in a model whose configuration says that it is the embedding."""
        if not np.array_equal(self.array(head, shape), self.array(embed, shape)):
            raise ValueError(
                f"{self.tensors.folder}: {head} differs from {embed}, but config.json says that they are tied; "
                "set tie_word_embeddings to false there."
            )


class ParameterLooker(ParameterReader):
    """Looks at names and shapes only; parameters are zeros that take no memory."""

    def single(self, name: str, file: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """A parameter that is one tensor, which is looked at."""
        self.look(file, shape)
        return np.broadcast_to(np.zeros((), self.tensors.dtype(file)), self.tensors.shape(file))

    def stacked(self, name: str, files: list[str], shape: tuple[int, ...]) -> np.ndarray:
        """A parameter of every layer, whose tensors are looked at."""
        for file in files:
            self.look(file, shape[::-1])
        return np.broadcast_to(np.zeros((), self.tensors.dtype(files[0])), (len(files), *shape))

    def check_tied(self, head: str, embed: str, shape: tuple[int, ...]) -> None:
        """Look at a head beside a tied embedding."""
        self.look(head, shape)


def on_device(name: str, array: np.ndarray) -> Any:
    """The array on the default device.

    >>> on_device("embed", np.ones(2)).shape
    (2,)
    """
    return jnp.asarray(array)

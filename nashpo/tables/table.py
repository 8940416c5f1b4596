"""A preference table as it comes from outside: numbers, names, and what the file said beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.validation import validate, validate_distribution, validate_items
from nashpo.validation.items import frame_items
from nashpo.validation.wording import at

if TYPE_CHECKING:
    from nashpo.typing import Scale


@dataclass(frozen=True, eq=False)
class PreferenceTable:
    """A checked preference table with its item names.

        P[i, j] = Pr(item i beats item j),   P + P^T = 1       (scale "score": log-odds, P + P^T = 0)

    Args:
        P: `[A, A]`, or `[X, A, A]` with one table per prompt; stored in float64.
        items: the A item names; default: the columns of a DataFrame, else `("0", "1", ...)`.
        reference: probabilities `[A]` or `[X, A]`, where the source had them.
        prompts: weights `[X]`, where the source had them.
        beta: KL weight, where the source had one.
        scale: `"probability"` or `"score"`.
        prompt_names: the X names of the prompts (runs, contexts), where the source had them.
        source: where the table came from; put in front of messages.

    Raises:
        ValueError: see `nashpo.tables.validate`, `validate_items` and `validate_distribution`; a `beta` that is
            negative or not finite.

    >>> table = PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=["tea", "coffee"])
    >>> table.items, table.shape
    (('tea', 'coffee'), (1, 2))
    """

    P: Any
    items: Sequence[str] = ()
    reference: Any = None
    prompts: Any = None
    beta: float | None = None
    scale: "Scale" = "probability"
    prompt_names: Sequence[str] | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        """Check every field and store it in its final form."""
        names = frame_items(self.P, self.items if len(self.items) else None, self.source)
        P = validate(self.P, names, self.scale, self.source)
        if P.dtype != np.float64:
            P = validate(P.astype(np.float64), names, self.scale, self.source)
        count = P.shape[-1]
        items = validate_items([str(i) for i in range(count)] if names is None else names, count, self.source)
        shape = (P.shape[0] if P.ndim == 3 else 1, count)
        checked: dict[str, Any] = {"P": P, "items": items}
        where = at(self.source)
        if self.reference is not None:
            checked["reference"] = validate_distribution(self.reference, f"{where}reference", shape, items)
        if self.prompts is not None:
            checked["prompts"] = validate_distribution(self.prompts, f"{where}prompts", shape[:1], allow_zero=True)
        if self.beta is not None and not 0 <= self.beta < math.inf:
            raise ValueError(f"{where}beta is {self.beta}, but must be a finite number that is at least 0.")
        if self.prompt_names is not None:
            names = tuple(self.prompt_names)
            if len(names) != shape[0]:
                raise ValueError(f"{where}there are {len(names)} prompt names for {shape[0]} prompts: name each.")
            checked["prompt_names"] = names
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`: prompts and actions."""
        return (self.P.shape[0] if self.P.ndim == 3 else 1, self.P.shape[-1])

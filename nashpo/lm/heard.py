"""Policies that are not asked twice for the same number."""

from typing import Any

import jax
import jax.numpy as jnp

from nashpo.stage import Slot
from nashpo.typing import Array, Key


class Heard:
    """A language model in one fit, which remembers how likely what it has just said was.

    Completions come out of the loop that generates them with their log-probabilities; asked for those of the same
    array, it does not read it again. In half precision the two differ by more than rounding of the result, and it does.
    Everything else is asked of the model.

    >>> from nashpo.lm.decoder import Decoder, init_params
    >>> from nashpo.lm.filters import Decoding
    >>> from nashpo.lm.model import LanguageModel
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> weights = init_params(decoder, jax.random.key(0))
    >>> model = Heard(LanguageModel(weights, {}, jnp.array([[3, 4]]), decoder, Decoding(new_tokens=3)))
    >>> said = model.sample(jax.random.key(0), jnp.array([0]), count=2)
    >>> known, read = model.log_prob(jnp.array([0]), said), model.model.log_prob(jnp.array([0]), said)
    >>> bool(jnp.allclose(known, read, atol=1e-5))
    True
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._tokens: Any = None
        self._log_probs: Any = None

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Completions `[B, count, T]`, whose log-probabilities are kept."""
        found = self.model.complete(key, prompts, count)
        if found.unfiltered is not None and _precise(self.model.parts):
            self._tokens, self._log_probs = found.tokens, found.unfiltered
        return found.tokens

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]`, by `reduction` of the model."""
        if responses is not self._tokens:
            return self.model.log_prob(prompts, responses)
        return self.model.reduced(jnp.sum(self._log_probs, axis=-1), responses)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def heard(policies: dict[Slot, Any], rows: Array) -> dict[Slot, Any]:
    """Policies by slot asked the prompts `rows` only; one policy in several slots is one, and remembers what it says.

    Which ones are one follows from their arrays, so that a run that goes on from a checkpoint finds the same. The
    reference, which is no part of a checkpoint, is always one of its own.

    >>> heard({}, jnp.array([0]))
    {}
    """
    known: dict[Any, Any] = {}
    names = {slot: (slot == "reference", *map(id, jax.tree.leaves(policy))) for slot, policy in policies.items()}
    for slot, policy in policies.items():
        if names[slot] not in known:
            here = policy.at(rows)
            known[names[slot]] = Heard(here) if hasattr(here, "complete") else here
    return {slot: known[name] for slot, name in names.items()}


def _precise(parts: Any) -> bool:
    return all(jnp.finfo(leaf.dtype).bits >= 32 for leaf in jax.tree.leaves(parts))

"""Preference models on features: what a network makes of a pair is a reward, an embedding, or the pair itself.

Each is an oracle whose responses are feature vectors; `over` lists responses and returns an oracle of the library.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import nnx

from nashpo.oracles.base import logistic
from nashpo.oracles.embedding import GeneralPreference
from nashpo.oracles.reward import BradleyTerry
from nashpo.oracles.table import Table
from nashpo.preferences.networks import Network, checked_candidates, one_number, pairs
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar, Scale
from nashpo.validation.numbers import is_positive


class _Compared:
    """`compare` from `scores`."""

    def compare(self, key: Key | None, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of features `left[b, k]` against `right[b, k]`, each `[B, K, D]`, for prompts `[B]`."""
        rows, first, second, shape = pairs(prompts, left, right)
        scores = self.scores(rows, first, second).reshape(shape)  # type: ignore[attr-defined]  of the class with it
        return scores if self.scale == "score" else logistic(scores)  # type: ignore[attr-defined]  the same


@record
class RewardModel(_Compared):
    """Bradley-Terry on features: `s(y beats y') = r(x, y) - r(x, y')`.

    The module maps (context `[N, C]`, where there are contexts, and response `[N, D]`) to a reward `[N, 1]`.

    >>> from nashpo.preferences import Perceptron
    >>> model = RewardModel.from_module(Perceptron(2, 1, rngs=nnx.Rngs(0)))
    >>> model.over(jnp.eye(2)[None]).rewards.shape
    (1, 2)
    """

    network: Network
    scale: Scale = static(default="probability")

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Any = None, scale: Scale = "probability") -> "RewardModel":
        """The model of a Flax module; `contexts` are features of the prompts, `[X, C]`."""
        return cls(Network.from_module(module, contexts), scale)

    @property
    def params(self) -> Any:
        """The network's parameters."""
        return self.network.params

    def with_params(self, params: Any) -> "RewardModel":
        """The same model with other parameters."""
        return dataclasses.replace(self, network=dataclasses.replace(self.network, params=params))

    def scores(self, prompts: Array, left: Array, right: Array) -> Array:
        """Log-odds `[N]` of features `[N, D]` for prompts `[N]`."""
        rewards = [one_number(self.network(prompts, side), len(prompts)) for side in (left, right)]
        return rewards[0] - rewards[1]

    def over(self, candidates: Any) -> BradleyTerry:
        """The oracle of listed responses with features `[X, A, D]`."""
        features = checked_candidates(candidates)
        rewards = self.network.outputs(features)
        shape = features.shape[:2]
        return BradleyTerry(
            one_number(rewards.reshape(-1, *rewards.shape[2:]), shape[0] * shape[1]).reshape(shape), self.scale
        )


@record
class EmbeddingModel(_Compared):
    """The general preference model on features (Zhang et al. 2024, arXiv:2410.02197, definition 4.3).

        s(y beats y' | x) = <R D(x) v(x, y), D(x) v(x, y')> / temperature
                          = sum_l lambda_l(x) (v_l0 v'_l1 - v_l1 v'_l0) / temperature

    The module maps (context, response) to an embedding `[N, 2k]`, the gate maps contexts `[N, C]` to `[N, k]` numbers
    whose softplus are the scales `lambda_l(x)`; without a gate they are 1. Block l is entries `2l, 2l + 1`.

    >>> from nashpo.preferences import Perceptron
    >>> model = EmbeddingModel.from_module(Perceptron(3, 4, rngs=nnx.Rngs(0)))
    >>> model.over(jnp.eye(3)[None]).embeddings.shape
    (1, 3, 4)
    """

    network: Network
    gate: Network | None
    temperature: Scalar = 1.0
    scale: Scale = static(default="probability")

    @classmethod
    def from_module(
        cls,
        module: nnx.Module,
        contexts: Any = None,
        gate: nnx.Module | None = None,
        temperature: float = 1.0,
        scale: Scale = "probability",
    ) -> "EmbeddingModel":
        """The model of a Flax module and, if the prompts have features `[X, C]`, of a gate.

        Raises `ValueError` for a gate without contexts, or a temperature that is not positive.
        """
        if gate is not None and contexts is None:
            raise ValueError("a gate reads the features of the prompts: give contexts [prompts, features].")
        if not is_positive(temperature):
            raise ValueError(f"temperature={temperature}: must be a positive finite number.")
        gates = None if gate is None else Network.from_module(gate, contexts)
        return cls(Network.from_module(module, contexts), gates, temperature, scale)

    @property
    def params(self) -> Any:
        """The parameters of the network and of the gate."""
        return {"embedding": self.network.params} | ({} if self.gate is None else {"gate": self.gate.params})

    def with_params(self, params: Any) -> "EmbeddingModel":
        """The same model with other parameters."""
        network = dataclasses.replace(self.network, params=params["embedding"])
        gate = None if self.gate is None else dataclasses.replace(self.gate, params=params["gate"])
        return dataclasses.replace(self, network=network, gate=gate)

    def scores(self, prompts: Array, left: Array, right: Array) -> Array:
        """Log-odds `[N]` of features `[N, D]` for prompts `[N]`."""
        v, w = (self.embeddings(prompts, side) for side in (left, right))
        return jnp.sum(v[..., 0::2] * w[..., 1::2] - v[..., 1::2] * w[..., 0::2], axis=-1) / self.temperature

    def embeddings(self, prompts: Array, responses: Array) -> Array:
        """`D(x) v(x, y)`, `[N, 2k]`, for prompts `[N]` and features `[N, D]`.

        Raises `ValueError` where the module's output is not `[N, 2k]` or the gate's not `[N, k]`.
        """
        v = self.network(prompts, responses)
        if v.ndim != 2 or v.shape[1] < 2 or v.shape[1] % 2:
            raise ValueError(f"the module's output has shape {v.shape}, but embeddings are [rows, 2k].")
        if self.gate is None:
            return v
        scales = self.gate(prompts)
        if scales.shape != (len(v), v.shape[1] // 2):
            raise ValueError(f"the gate's output has shape {scales.shape}, but must be {(len(v), v.shape[1] // 2)}.")
        return v * jnp.repeat(jnp.sqrt(jnp.logaddexp(scales, 0.0)), 2, axis=-1)

    def over(self, candidates: Any) -> GeneralPreference:
        """The oracle of listed responses with features `[X, A, D]`."""
        features = checked_candidates(candidates)
        contexts, responses, width = features.shape
        rows = jnp.repeat(jnp.arange(contexts), responses)
        v = self.embeddings(rows, features.reshape(-1, width))
        return GeneralPreference(v.reshape(contexts, responses, -1), self.scale, self.temperature)


@record
class PairwiseModel(_Compared):
    """Any network on pairs, made antisymmetric: `s(y beats y') = f(x, y, y') - f(x, y', y)`.

    The module maps (context, left `[N, D]`, right `[N, D]`) to a number `[N, 1]`. Every preference can be learned, none
    costs less than one evaluation per ordered pair.

    >>> from nashpo.preferences import Perceptron
    >>> model = PairwiseModel.from_module(Perceptron(4, 1, rngs=nnx.Rngs(0)))
    >>> table = model.over(jnp.eye(2)[None]).table()
    >>> round(float(table[0, 0, 1] + table[0, 1, 0]), 6), float(table[0, 0, 0])
    (1.0, 0.5)
    """

    network: Network
    scale: Scale = static(default="probability")

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Any = None, scale: Scale = "probability") -> "PairwiseModel":
        """The model of a Flax module; `contexts` are features of the prompts, `[X, C]`."""
        return cls(Network.from_module(module, contexts), scale)

    @property
    def params(self) -> Any:
        """The network's parameters."""
        return self.network.params

    def with_params(self, params: Any) -> "PairwiseModel":
        """The same model with other parameters."""
        return dataclasses.replace(self, network=dataclasses.replace(self.network, params=params))

    def scores(self, prompts: Array, left: Array, right: Array) -> Array:
        """Log-odds `[N]` of features `[N, D]` for prompts `[N]`."""
        forth, back = self.network(prompts, left, right), self.network(prompts, right, left)
        return one_number(forth, len(prompts)) - one_number(back, len(prompts))

    def over(self, candidates: Any) -> Table:
        """The oracle of listed responses with features `[X, A, D]`: a table."""
        features = checked_candidates(candidates)
        contexts, responses, _ = features.shape
        x, i, j = (index.ravel() for index in jnp.indices((contexts, responses, responses)))
        scores = self.scores(x, features[x, i], features[x, j]).reshape(contexts, responses, responses)
        scores = (scores - jnp.swapaxes(scores, -1, -2)) / 2
        return Table(scores if self.scale == "score" else logistic(scores), self.scale)

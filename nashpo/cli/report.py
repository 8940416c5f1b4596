"""The numbers that a finished run is reported with, on the host, in float64."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from nashpo.cli.inputs import item_names
from nashpo.game import Game
from nashpo.metrics import best_response, duality_gap
from nashpo.oracles.base import VALUE
from nashpo.policies.tabular import Tabular

LARGEST_TABLE = 64_000_000
"""Entries of the largest table that is written out: 8,000 items, half a gibibyte."""
UNITS = {"probability": "win probability", "score": "score (log-odds)"}


@dataclass(frozen=True)
class Standing:
    """How every response fares against a policy; arrays `[X, A]`."""

    policy: np.ndarray
    log_policy: np.ndarray
    payoff: np.ndarray
    """Of each response against the policy: its win rate, or its expected score."""
    best_response: np.ndarray
    reference: np.ndarray
    gap: float


def standing(game: Game, policy: Any) -> Standing:
    """The standing of a policy that can list its log-probabilities."""
    log_policy = np.asarray(policy.log_probs(), float)
    probs = np.exp(log_policy)
    host = Tabular(log_policy, normalised=True)
    return Standing(
        policy=probs,
        log_policy=log_policy,
        payoff=np.asarray(game.oracle.win_rates(probs)),
        best_response=np.asarray(best_response(game, host).probs()),
        reference=np.exp(np.asarray(game.reference.log_probs(), float)),
        gap=float(duality_gap(game, host)),
    )


@dataclass(frozen=True)
class Certificate:
    """The exact equilibrium, what is certified about it, and how far a policy is from it."""

    policy: np.ndarray
    gap: float
    residual: float
    method: str
    unique: bool
    support: tuple[int, ...]
    """How many responses are played, for every prompt."""
    difference: float
    """`max |policy - equilibrium|` over prompts and responses."""
    where: tuple[int, int]
    """Prompt and response of the largest difference."""

    def to_dict(self, game: Game) -> dict[str, Any]:
        """For JSON."""
        return {
            "duality_gap": self.gap,
            "residual": self.residual,
            "method": self.method,
            "unique": self.unique,
            "support": list(self.support),
            "largest_probability_difference": self.difference,
            "at": {"prompt": self.where[0], "item": item_names(game)[self.where[1]]},
        }


def certify(game: Game, policy: np.ndarray) -> Certificate | None:
    """The certificate for probabilities `[X, A]`, from `nashpo.equilibrium`, which no solver takes part in.

    None, with a warning, for a game too large to write out as a table or an equilibrium that float64 does not reach.
    """
    contexts, count = game.shape
    if contexts * count * count > LARGEST_TABLE:
        warnings.warn(f"no exact equilibrium: a table of {count} items is too large to write out.", stacklevel=2)
        return None
    from nashpo.equilibria import equilibrium

    try:
        exact = equilibrium(game)
    except ArithmeticError as error:
        warnings.warn(f"no exact equilibrium: {error}", stacklevel=2)
        return None
    probs = exact.probs()
    distance = np.abs(policy - probs)
    prompt, item = np.unravel_index(int(distance.argmax()), distance.shape)
    return Certificate(
        policy=probs,
        gap=exact.gap,
        residual=exact.residual,
        method=exact.method,
        unique=exact.unique,
        support=tuple(map(len, exact.support)),
        difference=float(distance.max()),
        where=(int(prompt), int(item)),
    )


def rows(game: Game, now: Standing, certificate: Certificate | None) -> list[dict[str, Any]]:
    """One row for every prompt and response, in the order of the game."""
    contexts, count = game.shape
    names = item_names(game)
    payoff = "win_rate" if game.scale == "probability" else "score"
    result = []
    for x in range(contexts):
        for a in range(count):
            row: dict[str, Any] = {"prompt": x} if contexts > 1 else {}
            row |= {
                "item": names[a],
                "probability": float(now.policy[x, a]),
                "log_probability": float(now.log_policy[x, a]),
                payoff: float(now.payoff[x, a]),
                "best_response": float(now.best_response[x, a]),
                "reference": float(now.reference[x, a]),
            }
            if certificate is not None:
                row["equilibrium"] = float(certificate.policy[x, a])
            result.append(row)
    return result


def heading(game: Game, name: str) -> str:
    """`pokemon_types: 18 items, payoff win probability, beta 0.1`."""
    contexts, count = game.shape
    prompts = "" if contexts == 1 else f", {contexts} prompts"
    reference = np.exp(np.asarray(game.reference.log_probs()))
    uniform = "uniform" if np.allclose(reference, 1.0 / count, rtol=1e-12, atol=0) else "given"
    payoff = UNITS[game.scale]
    return f"{name}: {count} items{prompts}, payoff {payoff}, beta {float(game.beta):g}, reference {uniform}"


def value(game: Game) -> float:
    """The value of the game: 1/2, or 0 for scores."""
    return VALUE[game.scale]

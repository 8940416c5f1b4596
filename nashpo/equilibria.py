"""Exact equilibria of a game, each with a certificate computed apart from the method that found it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nashpo.exact import certify, kl_equilibria, maximal_lottery
from nashpo.game import Game, check_enumerable, check_game
from nashpo.oracles.base import VALUE
from nashpo.policies.tabular import Tabular, as_policy
from nashpo.validation.numbers import is_number

if TYPE_CHECKING:
    import xarray

_PLAYED = 1e-9


@dataclass(frozen=True)
class Certificate:
    """What is known about an answer, computed from the table and the policy alone, in float64."""

    gap: float
    """Duality gap in units of payoff, weighted by the prompts; zero only at an equilibrium."""
    residual: float
    """Largest violation of an equilibrium condition over all prompts: of the fixed point's log-probabilities with
    `beta > 0`, of `payoff pi <= value` with `beta = 0`."""
    method: str
    """How the answer was found."""
    unique: bool
    """Whether every prompt has only this equilibrium; always so with `beta > 0`. With `beta = 0` margins, probabilities
    and singular values up to 1e-10 of the payoffs count as zero: where it is False, another policy is an equilibrium,
    or within about 1e-10 of one."""
    support: tuple[tuple[int, ...], ...]
    """For every prompt the responses with a probability above 1e-9."""


@dataclass(frozen=True, eq=False, repr=False)
class Equilibrium:
    """A policy that no deviation improves on, and its certificate."""

    policy: Tabular
    """NumPy float64, normalised."""
    certificate: Certificate
    beta: float
    items: tuple[str, ...] | None = None

    @property
    def gap(self) -> float:
        """The certificate's duality gap."""
        return self.certificate.gap

    @property
    def residual(self) -> float:
        """The certificate's largest violation."""
        return self.certificate.residual

    @property
    def method(self) -> str:
        """How the answer was found."""
        return self.certificate.method

    @property
    def unique(self) -> bool:
        """Whether there is no other equilibrium."""
        return self.certificate.unique

    @property
    def support(self) -> tuple[tuple[int, ...], ...]:
        """For every prompt the indices of the responses that are played."""
        return self.certificate.support

    @property
    def played(self) -> tuple[tuple[str, ...], ...]:
        """For every prompt the names of the responses that are played; their indices where the game has no names."""
        return tuple(tuple(self.items[i] if self.items else str(i) for i in indices) for indices in self.support)

    def probs(self) -> np.ndarray:
        """Probabilities, `[X, A]`."""
        return np.exp(self.log_probs())

    def log_probs(self) -> np.ndarray:
        """Log-probabilities, `[X, A]`; -1e9 for a response that is never given."""
        return np.asarray(self.policy.logits)

    def to_xarray(self) -> "xarray.Dataset":
        """The policy and its certificate with labelled axes: prompt, item.

        >>> game = Game.from_table([[0.5, 0.75], [0.25, 0.5]], beta=0.5, items=["tea", "coffee"])
        >>> float(equilibrium(game).to_xarray()["policy"].sel(prompt=0, item="tea").round(3))
        0.622
        """
        return EquilibriumPath((self.beta,), (self,)).to_xarray().isel(beta=0)

    def __repr__(self) -> str:
        """The answer in a few lines."""
        lines = [
            f"Equilibrium(beta={self.beta:g}, {how_many(self.unique, self.method)})",
            f"  gap {self.gap:.1e}, residual {self.residual:.1e}, {self.method}",
        ]
        for probs, indices in zip(self.probs()[:3], self.support, strict=False):
            ranked = sorted(indices, key=lambda i: -probs[i])
            shown = ", ".join(f"{self.items[i] if self.items else i} {probs[i]:.4f}" for i in ranked[:5])
            lines.append(f"  {shown}" + (f", and {len(ranked) - 5} more" if len(ranked) > 5 else ""))
        if len(self.support) > 3:
            lines.append(f"  and {len(self.support) - 3} more prompts")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class EquilibriumPath(Sequence):
    """Equilibria of one game over several values of beta, in the order in which these were given."""

    betas: tuple[float, ...]
    equilibria: tuple[Equilibrium, ...]

    def __getitem__(self, index):
        """One equilibrium, or several."""
        return self.equilibria[index]

    def __len__(self) -> int:
        """How many."""
        return len(self.equilibria)

    def __iter__(self) -> Iterator[Equilibrium]:
        """In the order of `betas`."""
        return iter(self.equilibria)

    def probs(self) -> np.ndarray:
        """Probabilities, `[T, X, A]`."""
        return np.stack([e.probs() for e in self.equilibria])

    def to_xarray(self) -> "xarray.Dataset":
        """The policies and their certificates with labelled axes: beta, prompt, item; `.to_netcdf(path)` keeps them.

        >>> game = Game.from_table([[0.5, 0.75], [0.25, 0.5]], items=["tea", "coffee"])
        >>> path = equilibrium_path(game, [1.0, 0.1]).to_xarray()
        >>> path["policy"].sel(beta=0.1, item="coffee", prompt=0).item() < 0.1, sorted(path.data_vars)
        (True, ['gap', 'log_policy', 'method', 'policy', 'residual', 'unique'])
        """
        import xarray

        if not self.equilibria:
            raise ValueError("a path without any beta has no arrays to label.")
        log_probs = np.stack([e.log_probs() for e in self.equilibria])
        axes = ("beta", "prompt", "item")
        items = list(self.equilibria[0].items or range(log_probs.shape[2]))
        said = {name: ("beta", [getattr(e, name) for e in self]) for name in ("gap", "residual", "unique", "method")}
        data = {"policy": (axes, np.exp(log_probs)), "log_policy": (axes, log_probs), **said}
        return xarray.Dataset(data, {"beta": list(self.betas), "prompt": np.arange(log_probs.shape[1]), "item": items})


def equilibrium(game: Game, *, method: str = "auto", start: object = None, tol: float = 0.0) -> Equilibrium:
    """The equilibrium of a game, exact to the rounding error of float64 and certified.

    With `beta > 0` the fixed point `pi = softmax(log_reference + P pi / beta)`, which is unique, by Newton's method;
    `start` may be a policy, or probabilities `[A]` or `[X, A]`, to begin from. Many prompts are solved by one compiled
    program, few in NumPy; `method="compiled"` or `"newton"` asks for the one or the other. `tol` is a duality gap at
    which each prompt may stop short. With `beta = 0` the maximal lottery, `P pi <= 1/2`, by an interior-point method;
    among several the one of largest entropy (any of them by SciPy's linear programming, `method="highs"`, or where
    margins of about 1e-10 leave open what is a tie), and `unique` says whether there are several. The reference and
    `tol` matter for `beta > 0` only. Independent of JAX's precision.

    Raises `ValueError` for a `beta` or `tol` that is negative or not finite, an unknown method or a start of another
    shape; `ArithmeticError` where float64 does not reach the equilibrium, as with tiny `beta` and extreme references.

    >>> rock_paper_scissors = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    >>> equilibrium(Game.from_table(rock_paper_scissors, items=["rock", "paper", "scissors"]))
    Equilibrium(beta=0, unique)
      gap 0.0e+00, residual 0.0e+00, interior point, then its support
      rock 0.3333, paper 0.3333, scissors 0.3333
    """
    check_game(game, "equilibrium")
    beta = _checked_beta(game.beta)
    _check_method(method, beta)
    first = None if start is None else np.asarray(as_policy(start, game.items).log_probs(), np.float64)
    if first is not None and first.shape not in ((1, game.shape[1]), tuple(game.shape)):
        raise ValueError(f"start has shape {first.shape}, the game [prompts, responses] = {tuple(game.shape)}.")
    if not is_number(tol, 0):
        raise ValueError(f"tol={tol!r}: the duality gap to reach must be a finite number that is at least 0.")
    return _solve(_Tables.of(game), beta, method, first, tol)


def equilibrium_path(game: Game, betas: Sequence[float]) -> EquilibriumPath:
    """Equilibria of the game for every weight in `betas` in place of its own, each starting from the one before.

    The answers come in the order of `betas`, which may be any order and may contain 0. With a uniform reference they
    tend to the maximal lottery of largest entropy as beta goes to 0.

    Raises `ValueError` for a weight that is negative or not finite.

    >>> table = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]])
    >>> [e.probs()[0].round(3).tolist() for e in equilibrium_path(Game.from_table(table), [1.0, 0.01])]
    [[0.341, 0.312, 0.347], [0.226, 0.326, 0.449]]
    """
    if np.ndim(betas) != 1:
        raise ValueError(f"betas={betas!r}: give a list of weights, for example [1.0, 0.1, 0.01].")
    weights = [_checked_beta(beta) for beta in betas]
    tables = _Tables.of(game)
    found: dict[float, Equilibrium] = {}
    start = None
    for beta in sorted(set(weights), reverse=True):
        found[beta] = _solve(tables, beta, "auto", start)
        start = found[beta].log_probs()
    return EquilibriumPath(tuple(weights), tuple(found[beta] for beta in weights))


def how_many(unique: bool, method: str) -> str:
    """What a certificate says about other equilibria, in words.

    >>> how_many(True, "Newton, LU"), how_many(False, "interior point, maximum entropy"), how_many(False, "HiGHS")
    ('unique', 'one of many: the one of largest entropy', 'one of many')
    """
    chosen = not {"interior point", "HiGHS"} & set(method.split("; "))
    return "unique" if unique else "one of many: the one of largest entropy" if chosen else "one of many"


@dataclass(frozen=True)
class _Tables:
    """A game's numbers on the host in float64."""

    payoff: np.ndarray
    value: float
    log_reference: np.ndarray
    prompts: np.ndarray
    items: tuple[str, ...] | None

    @classmethod
    def of(cls, game: Game) -> "_Tables":
        check_enumerable(game, "equilibrium", "see nashpo.estimates for lower bounds of the gap of a policy")
        table = np.asarray(game.oracle.table())
        value = VALUE[game.scale]
        payoff = table.astype(np.float64, copy=False)
        if table.dtype != np.float64:
            payoff = value + 0.5 * (payoff - np.swapaxes(payoff, -1, -2))
        if not np.isfinite(payoff.sum()):
            raise ValueError("the game's table has entries that are not finite: check its oracle.")
        logits = np.asarray(game.reference.log_probs(), np.float64)
        logits = logits - logits.max(-1, keepdims=True)
        logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        prompts = np.asarray(game.prompts, np.float64)
        return cls(payoff, value, logits, prompts / prompts.sum(), game.items)


def _checked_beta(beta: object) -> float:
    if not is_number(beta, 0):
        raise ValueError(f"beta={beta}: the weight of the KL penalty must be a finite number that is at least 0.")
    return float(beta)  # type: ignore[arg-type]  a number, as was just asked


def _check_method(method: str, beta: float) -> None:
    known = ("auto", "newton", "compiled") if beta > 0 else ("auto", "interior", "highs")
    if method not in known:
        choices = " or ".join(f'"{name}"' for name in known)
        raise ValueError(f'method="{method}" does not solve a game with beta={beta:g}: choose {choices}.')


def _solve(tables: _Tables, beta: float, method: str, start: np.ndarray | None, tol: float = 0.0) -> Equilibrium:
    """Every prompt's equilibrium and the certificate of all of them."""
    if beta > 0:
        first = None if start is None else np.broadcast_to(start, tables.log_reference.shape)
        logits, methods, _ = kl_equilibria(tables.payoff, tables.log_reference, beta, first, tol, method)
        unique = True
    else:
        solutions = [maximal_lottery(payoff, method, value=tables.value) for payoff in tables.payoff]
        logits = np.stack([s.log_policy for s in solutions])
        methods = dict.fromkeys(s.method for s in solutions)
        unique = all(s.unique for s in solutions)
    gaps, residuals = certify(tables.payoff, tables.value, tables.log_reference, beta, logits)
    support = tuple(tuple(np.flatnonzero(played).tolist()) for played in logits > np.log(_PLAYED))
    certificate = Certificate(float(tables.prompts @ gaps), float(residuals.max()), "; ".join(methods), unique, support)
    return Equilibrium(Tabular(logits), certificate, beta, tables.items)

"""The games of a sweep: names, and batches of games that one program can hold."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game, check_enumerable
from nashpo.oracles.table import Table
from nashpo.policies.tabular import Tabular
from nashpo.stacking import pad
from nashpo.sweeps.settings import check_different
from nashpo.validation.wording import numeric


class Batch(NamedTuple):
    """Games of one structure and shape."""

    places: list[int]
    """Where they stand in the user's order."""
    games: Game
    """Stacked: every array has a leading axis `[G]`."""


def named_games(games: Game | Sequence[Game] | Mapping[str, Game]) -> dict[str, Game]:
    """Every game by a name: the mapping's, or its position.

    >>> list(named_games([Game.from_table(np.full((2, 2), 0.5)), Game.from_table(np.full((3, 3), 0.5))]))
    ['game 0', 'game 1']
    """
    if isinstance(games, Game | str | np.ndarray) or not isinstance(games, Iterable):
        games = [games]
    if not isinstance(games, Mapping):
        games = {f"game {place}": game for place, game in enumerate(games)}
    named = {str(name): game for name, game in games.items()}
    check_names(named, games, "games")
    if not named:
        raise ValueError("sweep: give at least one game.")
    wrong = next((name for name, game in named.items() if not isinstance(game, Game)), None)
    if wrong is not None:
        said = repr(named[wrong])
        found = said if len(said) < 60 and "\n" not in said else f"a {type(named[wrong]).__name__}"
        raise ValueError(f"sweep: {wrong!r} is {found}, not a Game; make one with Game.from_table(P).")
    for name, game in named.items():
        check_enumerable(game, f"sweep: {name!r}", "run solve once for every setting")
    return {name: _tabulated(game) for name, game in named.items()}


def check_names(named: Collection[str], given: Collection[Any], what: str) -> None:
    """Raise `ValueError` where two names of a mapping are one as text.

    >>> check_names(["1"], [1, "1"], "games")
    Traceback (most recent call last):
        ...
    ValueError: sweep: two games are called '1': give every one a name of its own.
    """
    if len(named) < len(given):
        names = list(map(str, given))
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"sweep: two {what} are called {twice!r}: give every one a name of its own.")


def _tabulated(game: Game) -> Game:
    """The game with its reference as a table, which is all that a rule needs of it."""
    if isinstance(game.reference, Tabular):
        return game
    log_probs = np.asarray(game.reference.log_probs()).astype(np.result_type(game.prompts))
    return dataclasses.replace(game, reference=Tabular(log_probs, normalised=True))


def swept_betas(games: Sequence[Game], betas: Any) -> np.ndarray | None:
    """The values of beta to sweep: those given, those that every game has as an array, or None."""
    if betas is None:
        own = [np.asarray(game.beta) for game in games]
        if all(beta.ndim == 0 for beta in own):
            return None
        if any(beta.shape != own[0].shape or np.any(beta != own[0]) for beta in own):
            raise ValueError("sweep: games with an array for beta must all have the same; or give betas=[...].")
        betas = own[0]
    values = np.asarray(betas)
    values = values if jnp.issubdtype(values.dtype, jnp.floating) else numeric(betas, None, "betas")
    if values.ndim != 1 or len(values) == 0 or not np.all((values >= 0) & np.isfinite(values)):
        raise ValueError(f"betas={betas}: give a list of finite numbers that are at least 0.")
    check_different(values, "betas")
    return values


def batches(games: Sequence[Game]) -> list[Batch]:
    """Games stacked as far as they go together; tables of several sizes are padded to the largest of them."""
    tables = [game for game in games if isinstance(game.oracle, Table)]
    contexts = max((game.shape[0] for game in tables), default=0)
    size = max((game.shape[1] for game in tables), default=0)
    together: dict[Any, list[int]] = {}
    ready = []
    for place, game in enumerate(games):
        game = pad(game, size, contexts) if isinstance(game.oracle, Table) else game
        game = jax.tree.map(np.asarray, game.nameless())
        ready.append(game)
        kind = jax.tree.structure(game), tuple((leaf.shape, leaf.dtype) for leaf in _arrays(game))
        together.setdefault(kind, []).append(place)
    return [Batch(places, _stacked([ready[place] for place in places])) for places in together.values()]


def _arrays(game: Game) -> list[np.ndarray]:
    """Everything but beta, whose type says nothing."""
    return jax.tree.leaves((game.oracle, game.reference, game.prompts))


def _stacked(games: Sequence[Game]) -> Game:
    dtype = games[0].prompts.dtype
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *games)
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf, stacked)

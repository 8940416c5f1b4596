"""What `nashpo solve` and `nashpo verify` print."""

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from nashpo.cli.inputs import item_names, title
from nashpo.cli.report import UNITS, Certificate, Standing, heading
from nashpo.cli.screen import Column, Screen, fixed
from nashpo.equilibria import how_many
from nashpo.game import Game
from nashpo.plots.style import short
from nashpo.results import describe

if TYPE_CHECKING:
    from nashpo.results import Result

_PROMPTS = 4
"""How many prompts are printed."""


def show(options: SimpleNamespace, result: "Result", now: Standing, certificate: Certificate | None) -> None:
    """The policy of a run, its gap and its certificate."""
    screen, game = Screen(), result.game
    screen.line(heading(game, title(options.table)), "bold")
    converged = result.status.name == "CONVERGED"
    steps = f"{result.steps} step{'s' * (result.steps != 1)}"
    screen.line(
        f"{short(describe(result.solver))}, {steps}: duality gap {now.gap:.3g} [{UNITS[game.scale]}], "
        f"tolerance {options.tol:g} {'reached' if converged else 'missed'}",
        "green" if converged else "red",
    )
    policies(screen, game, now, certificate, options.top, options.precision)
    if certificate is not None:
        screen.line()
        certified(screen, game, certificate)
    for written in (options.output, options.plot):
        if written is not None:
            screen.line(f"written: {written}")


def policies(screen: Screen, game: Game, now: Standing, certificate: Certificate | None, top: int, digits: int) -> None:
    """One table for each of the first prompts, most probable items first."""
    contexts, count = game.shape
    for x in range(min(contexts, _PROMPTS)):
        screen.line()
        if contexts > 1:
            screen.line(f"prompt {x}, weight {float(game.prompts[x]):.3g}", "bold")
        order = np.argsort(-now.policy[x], kind="stable")[:top]
        screen.table(_columns(game, now, certificate, x, order, digits), bar=now.policy[x][order])
        if count > top:
            rest = 1.0 - float(now.policy[x][order].sum())
            screen.line(f"... {count - top} more items with probability {max(rest, 0.0):.3g} together", "dim")
    if contexts > _PROMPTS:
        screen.line(f"... {contexts - _PROMPTS} more prompts", "dim")


def certified(screen: Screen, game: Game, certificate: Certificate) -> None:
    """What the exact equilibrium says."""
    played = f"plays {certificate.support[0]} of {game.shape[1]} items, " if game.shape[0] == 1 else ""
    screen.line(
        f"exact equilibrium: gap {certificate.gap:.2g}, residual {certificate.residual:.2g}, {played}"
        f"{how_many(certificate.unique, certificate.method)} ({certificate.method})"
    )
    prompt, item = certificate.where
    where = item_names(game)[item] + (f", prompt {prompt}" if game.shape[0] > 1 else "")
    screen.line(f"largest probability difference to it: {certificate.difference:.2g}, at {where}")


def _columns(
    game: Game, now: Standing, certificate: Certificate | None, x: int, order: np.ndarray, digits: int
) -> list[Column]:
    names = item_names(game)
    payoff = "win rate" if game.scale == "probability" else "score"
    columns = [
        Column("item", [names[a] for a in order], right=False, style="bold"),
        Column("probability", fixed(now.policy[x][order], digits)),
        Column(payoff, [f"{v:.{digits}f}" for v in now.payoff[x][order]], rank=1),
        Column("best response", fixed(now.best_response[x][order], digits), rank=3),
    ]
    if certificate is not None:
        columns.append(Column("exact", fixed(certificate.policy[x][order], digits), rank=2))
    reference = now.reference[x]
    if not np.allclose(reference, reference[0]):
        columns.append(Column("reference", fixed(reference[order], digits), rank=4))
    return columns

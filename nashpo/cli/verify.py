"""`nashpo verify`: the gap of a policy that somebody else computed."""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, OK, complain
from nashpo.cli.options import Command, Option, at_least_zero, count, text, yes_or_no
from nashpo.cli.reading import READING, reading

if TYPE_CHECKING:
    from nashpo.cli.report import Standing
    from nashpo.cli.screen import Screen
    from nashpo.game import Game

COMMAND = Command(
    name="verify",
    summary="Check a policy that somebody else computed: its duality gap and the best deviation from it.",
    positional=(
        Option("table", text, "a table file, or the name of a game", "", "TABLE", True),
        Option("policy", text, "CSV with the columns item and probability, or .json, .nc of solve", "", "POLICY", True),
    ),
    options=(
        Option(
            "beta", at_least_zero, "KL weight (default: the policy's file, else the table's, else 0.1)", metavar="B"
        ),
        Option(
            "reference",
            text,
            "policy file the KL is measured from, or uniform (default: the policy file's, else the table's)",
            metavar="FILE",
        ),
        Option("tol", at_least_zero, "largest duality gap that passes (default 1e-6)", 1e-6, "GAP"),
        Option("top", count(1), "most rows to print (default 25)", 25, "N"),
        Option("precision", count(1, 1000), "decimals to print (default 4)", 4, "N"),
        Option("json", yes_or_no, "print JSON instead of a table", False),
        Option("no-certificate", yes_or_no, "leave out the exact equilibrium", False),
        *READING,
        Option("config", text, "TOML file with any of these options; the command line wins", metavar="FILE"),
    ),
    epilog="exit codes: 0 the gap is at most --tol, 1 it is larger, 2 bad input",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 1 if the gap is above `--tol`."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.startup import prepare

    prepare()
    from nashpo.cli.inputs import load_game, load_policy
    from nashpo.cli.report import certify, standing
    from nashpo.policies import Tabular

    game = load_game(options.table, options.beta, options.reference, reading(options))
    found = load_policy(options.policy, game)
    if options.beta is None and found.beta is not None:
        game = dataclasses.replace(game, beta=float(found.beta))
    if options.reference is None and found.reference is not None:
        game = dataclasses.replace(game, reference=Tabular.from_probs(found.reference))
    now = standing(game, Tabular.from_probs(found.probs))
    certificate = None if options.no_certificate else certify(game, now.policy)
    document = _document(options, game, now)
    if options.json:
        from nashpo.cli.output import json_text

        document["certificate"] = None if certificate is None else certificate.to_dict(game)
        print(json_text(document), end="")
    else:
        from nashpo.cli.screen import Screen
        from nashpo.cli.solve_screen import certified, policies

        screen = Screen()
        _show(screen, options, game, document)
        policies(screen, game, now, certificate, options.top, options.precision)
        if certificate is not None:
            screen.line()
            certified(screen, game, certificate)
    if now.gap <= options.tol:
        return OK
    return complain(f"{options.policy}: the duality gap {now.gap:.3g} is above the tolerance {options.tol:g}.", FAILED)


def _document(options: SimpleNamespace, game: "Game", now: "Standing") -> dict[str, Any]:
    from nashpo.cli.inputs import item_names, title
    from nashpo.cli.report import UNITS, value

    prompt, item, gain = _best_deviation(game, now)
    return {
        "game": title(options.table),
        "policy": options.policy,
        "payoff": UNITS[game.scale],
        "value": value(game),
        "beta": float(game.beta),
        "duality_gap": now.gap,
        "tol": options.tol,
        "verified": now.gap <= options.tol,
        "best_deviation": {
            "prompt": prompt,
            "gain": gain,
            "item": item_names(game)[item],
            "probability": float(now.policy[prompt, item]),
            "best_response": float(now.best_response[prompt, item]),
            "payoff": float(now.payoff[prompt, item]),
        },
    }


def _best_deviation(game: "Game", now: "Standing") -> tuple[int, int, float]:
    """The prompt with the largest gap, the response that the best response adds most to, and the gain, `gap / 2`."""
    from nashpo.metrics import gap_by_prompt
    from nashpo.policies import Tabular

    gaps = gap_by_prompt(game, Tabular(now.log_policy, normalised=True))
    prompt = int(gaps.argmax())
    added = now.payoff if float(game.beta) == 0 else now.best_response - now.policy
    return prompt, int(added[prompt].argmax()), float(gaps[prompt]) / 2


def _show(screen: "Screen", options: SimpleNamespace, game: "Game", document: dict[str, Any]) -> None:
    from nashpo.cli.report import heading

    move, passed = document["best_deviation"], document["verified"]
    screen.line(heading(game, document["game"]), "bold")
    screen.line(
        f"{options.policy}: duality gap {document['duality_gap']:.3g} [{document['payoff']}], "
        f"{'at most' if passed else 'above'} the tolerance {options.tol:g}",
        "green" if passed else "red",
    )
    where = f" in prompt {move['prompt']}" if game.shape[0] > 1 else ""
    screen.line(
        f"best deviation{where}: gains {move['gain']:.3g}, moving most to {move['item']} "
        f"({move['probability']:.4g} -> {move['best_response']:.4g})"
    )

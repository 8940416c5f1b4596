"""`nashpo describe`: what a table says before anybody solves it, and its maximal lottery."""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import OK
from nashpo.cli.options import Command, Option, count, text, yes_or_no
from nashpo.cli.reading import READING, reading

if TYPE_CHECKING:
    import numpy as np

    from nashpo.describe import Description
    from nashpo.game import Game

COMMAND = Command(
    name="describe",
    summary="Condorcet winner, Smith set, cycles, transitive and cyclic share, and the maximal lottery of a table.",
    positional=(Option("table", text, "a table file, or the name of a game", "", "TABLE", True),),
    options=(
        Option("prompt", count(0), "which prompt of a table with several (default 0)", 0, "N"),
        Option("top", count(1), "most rows to print (default 25)", 25, "N"),
        Option("precision", count(1, 1000), "decimals to print (default 4)", 4, "N"),
        Option("plot", text, "draw the table as a heat map: .png, .svg or .pdf", metavar="FILE"),
        Option("json", yes_or_no, "print JSON instead of a table", False),
        *READING,
        Option("config", text, "TOML file with any of these options; the command line wins", metavar="FILE"),
    ),
    epilog="The maximal lottery is the equilibrium without KL penalty: no response beats it on average.",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.output import PICTURES, check_path, write
    from nashpo.cli.startup import prepare

    check_path("--plot", options.plot, PICTURES)
    prepare()
    import numpy as np

    from nashpo.cli.inputs import item_names, load_game, title
    from nashpo.cli.report import LARGEST_TABLE, value
    from nashpo.describe import describe
    from nashpo.equilibria import equilibrium
    from nashpo.game import Game

    game = load_game(options.table, beta=0.0, reading=reading(options))
    if options.prompt >= game.shape[0]:
        raise ValueError(f"--prompt {options.prompt}: the table has the prompts 0 to {game.shape[0] - 1}.")
    if game.shape[0] * game.shape[1] ** 2 > LARGEST_TABLE:
        raise ValueError(f"{options.table}: a table of {game.shape[1]} items is too large to write out.")
    table = np.asarray(game.oracle.table(), float)[options.prompt]
    one = Game.from_table(table, items=item_names(game), scale=game.scale)
    report, lottery = describe(table, value(game)), equilibrium(one)
    document = _document(title(options.table), game, options.prompt, report)
    document["maximal_lottery"] = {
        "unique": lottery.unique,
        "duality_gap": lottery.gap,
        "method": lottery.method,
        "policy": [
            {"item": name, "probability": float(p), "copeland_score": score}
            for name, p, score in zip(item_names(game), lottery.probs()[0], report.copeland_scores, strict=True)
        ],
    }
    if options.plot is not None:
        from nashpo.cli.picture import draw_table

        write(options.plot, lambda path: draw_table(path, one, document["game"]))
    if options.json:
        from nashpo.cli.output import json_text

        print(json_text(document), end="")
    else:
        _show(game, document, lottery.probs()[0], options)
    return OK


def _document(name: str, game: "Game", prompt: int, report: "Description") -> dict[str, Any]:
    from nashpo.cli.inputs import item_names
    from nashpo.cli.report import UNITS

    names = item_names(game)
    winner = report.condorcet_winner
    statistics = dataclasses.asdict(report) | {
        "condorcet_winner": None if winner is None else names[winner],
        "smith_set": [names[i] for i in report.smith_set],
        "copeland_winners": [names[i] for i in report.copeland_winners],
    }
    statistics.pop("copeland_scores")
    return {
        "game": name,
        "items": game.shape[1],
        "prompts": game.shape[0],
        "prompt": prompt,
        "payoff": UNITS[game.scale],
        **statistics,
    }


def _show(game: "Game", document: dict[str, Any], lottery: "np.ndarray", options: SimpleNamespace) -> None:
    import numpy as np

    from nashpo.cli.screen import Column, Screen, fixed
    from nashpo.equilibria import how_many

    screen, top = Screen(), options.top
    prompts = "" if game.shape[0] == 1 else f", prompt {document['prompt']} of {document['prompts']}"
    screen.line(f"{document['game']}: {document['items']} items{prompts}, payoff {document['payoff']}", "bold")
    smith = document["smith_set"]
    members = "every item" if len(smith) == document["items"] else ", ".join(smith[:top])
    cyclic = document["cyclic_share"]
    pairs = document["items"] * (document["items"] - 1) // 2
    for title, text_ in (
        ("Condorcet winner", document["condorcet_winner"] or "none"),
        ("Smith set", f"{len(smith)} ({members}{', ...' if len(smith) > top and members != 'every item' else ''})"),
        ("Copeland winner", ", ".join(document["copeland_winners"][:top])),
        ("cyclic triples", f"{document['cyclic_triples']} of {document['triples']}"),
        ("tied pairs", f"{document['tied_pairs']} of {pairs}"),
        ("variance", f"{1 - cyclic:.1%} transitive, {cyclic:.1%} cyclic"),
        ("largest margin", f"{document['largest_margin']:.4g} [{document['payoff']}]"),
    ):
        screen.line(f"{title + ':':<18}{text_}")
    rows = document["maximal_lottery"]["policy"]
    order = np.argsort(-lottery, kind="stable")
    support = int(np.sum(lottery > 1e-9))
    kind = how_many(document["maximal_lottery"]["unique"], document["maximal_lottery"]["method"])
    screen.line()
    screen.line(
        f"maximal lottery: {support} of {document['items']} items, {kind} "
        f"(gap {document['maximal_lottery']['duality_gap']:.2g}, {document['maximal_lottery']['method']})",
        "bold",
    )
    shown = order[: min(top, len(order))]
    screen.table(
        [
            Column("item", [rows[i]["item"] for i in shown], right=False, style="bold"),
            Column("probability", fixed(lottery[shown], options.precision)),
            Column("beats", [f"{rows[i]['copeland_score']:g}" for i in shown], rank=1),
        ],
        bar=lottery[shown],
    )
    if len(order) > top:
        screen.line(f"... {len(order) - top} more items", "dim")
    if options.plot is not None:
        screen.line(f"written: {options.plot}")

"""Preference games to try things on: constructors that return a `nashpo.Game`.

`__all__` is the list that `nashpo games` prints and `nashpo solve NAME` knows. Where the equilibrium is known in
closed form, the function `<game>_equilibrium` stands beside the constructor in its module.
"""

from nashpo_games.annotators import cyclic_annotators
from nashpo_games.colonel_blotto import blotto
from nashpo_games.contexts import rps_contexts
from nashpo_games.control import first_goal_cycle, goal_cycle, goal_return
from nashpo_games.cyclic import (
    biased_rps,
    n_cycle,
    rock_paper_scissors,
    rock_paper_scissors_lizard_spock,
    rotational_tournament,
)
from nashpo_games.dominated import dominated_action
from nashpo_games.generators import random_constant_sum, random_tournament, transitive_plus_cyclic
from nashpo_games.low_rank import embedded
from nashpo_games.nested import nested_rps
from nashpo_games.pokemon import pokemon_types
from nashpo_games.sequences import token_duels, token_features, token_length_bias, token_majority
from nashpo_games.voting import condorcet_paradox, smith_cycle, tennessee_capital

__all__ = [
    "biased_rps",
    "blotto",
    "condorcet_paradox",
    "cyclic_annotators",
    "dominated_action",
    "embedded",
    "first_goal_cycle",
    "goal_cycle",
    "goal_return",
    "n_cycle",
    "nested_rps",
    "pokemon_types",
    "random_constant_sum",
    "random_tournament",
    "rock_paper_scissors",
    "rock_paper_scissors_lizard_spock",
    "rotational_tournament",
    "rps_contexts",
    "smith_cycle",
    "tennessee_capital",
    "token_duels",
    "token_features",
    "token_length_bias",
    "token_majority",
    "transitive_plus_cyclic",
]

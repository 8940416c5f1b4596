"""The type chart of the Pokemon games (sixth generation and later) as a game over its 18 types."""

import numpy as np

import nashpo

TYPES = (
    *("normal", "fighting", "flying", "poison", "ground", "rock", "bug", "ghost", "steel"),
    *("fire", "water", "grass", "electric", "psychic", "ice", "dragon", "dark", "fairy"),
)

EFFECTS = {
    # attacking type: defenders that take double, half, no damage
    "normal": ("", "rock steel", "ghost"),
    "fighting": ("normal rock steel ice dark", "flying poison bug psychic fairy", "ghost"),
    "flying": ("fighting bug grass", "rock steel electric", ""),
    "poison": ("grass fairy", "poison ground rock ghost", "steel"),
    "ground": ("poison rock steel fire electric", "bug grass", "flying"),
    "rock": ("flying bug fire ice", "fighting ground steel", ""),
    "bug": ("grass psychic dark", "fighting flying poison ghost steel fire fairy", ""),
    "ghost": ("ghost psychic", "dark", "normal"),
    "steel": ("rock ice fairy", "steel fire water electric", ""),
    "fire": ("bug steel grass ice", "rock fire water dragon", ""),
    "water": ("ground rock fire", "water grass dragon", ""),
    "grass": ("ground rock water", "flying poison bug steel fire grass dragon", ""),
    "electric": ("flying water", "grass electric dragon", "ground"),
    "psychic": ("fighting poison", "steel psychic", "dark"),
    "ice": ("flying ground grass dragon", "steel fire water ice", ""),
    "dragon": ("dragon", "steel", "fairy"),
    "dark": ("ghost psychic", "fighting dark fairy", ""),
    "fairy": ("fighting dragon dark", "poison steel fire", ""),
}


def damage_factors() -> np.ndarray:
    """The damage factor `[18, 18]` of attacking type i on defending type j: 0, 1/2, 1 or 2.

    >>> factor = damage_factors()
    >>> float(factor[TYPES.index("water"), TYPES.index("fire")])
    2.0
    """
    factors = np.ones((len(TYPES), len(TYPES)))
    for attacker, groups in EFFECTS.items():
        for value, defenders in zip((2.0, 0.5, 0.0), groups, strict=True):
            for defender in defenders.split():
                factors[TYPES.index(attacker), TYPES.index(defender)] = value
    return factors


def pokemon_types(beta: float = 0.0) -> "nashpo.Game":
    """Type effectiveness in the Pokemon games: both sides attack once, the damage difference decides.

        P[i, j] = 1/2 + (e[i, j] - e[j, i]) / 4,     e[i, j] in {0, 1/2, 1, 2} = damage factor of i on j

    No type beats all others, 42 of the 816 triples are cyclic, and the equilibrium at beta = 0 mixes 13 types.
    The chart is a public fact of the games; type names are trademarks of Nintendo.

    Args:
        beta: KL weight of the game.

    >>> game = pokemon_types()
    >>> water, fire = game.items.index("water"), game.items.index("fire")
    >>> float(game.oracle.table()[0, water, fire])
    0.875
    """
    factors = damage_factors()
    return nashpo.Game.from_table(0.5 + (factors - factors.T) / 4, beta=beta, items=TYPES)

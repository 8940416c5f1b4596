"""Preference games of n players: three kinds of game, how far a profile is from Nash, and MNPO."""

from nashpo.players.gains import epsilon_nash, gains, nash_conv
from nashpo.players.games import HeterogeneousGame, PairwiseGame, PlayerGame
from nashpo.players.mnpo import HeterogeneousMNPO, MultiplayerMNPO
from nashpo.players.play import Play, play
from nashpo.players.tensor import TensorGame

__all__ = [
    "HeterogeneousGame",
    "HeterogeneousMNPO",
    "MultiplayerMNPO",
    "PairwiseGame",
    "Play",
    "PlayerGame",
    "TensorGame",
    "epsilon_nash",
    "gains",
    "nash_conv",
    "play",
]

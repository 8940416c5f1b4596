"""In which order the lanes of a sweep are computed: the one place that knows about machines."""

from typing import NamedTuple

CACHE = 320 * 2**10
"""Bytes of tables that a core's own cache holds beside everything else; 16 tables of 64 float32 actions are 256 KiB."""
SETTINGS = 128
"""Most settings of one game that share a matrix product; long policies make it fewer, down to a quarter."""
ROWS = 128 * 2**10
"""Bytes of the policies in a block: with more, what is done to each element waits for memory."""
FEW = 4
"""Below so many settings of a game, several games go together instead."""


class Layout(NamedTuple):
    """How many lanes are stepped together: a block of games times settings."""

    games: int
    settings: int

    def within(self, memory: int, game_bytes: int, lane_bytes: int) -> "Layout":
        """The same, cut down to about `memory` bytes."""
        settings = max(1, min(self.settings, memory // lane_bytes))
        games = max(1, min(self.games, memory // (game_bytes + settings * lane_bytes)))
        return Layout(games, settings)


def layout(
    backend: str, games: int, settings: int, game_bytes: int, row_bytes: int, stops: bool, devices: int = 1
) -> Layout:
    """The block for a number of games and settings of each.

    A table takes `game_bytes` and a policy `row_bytes`; `stops` says that lanes end at a tolerance.

    On the CPU a block that fits the cache runs to its end before the next one begins: one table with many settings,
    whose products are matrix times matrix, or as many tables as the cache holds. A lane that stops when it has
    converged runs alone there, because a block would wait for its slowest. On accelerators everything goes together, in
    as many parts as there are devices.

    >>> layout("cpu", games=1000, settings=1, game_bytes=64 * 64 * 4, row_bytes=64 * 4, stops=False)
    Layout(games=20, settings=1)
    >>> layout("cpu", games=16, settings=96, game_bytes=64 * 64 * 4, row_bytes=64 * 4, stops=False)
    Layout(games=1, settings=96)
    """
    if backend != "cpu":
        return Layout(-(-games // devices), settings) if games >= devices else Layout(games, -(-settings // devices))
    if stops:
        return Layout(1, 1)
    if settings >= FEW:
        return Layout(1, min(settings, SETTINGS, max(SETTINGS // 4, ROWS // row_bytes)))
    return Layout(min(games, max(1, CACHE // max(1, game_bytes * settings))), settings)

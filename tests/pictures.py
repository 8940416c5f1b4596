"""What tests of pictures share."""

import matplotlib.pyplot as plt
import pytest

import nashpo

RPS = nashpo.Game.from_table(
    [[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1, items=["rock", "scissors", "paper"]
)


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test."""
    yield
    plt.close("all")


def drawn(ax):
    """Draw for real: layout and tick problems surface here."""
    ax.figure.canvas.draw()
    return ax


def texts(legend):
    """What a legend says."""
    return [text.get_text() for text in legend.get_texts()]

"""What narrow terminals and pipes get to see."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from nashpo.cli.screen import Column, Screen, fixed

SMALL = [
    Column("item", ["a name that is long", "b"], right=False),
    Column("probability", ["0.7500", "0.2500"]),
    Column("win rate", ["0.5000", "0.4000"], rank=1),
    Column("best response", ["1.0000", "0.0000"], rank=2),
]


@pytest.mark.parametrize(("width", "titles"), [(80, 4), (45, 3), (34, 2), (24, 2)])
def test_columns_give_way_on_narrow_screens(width, titles, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    Screen().table(SMALL, bar=np.array([0.75, 0.25]))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert sum(column.title.split()[0] in out for column in SMALL) >= titles - 1
    assert ("win rate" in out) == (titles >= 3) and ("best response" in out) == (titles == 4)
    assert "0.75" in out


def test_a_pipe_loses_nothing_and_gets_no_drawing(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "x" * 150
    Screen().table([Column("item", [name], right=False), *[Column(c.title, c.cells[:1]) for c in SMALL[1:]]])
    Screen().line("words " * 60)
    out = capsys.readouterr().out
    assert name in out and "1.0000" in out
    assert len(out.splitlines()) == 3
    assert out.isascii() and "\x1b" not in out


def test_small_numbers_do_not_show_as_zero():
    assert fixed(np.array([0.25, 4e-6, 0.0, 6e-4]), 3) == ["0.250", "<0.001", "0.000", "0.001"]


def test_names_cannot_steer_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    Screen().table([Column("item", ["a\x1b[31m", "b\nc"], right=False), Column("probability", ["0.5", "0.5"])])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].startswith("a?[31m ") and lines[2].startswith("b?c ")


def test_settings_are_broken_after_commas_and_summaries_between_words(capsys, monkeypatch):
    name = "goal_cycle:rock=0.8,paper=0.65,scissors=0.75,horizon=4,prompts=1"
    monkeypatch.setenv("COLUMNS", "30")
    Screen().entry(name, "three goals that beat each other in a circle")
    assert capsys.readouterr().out.splitlines() == [
        "goal_cycle:rock=0.8,",
        "    paper=0.65,scissors=0.75,",
        "    horizon=4,prompts=1",
        "  three goals that beat each",
        "  other in a circle",
    ]
    monkeypatch.delenv("COLUMNS")
    Screen().entry(name, "words " * 40)
    assert capsys.readouterr().out.splitlines()[0] == name


SCRIPT = """
import numpy as np
from nashpo.cli.screen import Column, Screen
screen = Screen()
screen.line("a heading that is longer than a terminal of fifty columns can show", "green")
screen.table([Column("item", ["a", "b"], right=False, style="bold"), Column("probability", ["0.7500", "0.2500"])],
             bar=np.array([0.75, 0.25]))
"""


def terminal(width, **environment):
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    clean = {
        k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "COLORTERM")
    }
    clean |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=child, env=clean)
    process.wait(timeout=120)
    os.close(child)
    out = os.read(parent, 65536).decode()
    os.close(parent)
    assert process.returncode == 0
    return out


def test_a_terminal_gets_bars_and_colours_unless_it_asks_for_none():
    colours = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    plain = re.compile(r"\x1b\[[0-9;]*m")
    shown = terminal(50)
    assert colours.search(shown) and "█" * 20 in shown
    assert max(len(plain.sub("", line)) for line in shown.splitlines()) <= 50
    assert not colours.search(terminal(50, NO_COLOR="1"))
    dumb = terminal(50, TERM="dumb")
    assert "\x1b" not in dumb and "█" not in dumb

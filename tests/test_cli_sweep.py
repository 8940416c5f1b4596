"""`nashpo sweep`: exit codes, one sentence for every mistake, a table that narrow screens can show."""

import errno
import os
import re
import sys

import numpy as np
import pytest

from nashpo.cli import main
from nashpo.studies import cells, read_study, store
from nashpo.sweeps import Sweep

STUDY = """
[study]
steps = 6
every = 3
{study}

[games.random]
game = "nashpo_games:random_constant_sum"
n = [3, 5]
seed = 1
{games}

[solvers.egpo]
solver = "egpo"
eta = [0.1, 0.3]
{solvers}
"""
CYCLE = '[games.other]\ngame = "nashpo_games:n_cycle"\n'


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("NASHPO_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY.format(study="", games="", solvers=""))


def sweep(capsys, *arguments):
    code = main(["sweep", "study.toml", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("width", [60, 100])
def test_the_best_settings_fit_the_screen(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = sweep(capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= width
    assert "study.toml: 2 games, 1 solver, 4 runs of 6 steps in 2 cells" in " ".join(lines[:2])
    table = [line.split() for line in lines if line.startswith("random")]
    data = Sweep.load("study/results.nc").data["final_gap"].squeeze()
    for row, game in zip(table, ("random n=3", "random n=5"), strict=True):
        best = data.sel(game=game)
        assert row[2] == "egpo" and float(row[3]) == best["eta"].values[best.values.argmin()]
        assert float(row[4]) == pytest.approx(float(best.min()), rel=0.1)
    assert any(line.startswith("written: study/results.nc") for line in lines)
    code, out, err = sweep(capsys)
    assert code == 0 and "2 of 2 cells were done already" in out


def test_a_dry_run_lists_the_cells_and_writes_nothing(capsys, tmp_path):
    code, out, _ = sweep(capsys, "--dry-run")
    assert code == 0 and out.count("to do") == 2 and "0 of 2 cells are done" in out
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    sweep(capsys)
    code, out, _ = sweep(capsys, "--dry-run", "--top", "1")
    assert code == 0 and out.count(" done") >= 1 and "2 of 2 cells are done" in out and "... 1 more cells" in out


def test_ends_and_betas_are_shown(capsys):
    text = STUDY.format(study="betas = [0.1, 1.0]\ntol = 1e-9", games="", solvers="")
    with open("study.toml", "w") as file:
        file.write(text)
    code, out, _ = sweep(capsys, "--output", "elsewhere")
    header = next(line for line in out.splitlines() if line.startswith("game"))
    assert code == 0 and header.split() == ["game", "solver", "beta", "best", "eta", "gap", "ok"]
    assert out.count("0/2") == 4 and "runs: 8 ended above tol" in out
    assert os.path.exists("elsewhere/results.nc")


MISTAKES = {
    ("study", "stpes = 3"): r"study.toml, line 5: study.stpes is not known; did you mean 'steps'\?",
    ("study", "seeds = []"): r"line 5: study.seeds is \[\], but must be how many, at least 1",
    ("study", "seeds = true"): r"line 5: study.seeds is True, but must be how many",
    (
        "study",
        f"seeds = {10**20}",
    ): r"line 5: study.seeds is 10+, but must be how many, at least 1 and at most 1048576, ",
    ("study", "betas = []"): r"line 5: study.betas is \[\], but must be a list of at least one value",
    ("study", "betas = [0.1, 0.1]"): r"must be a list of different values \(0.1 stands twice\)",
    ("study", "betas = inf"): r"must be a number that is at least 0",
    ("study", 'tol = "small"'): r"study.tol is 'small', but must be a number that is at least 0",
    ("study", 'starts = "here"'): r"study.starts is 'here', but must be one of reference, random",
    ("study", 'metrics = ["entrpy"]'): r"there is no 'entrpy'; did you mean 'entropy'\?$",
    ("study", 'metrics = "entropy"'): r"must be a list of names",
    ("study", 'precision = "double"'): r"must be one of float64, float32",
    ("study", "tol ="): r"study.toml: is not valid TOML \(.*line 5",
    ("study", "[stduy]"): r"line 5: stduy is not known; did you mean 'study'\?",
    ("games", "sed = 3"): r"line 11: games.random.sed is not known; did you mean 'seed'\?",
    ("games", "seeds = 3"): r"games.random.seeds goes with generator",
    ("games", "beta = -1"): r"games.random.beta is -1, but must be a number that is at least 0",
    ("games", "tables = 'x.csv'"): r"games.random has game and tables: give one of them",
    ("games", CYCLE + "n = []"): r"line 13: games.other.n is \[\], but must be a list of at least one value",
    ("games", CYCLE + "n = 2.5"): r"line 11: games.other: .*n must be a whole number",
    ("games", CYCLE + "n = {geomspace = [3, 5]}"): r"must be geomspace = \[first, last, count\]",
    ("games", "[games.b]\ngame = 'nashpo_games:n_cycel'"): r"games.b.game: .*did you mean 'n_cycle'\?",
    ("games", "[games.b]\ngenerator = 'nashpo_games:n_cycle'"): r"games.b.generator takes no seed",
    ("games", "[games.b]\ngenerator = 'nashpo_games:embedded'"): r"games.b needs seeds",
    ("games", "[games.b]\ntables = 'no/*.csv'"): r"line 12: games.b.tables: there is no file 'no/\*.csv' in /",
    ("games", "[games.b]\ntables = 'stdy.toml'"): r"no file 'stdy.toml' in .*; did you mean 'study.toml'\?",
    ("games", "[games.b]\ntables = 'x.csv'"): r"there is no file 'x.csv' in .*[^?]$",
    ("games", "[games.b]\ntables = 'study.toml'"): r"games.b.tables: .*study.toml",
    ("games", "[games.b]\ntables = 'x.csv'\nfomat = 'wins'"): r"line 13: games.b.fomat is not known; did you mean 'fo",
    ("games", "[games.b]"): r"games.b needs one of game, generator, tables",
    ("solvers", "eata = 1"): r"line 16: solvers.egpo.eata is not known; did you mean 'eta'\?",
    ("solvers", "[solvers.b]\nsolver = 'egop'"): r"line 17: solvers.b.solver: there is no solver 'egop'; did you mean",
    ("solvers", "[solvers.b]\nsolver = 'egpo'"): r"line 16: solvers.b needs eta: write eta = 0.1",
    ("solvers", "[solvers.b]\nsolver = 'egpo:eta=1'"): r"settings are keys of their own",
    ("solvers", "[solvers.b]\neta = 1"): r"solvers.b needs solver",
    ("solvers", "[solvers.b]\nsolver = 'egpo'\neta = []"): r"solvers.b.eta is \[\], but must be a list of at least one",
    (
        "solvers",
        "[solvers.b]\nsolver = 'egpo'\neta = [0.1, -1]",
    ): r"solvers.b.eta is \[0.1, -1\], but must be a number a",
    ("solvers", "[solvers.b]\nsolver = 'egpo'\neta = {linspce = [1, 2, 3]}"): r"linspce is not known; .*'linspace'\?$",
    ("games", CYCLE + "n = {linspce = [3, 5, 2]}"): r"other.n is .*linspce is not known; did you mean 'linspace'\?$",
    ("study", "betas = {linspce = [1, 2, 3]}"): r"betas is .*linspce is not known; did you mean 'linspace'\?$",
    ("study", "betas = {linspace = [1, 2, 3], geomspace = [1, 2, 3]}"): r"must be numbers or one grid of them\.$",
    (
        "solvers",
        "[solvers.b]\nsolver = 'egpo'\neta = [{linspace = [1, 2, 3]}]",
    ): r"b.eta is a list with a table in it, ",
    ("solvers", "[solvers.b]\nsolver = 'apo'\neta = 1\nbase = {solvr = 'sppo'}"): r"base is .*mean 'solver'\?$",
    ("solvers", "[solvers.b]\nsolver = 'egpo'\neta = 'big'"): r"solvers.b.eta is 'big', which is no number",
    (
        "solvers",
        "[solvers.b]\nsolver = 'sppo'\neta = 1\nbaseline = ['haf']",
    ): r"is 'haf', but must be one of exact, half",
    (
        "solvers",
        "[solvers.b]\nsolver = 'mnpo'\neta = 1\nhistory = []",
    ): r"history is \[\], but must be a list of at leas",
    ("solvers", "[solvers.b]\nsolver = 'onlineipo'\neta = 1\nvariant = 3"): r"solvers.b: OnlineIPO\(variant=3\)",
    ("solvers", "[solvers.b]\nsolver = 'averaged'\nrule = 'inpo'"): r"solvers.b rule needs eta",
    ("solvers", "[solvers.b]\nsolver = 'no.such:thing'"): r"solvers.b.solver: .*cannot be imported",
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.items(), ids=[line for _, line in MISTAKES])
def test_a_bad_study_is_one_sentence_and_nothing_runs(mistake, sentence, capsys, monkeypatch, tmp_path):
    table, line = mistake
    text = STUDY.format(**{"study": "", "games": "", "solvers": "", table: line})
    (tmp_path / "study.toml").write_text(text)
    monkeypatch.setattr(cells.Cell, "compute", lambda cell: pytest.fail("something ran"))
    code, out, err = sweep(capsys)
    assert (code, out) == (2, "") and err.startswith("nashpo: study.toml") and err.count("\n") == 1
    assert "{'" not in err
    with pytest.raises(ValueError, match=sentence):
        read_study("study.toml")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("key", "line", "value"), [("steps = 6", 3, 10**20), ("every = 3", 4, 2**30 + 1)])
def test_more_steps_than_are_counted_are_refused_before_anything_runs(key, line, value, capsys, tmp_path):
    name = key.split()[0]
    text = STUDY.format(study="", games="", solvers="").replace(key, f"{name} = {value}")
    (tmp_path / "study.toml").write_text(text)
    wrong = f"nashpo: study.toml, line {line}: study.{name} is {value}, but must be at most 1073741824.\n"
    assert sweep(capsys, "--dry-run") == (2, "", wrong)


def test_what_is_no_study_file_is_refused(capsys, tmp_path):
    for name, sentence in (("nothing.toml", "no such file"), (".", "is a folder")):
        code = main(["sweep", name])
        assert code == 2 and sentence in capsys.readouterr().err
    (tmp_path / "study.toml").write_text("[study]\nsteps = 1\n")
    assert "there is no [solvers.NAME]" in sweep(capsys)[2]
    (tmp_path / "study").write_text("")
    (tmp_path / "study.toml").write_text(STUDY.format(study="", games="", solvers=""))
    code, _, err = sweep(capsys)
    assert code == 2 and "the folder cannot be written to" in err


def test_cells_that_fail_are_listed_and_the_code_is_one(capsys, monkeypatch):
    compute = cells.Cell.compute

    def broken(cell):
        if cell.game_name == "random n=3":
            raise ValueError("it does not suit.")
        return compute(cell)

    monkeypatch.setattr(cells.Cell, "compute", broken)
    code, out, err = sweep(capsys)
    assert code == 1 and "random n=5" in out
    assert err == "nashpo: 1 of 2 cells failed:\n  egpo on random n=3: it does not suit.\n"
    code, out, err = sweep(capsys, "--fail-fast")
    assert code == 1 and "written" not in out and "1 of 2 cells failed" in err


def test_an_interrupt_and_a_full_disk_say_how_to_go_on(capsys, monkeypatch):
    compute, written = cells.Cell.compute, []

    def interrupted(cell):
        if cell.game_name == "random n=5":
            raise KeyboardInterrupt
        return compute(cell)

    with monkeypatch.context() as patch:
        patch.setattr(cells.Cell, "compute", interrupted)
        code, out, err = sweep(capsys)
    assert (code, out) == (130, "")
    assert err == "nashpo: interrupted; 1 of 2 cells are done and kept in study. The same command goes on from there.\n"

    write = store.atomic_write

    def full(path, content):
        if path.suffix != ".nc":
            return write(path, content)
        written.append(path)
        raise OSError(f"{path}: cannot be written (No space left on device).") from OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(store, "atomic_write", full)
        code, out, err = sweep(capsys)
    assert (code, out) == (1, "") and len(written) == 1
    assert "No space left on device). 1 of 2 cells are done and kept in study. The same command goes on" in err
    assert sweep(capsys)[0] == 0


def test_on_a_terminal_a_bar_shows_the_cells(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    code, _, err = sweep(capsys)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert code == 0 and "0/2 cells" in plain and "egpo on random n=" in plain
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]", plain)) <= 60


def test_warnings_of_many_cells_are_one_line(capsys):
    with open("study.toml", "w") as file:
        file.write(STUDY.format(study="", games="", solvers="").replace("[0.1, 0.3]", "[0.1, 9.0]"))
    code, _, err = sweep(capsys)
    assert code == 0 and err.count("\n") == 1 and "(1 more cells like this)" in err
    assert np.isfinite(Sweep.load("study/results.nc").data["final_gap"]).all()

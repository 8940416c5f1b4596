"""`nashpo plot`: the picture that suits a file, and one sentence where there is none."""

import json
import os

import matplotlib.pyplot as plt
import numpy as np
import pytest
from synthetic import sweep

import nashpo
from nashpo.cli import main
from nashpo.cli import plot as command
from nashpo.solvers import EGPO, INPO, MNPO

RPS = nashpo.Game.from_table(
    [[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1, items=["rock", "scissors", "paper"]
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    run = nashpo.solve(RPS, EGPO(eta=1.0), steps=20, metrics=[nashpo.metrics.probs])
    run.save(folder / "run.nc")
    grid = sweep(solvers=("EGPO", "INPO"), betas=(0.1, 0.2), etas=(0.5, 2.0))
    grid.attrs["solvers"] = json.dumps({name: f"{name}(eta=array([0.5, 2. ]))" for name in ("EGPO", "INPO")})
    for name, data in {
        "grid.nc": grid,
        "line.nc": sweep(solvers=("EGPO", "INPO"), games=("a", "b")),
        "many.nc": sweep(games=list("abcde"), etas=(np.nan,)),
        "other.nc": grid.drop_attrs(),
    }.items():
        data.to_netcdf(folder / name, engine="h5netcdf")
    (folder / "words.nc").write_text("words")
    return folder


@pytest.fixture
def plot(files, tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with the files: its exit code, what it says, and the figure that it drew."""
    for file in files.iterdir():
        os.link(file, tmp_path / file.name)
    monkeypatch.chdir(tmp_path)
    drawn = []
    monkeypatch.setattr(plt, "close", drawn.append)

    def run(line):
        code = main(["plot", *line.split()])
        out, err = capsys.readouterr()
        return code, out + err, drawn[-1] if drawn else None

    yield run
    monkeypatch.undo()
    plt.close("all")


def labels(figure):
    return {label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel()) if label}


KINDS = {
    "run.nc": {"step", "duality gap [win probability]", "probability"},
    "run.nc --kind gap": {"step", "duality gap [win probability]"},
    "run.nc --kind policy": {"probability"},
    "run.nc --kind bars --tol 0.01": {"iterations until the duality gap is at most 0.01"},
    "run.nc --kind table": {"probability that row beats column"},
    "run.nc --kind tournament": set(),
    "run.nc --kind simplex": set(),
    "grid.nc": {"beta", "eta", "median final gap [win probability]"},
    "grid.nc --beta 0.1": {"step", "duality gap [win probability]"},
    "line.nc": {"step", "duality gap [win probability]"},
    "grid.nc --kind bars": {"iterations until the duality gap is at most 1e-06"},
    "grid.nc --kind policy --solver INPO": {"beta", "probability, stacked"},
}


@pytest.mark.parametrize("line", KINDS)
def test_every_kind_is_drawn_beside_the_file(line, plot):
    code, said, figure = plot(line)
    name = line.split(".")[0]
    assert (code, said) == (0, f"written: {name}.png\n")
    with open(f"{name}.png", "rb") as picture:
        assert picture.read(4) == b"\x89PNG"
    assert KINDS[line] <= labels(figure)
    assert not [file for file in os.listdir() if file.startswith(".")]


def test_a_grid_has_one_map_for_each_solver_with_its_proven_limit(plot):
    _, _, figure = plot("grid.nc")
    maps = [ax for ax in figure.axes if ax.get_xlabel() == "beta"]
    assert [ax.get_title() for ax in maps] == ["EGPO", "INPO"]
    for ax, rule in zip(maps, (EGPO(eta=1.0), INPO(eta=1.0)), strict=True):
        at, limit = ax.lines[0].get_data()
        np.testing.assert_allclose(limit, [rule.proven_step(beta, 0.5) for beta in at])
    assert maps[0].collections[0].get_clim() == maps[1].collections[0].get_clim()
    _, _, one = plot("grid.nc --solver INPO")
    assert [ax.get_title() for ax in one.axes if ax.get_xlabel() == "beta"] == ["INPO"]


def test_runs_are_picked_and_many_games_are_one_series(plot):
    _, _, figure = plot("grid.nc --kind gap --eta 2 --beta 0.2 --solver EGPO")
    data = sweep(solvers=("EGPO",), betas=(0.2,), etas=(2.0,))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), data["duality_gap"].values[0, 0, 0, 0, 1])
    assert len(plot("line.nc")[2].axes[0].lines) == 4
    assert len(plot("line.nc --game b")[2].axes[0].lines) == 2
    assert len(plot("many.nc")[2].axes[0].lines) == 1


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_output_and_dark(suffix, begins, plot):
    code, said, figure = plot(f"line.nc --dark --output picture.{suffix}")
    assert (code, said) == (0, f"written: picture.{suffix}\n")
    with open(f"picture.{suffix}", "rb") as picture:
        assert picture.read(8).startswith(begins)
    assert figure.get_facecolor() == (0.0, 0.0, 0.0, 1.0)
    assert plt.rcParams["figure.facecolor"] == "white", "the style ends with the command"
    assert not os.path.exists("line.png")


MISTAKES = {
    "": "plot needs FILE",
    "nope.nc": "nope.nc: no such file",
    ".": ".: is a folder; give a file",
    "words.nc": "words.nc: cannot be read as netCDF; give what Result.save or Sweep.save wrote",
    "other.nc": "other.nc: holds neither a result nor a sweep",
    "run.nc --kind heatmp": "--kind heatmp: there is no such picture; did you mean 'heatmap'?",
    "run.nc --kind heatmap": "--kind heatmap: run.nc is a single result; choose from overview, gap, policy",
    "grid.nc --kind table": "--kind table: grid.nc is a sweep; choose from gap, heatmap, bars, policy",
    "grid.nc --solver EGBO": "--solver EGBO: the sweep has no such solver; did you mean 'EGPO'?",
    "line.nc --game c": "--game c: the sweep has no such game; choose from a, b",
    "grid.nc --eta 3": "--eta 3: the sweep was not run there; choose from 0.5, 2",
    "grid.nc --beta 0.3": "--beta 0.3: the sweep was not run there; choose from 0.1, 0.2",
    "grid.nc --eta 0": "--eta is '0', but must be a positive number",
    "many.nc --kind heatmap": "no solver of the sweep has a step size",
    "grid.nc --kind policy": "--kind policy: grid.nc has several solvers; pick one, --solver, EGPO, INPO",
    "grid.nc --kind gap --metric entropy": "no number 'entropy' at every step, only duality_gap",
    "run.nc --solver EGPO": "--solver picks runs of a sweep; run.nc is a single result",
    "run.nc --kind policy --prompt 1": "prompt=1: the game has the prompts 0 to 0",
    "run.nc --output out.gif": "--output out.gif: .gif cannot be written; choose from .png, .svg, .pdf",
    "run.nc --output nowhere/out.png": "the folder nowhere does not exist",
    "run.nc --drak": "plot has no option --drak; did you mean '--dark'?",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_no_file(line, plot):
    before = sorted(os.listdir())
    code, said, _ = plot(line)
    assert code == 2
    assert said.startswith("nashpo: ") and said.count("\n") == 1 and said.rstrip()[-1] in ".?"
    assert MISTAKES[line] in said
    assert sorted(os.listdir()) == before


def test_a_failed_write_leaves_the_old_picture(plot, monkeypatch):
    with open("run.png", "w") as old:
        old.write("old")

    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    code, said, _ = plot("run.nc")
    assert code == 2 and "run.png: cannot be written (No space left on device)" in said
    with open("run.png") as old:
        assert old.read() == "old"
    assert not [file for file in os.listdir() if file.startswith(".")]


def test_a_rule_is_made_again_from_its_description():
    assert isinstance(command._proven("EGPO(eta=array([0.1, 0.2]))"), EGPO)
    assert isinstance(command._proven("INPO(eta=Array([0.1,\n 0.2], dtype=float32))"), INPO)
    assert isinstance(command._proven("INPO(eta=0.25)"), INPO)
    made = command._proven("MNPO(eta=array([0.1, 1. ]), history=(0.5, 0.5), opponents='mixture')")
    assert isinstance(made, MNPO) and made.history == (0.5, 0.5)
    assert command._proven("MPO(eta=array([0.1]), every=3, alpha=array([0.1, 0.2]))") is None
    assert command._proven("<object>") is None

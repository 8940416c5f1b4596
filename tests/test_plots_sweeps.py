"""Pictures of sweeps and of many results: medians, bands, limits and runs that failed."""

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex
from matplotlib.text import Text
from pictures import RPS, close_figures, drawn, texts  # noqa: F401  the fixture runs by itself
from synthetic import fail, remove, sweep

import nashpo
from nashpo import plots
from nashpo.plots.lanes import quantile
from nashpo.plots.style import COLOURS, cut
from nashpo.solvers import EGPO, INPO, SPO


def edges(band):
    """Lower and upper edge of a band by step."""
    points = band.get_paths()[0].vertices
    return {
        x: (points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in np.unique(points[:, 0])
    }


def test_a_quantile_is_one_of_the_values():
    values = np.array([4.0, 1.0, 3.0, 2.0, np.inf])[:, None]
    assert [quantile(values, q)[0] for q in (0.0, 0.2, 0.21, 0.5, 0.8, 1.0)] == [1, 1, 2, 3, 4, np.inf]
    assert np.isnan(quantile(np.array([[1.0], [np.nan]]), 0.5)[0])


def test_gap_draws_median_and_band_over_seeds():
    data = sweep(solvers=("EGPO", "INPO"), seeds=5)
    ax = drawn(plots.gap(data))
    gaps = data["duality_gap"].values[0, 0, 0, 0]
    assert texts(ax.get_legend()) == ["EGPO", "INPO"]
    assert ax.get_legend().get_title().get_text() == "rps, beta = 0.1, eta = 0.5"
    assert ax.get_ylabel() == "duality gap [win probability]"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), data["step"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), gaps[2])
    band = edges(ax.collections[0])
    assert band[8.0] == pytest.approx((gaps[4, 1], gaps[0, 1]))
    narrow = edges(plots.gap(data, band=(0.3, 0.7)).collections[0])
    assert narrow[8.0] == pytest.approx((gaps[3, 1], gaps[1, 1]))
    assert plots.gap(sweep(scale="score")).get_ylabel() == "duality gap [score (log-odds)]"


def test_gap_over_games_too_and_of_a_part_of_a_sweep():
    data = sweep(games=("a", "b"), etas=(0.5, 1.0))
    assert len(plots.gap(data).lines) == 4
    ax = plots.gap(data, over=("seed", "game"))
    assert texts(ax.get_legend()) == ["eta = 0.5", "eta = 1"]
    part = plots.gap(data.sel(game="a", eta=1.0))
    assert texts(part.get_legend()) == ["EGPO, a, beta = 0.1, eta = 1"]
    np.testing.assert_array_equal(part.lines[0].get_ydata(), data["duality_gap"].values[0, 0, 0, 1, 1])


def test_a_failed_run_counts_as_infinite_and_a_stopped_one_keeps_its_gap():
    data = fail(sweep(seeds=3), seed=2)
    gaps = data["duality_gap"].values[0, 0, 0, 0]
    ax = plots.gap(data)
    assert texts(ax.get_legend()) == ["EGPO, rps, beta = 0.1, eta = 0.5 (1 of 3 failed)"]
    height = ax.lines[0].get_ydata()
    np.testing.assert_array_equal(height[:3], gaps[1, :3])
    np.testing.assert_array_equal(height[3:], gaps[0, 3:])
    assert edges(ax.collections[0])[40.0][1] == pytest.approx(10 * gaps[0, 0]), "the band reaches to the top"
    most = plots.gap(fail(fail(sweep(seeds=3), seed=2), seed=1))
    assert np.isnan(most.lines[0].get_ydata()[3:]).all()
    stopped = sweep(seeds=3)
    stopped["duality_gap"] = stopped["duality_gap"].where((stopped["seed"] > 0) | (stopped["step"] < 20))
    line = plots.gap(stopped, band=(0, 1))
    assert edges(line.collections[0])[40.0][1] == pytest.approx(float(stopped["duality_gap"][0, 0, 0, 0, 0, 3]))


def test_results_with_one_label_are_one_series():
    runs = [nashpo.solve(RPS, EGPO(eta=eta), steps=steps) for eta, steps in ((0.2, 8), (0.4, 8), (0.8, 5))]
    ax = plots.gap(runs, labels=["ours", "ours", "theirs"], band=(0, 1))
    assert texts(ax.get_legend()) == ["ours", "theirs"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), runs[1].trace["duality_gap"])
    assert edges(ax.collections[0])[3.0][1] == pytest.approx(runs[0].trace["duality_gap"][2])
    held = plots.gap(runs, labels=["all"] * 3, band=(0, 1))
    assert edges(held.collections[0])[8.0][0] == pytest.approx(runs[2].trace["duality_gap"][-1])


def test_many_lines_are_told_apart_by_what_they_have_in_common():
    etas = np.geomspace(0.1, 2.0, 8)
    ax = drawn(plots.gap(sweep(solvers=("EGPO", "INPO"), etas=etas)))
    assert len(ax.lines) == 16 and texts(ax.get_legend()) == ["EGPO", "INPO"] and not ax.collections
    assert ax.figure.axes[-1].get_ylabel() == "eta", "a colour bar"
    shades = [to_hex(line.get_color()) for line in ax.lines]
    assert shades[:8] == shades[8:] and len(set(shades)) == 8
    assert {line.get_linestyle() for line in ax.lines[:8]} != {line.get_linestyle() for line in ax.lines[8:]}
    by_solver = plots.gap(sweep(solvers=[f"solver {i}" for i in range(6)], etas=(0.5, 1.0, 2.0)))
    assert texts(by_solver.get_legend())[0] == "solver 0 (3 settings)" and len(by_solver.lines) == 18
    assert len({line.get_color() for line in by_solver.lines}) == 6
    games = sweep(games=[f"game {i}" for i in range(20)])
    games["duality_gap"] = games["duality_gap"] * (2.0 ** -np.arange(20))[:, None, None, None, None]
    best = plots.gap(games)
    assert texts(best.get_legend()) == [f"game {i}" for i in range(9, 20)] + ["9 others"]
    assert {line.get_color() for line in best.lines[:9]} == {"#888888"}


def test_gap_refuses_what_a_sweep_has_not():
    data = sweep()
    with pytest.raises(ValueError, match="no number 'entropy' at every step, only duality_gap: run it with metrics"):
        plots.gap(data, metric="entropy")
    with pytest.raises(ValueError, match="no number 'policy'"):
        plots.gap(data, metric="policy")
    with pytest.raises(ValueError, match=r"no axis 'seeds', only solver, game, beta, eta, seed"):
        plots.gap(data, over=("seeds",))
    with pytest.raises(ValueError, match=r"band=\(0\.9, 0\.1\): give two quantiles"):
        plots.gap(data, band=(0.9, 0.1))
    with pytest.raises(ValueError, match="gap: give a sweep or its dataset; Dataset has no 'status'"):
        plots.gap(data.drop_vars("status"))
    with pytest.raises(ValueError, match="not one run"):
        plots.gap(remove(data, eta=0.5))


def test_stability_draws_medians_failures_and_gaps_where_nothing_ran():
    data = sweep(betas=(0.4, 0.1, 0.2), etas=(2.0, 0.5, np.nan), games=("a", "b"), seeds=2)
    data = remove(fail(fail(data, eta=2.0, beta=0.4), eta=2.0, beta=0.2, game="a"), eta=0.5, beta=0.4)
    ax = drawn(plots.stability(data))
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "log", "beta", "eta")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "0.2", "0.4"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.5", "2"]
    mesh = ax.collections[0]
    final = data["final_gap"].transpose("eta", "beta", ...)
    cells = np.ma.filled(mesh.get_array().reshape(2, 3), np.nan)
    assert cells[0, 0] == pytest.approx(float(final.sel(eta=0.5, beta=0.1)[0, 0, 1])), "the better of two seeds"
    assert cells[1, 1] == pytest.approx(float(final.sel(eta=2.0, beta=0.2, game="b")[0, 0]))
    assert np.isnan(cells[0, 2]) and np.isnan(cells[1, 2])
    assert len(ax.patches) == 1 and ax.patches[0].get_label() == "most runs failed"
    assert (ax.patches[0].get_x(), ax.patches[0].get_y()) == pytest.approx((0.4 / 2**0.5, 1.0))
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "median final gap [win probability]"


def test_stability_draws_the_limits():
    data = sweep(betas=(0.1, 0.2, 0.4), etas=(0.5, 2.0))
    limits = {"proven": INPO(eta=1.0), "local": lambda b: 2 * b / (b * b + 1 / 12), "mine": [0.6, 0.7, 0.8]}
    ax = plots.stability(data, limits)
    assert texts(ax.get_legend()) == ["proven", "local", "mine"]
    proven, local, mine = (line for line in ax.lines if not line.get_label().startswith("_"))
    at = proven.get_xdata()
    assert at[0] < 0.1 and at[-1] > 0.4, "from border to border"
    np.testing.assert_allclose(proven.get_ydata(), at / (at**2 + 0.25))
    np.testing.assert_allclose(local.get_ydata(), 2 * at / (at**2 + 1 / 12))
    np.testing.assert_array_equal(mine.get_data(), [[0.1, 0.2, 0.4], [0.6, 0.7, 0.8]])
    assert texts(plots.stability(data, EGPO(eta=1.0)).get_legend()) == ["proven for EGPO"]
    assert plots.stability(data, SPO(eta=1.0)).get_legend() is None, "nothing is proven"
    score = nashpo.Game.from_table(np.array([[0.0, 3.0], [-3.0, 0.0]]), scale="score")
    scored = plots.stability(sweep(betas=(0.1, 0.2), scale="score"), EGPO(eta=1.0), game=score)
    np.testing.assert_allclose(scored.lines[0].get_ydata(), 1 / (scored.lines[0].get_xdata() + 3.0))
    assert "score (log-odds)" in scored.figure.axes[-1].get_ylabel()


def test_stability_of_one_cell_of_beta_zero_and_with_a_span():
    one = drawn(plots.stability(sweep(), EGPO(eta=1.0)))
    assert one.get_xlim()[0] < 0.1 < one.get_xlim()[1] and one.collections[0].get_array().size == 1
    ax = drawn(plots.stability(sweep(betas=(0.0, 0.1, 0.2)), EGPO(eta=1.0), span=(1e-6, 1e-1)))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "0.1", "0.2"]
    np.testing.assert_allclose(ax.get_xticks(), [0.05, 0.1, 0.2])
    assert ax.collections[0].get_clim() == (1e-6, 1e-1)
    assert ax.lines[0].get_xdata()[0] > 0.05, "no limit is claimed at beta = 0"


def test_stability_refuses_what_it_cannot_draw():
    two = sweep(solvers=("EGPO", "INPO"), betas=(0.1, 0.2))
    with pytest.raises(ValueError, match=r"pick one solver of the sweep, solver=\.\.\., from EGPO, INPO"):
        plots.stability(two)
    with pytest.raises(ValueError, match="solver='SPO' was not swept; choose from EGPO, INPO"):
        plots.stability(two, solver="SPO")
    with pytest.raises(ValueError, match=r"'limit' has shape \(3,\): give one eta for each of the 2 betas"):
        plots.stability(two, [1, 2, 3], solver="EGPO")
    with pytest.raises(ValueError, match="was not run over eta and beta"):
        plots.stability(sweep(etas=(np.nan,)))
    with pytest.raises(ValueError, match="depends on the largest score; give game="):
        plots.stability(sweep(scale="score"), EGPO(eta=1.0))


def test_iterations_are_medians_with_whiskers():
    data = sweep(solvers=("EGPO", "INPO"), seeds=5, etas=(1.0,))
    ax = drawn(plots.iterations(data, 1e-3, spread=(0, 1)))
    # 10^(-0.1 step (1 + seed)) <= 1e-3 at step 30, 15, 10, 7.5, 6; measured every 4 steps.
    assert [t.get_text() for t in ax.get_yticklabels()] == ["EGPO", "INPO"]
    assert [bar.get_width() for bar in ax.patches] == [12.0, 12.0]
    assert list(ax.lines[0].get_xdata()) == [8.0, 32.0]
    assert [t.get_text() for t in ax.texts] == ["12", "12"]
    assert ax.get_title() == "beta = 0.1, eta = 1"
    assert to_hex(ax.patches[0].get_facecolor()).upper() == COLOURS[0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_iterations_show_runs_that_never_get_there():
    data = fail(sweep(solvers=("EGPO", "INPO"), seeds=5, etas=(1.0,)), 1, solver="INPO")
    data = fail(data, 1, solver="EGPO", seed=0)
    ax = drawn(plots.iterations(data, 1e-3))
    full, hollow = ax.patches
    assert [t.get_text() for t in ax.texts] == ["12 (4 of 5 runs)", "> 40 (0 of 5 runs)"]
    assert full.get_hatch() is None and hollow.get_hatch() and to_hex(hollow.get_facecolor(), True).endswith("00")
    assert hollow.get_width() == 40.0
    assert ax.lines[0].get_xdata()[1] == 40.0 and ax.lines[2].get_marker() == ">", "the whisker is open"
    alone = plots.iterations(nashpo.solve(RPS, EGPO(eta=0.1), steps=4), 1e-9)
    assert [t.get_text() for t in alone.texts] == ["> 4"]


def test_iterations_keep_the_best_setting_and_the_shortest_bars():
    data = sweep(solvers=("EGPO", "INPO"), betas=(0.1, 0.2), etas=(0.5, 1.0, 2.0))
    ax = plots.iterations(data, 1e-3, best=True)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == [f"{s}, beta = {b}, eta = 2" for s in ("EGPO", "INPO") for b in ("0.1", "0.2")]
    many = sweep(games=[f"g{i}" for i in range(45)], etas=(2.0,))
    ax = plots.iterations(many, 1e-3, over=("seed",))
    assert len(ax.patches) == 40 and "5 more settings took longer" in ax.get_xlabel()
    assert len(plots.iterations(many, 1e-3).patches) == 1
    slow = plots.iterations(sweep(etas=(0.02, 5.0), betas=(1.0,), steps=400), 1e-2)
    assert slow.get_xscale() == "log" and slow.patches[0].get_x() == 1.0


def test_iterations_know_their_tolerance_and_refuse_a_smaller_one():
    data = sweep(etas=(1.0,))
    data.attrs["tol"] = 1e-3
    assert "at most 0.001" in plots.iterations(data).get_xlabel()
    data["status"] = data["status"].where(data["status"] < 0, int(nashpo.Status.CONVERGED))
    with pytest.raises(ValueError, match=r"tol=1e-30: 3 runs were stopped at 0\.0001; choose a larger tol"):
        plots.iterations(data, 1e-30)
    run = nashpo.solve(RPS, EGPO(eta=1.0), steps=400, tol=1e-6)
    ax = plots.iterations(run)
    assert ax.patches[0].get_width() + ax.patches[0].get_x() == run.steps
    with pytest.raises(ValueError, match="no common tolerance; give tol="):
        plots.iterations(sweep())
    with pytest.raises(ValueError, match="tol=0: the duality gap to reach must be above 0"):
        plots.iterations(sweep(), 0)


def test_beta_path_of_a_sweep_takes_the_best_setting():
    data = sweep(solvers=("EGPO", "INPO"), betas=(0.2, 0.1), etas=(0.5, 2.0))
    data["policy"] = data["policy"].copy()
    better = data["policy"].where(data["eta"] < 1.0, data["policy"] * [1.2, 1.0, 0.5])
    data["policy"] = better.transpose(*data["policy"].dims)
    ax = drawn(plots.beta_path(data, solver="INPO", kind="lines"))
    assert texts(ax.get_legend()) == ["rock", "scissors", "paper"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.1, 0.2])
    np.testing.assert_allclose([line.get_ydata()[0] for line in ax.lines], [0.6, 0.3, 0.1])
    failed = plots.beta_path(fail(data, eta=2.0, solver="INPO"), solver="INPO", kind="lines")
    np.testing.assert_allclose(failed.lines[0].get_ydata(), 0.5)
    with pytest.raises(ValueError, match=r"pick one solver, solver=\.\.\., from EGPO, INPO"):
        plots.beta_path(data)
    with pytest.raises(ValueError, match="solver='SPO' was not swept"):
        plots.beta_path(data, solver="SPO")
    with pytest.raises(ValueError, match="pick one game"):
        plots.beta_path(sweep(games=("a", "b")))


def test_beta_path_of_one_of_several_games_has_its_names():
    other = nashpo.Game.from_table(np.full((4, 4), 0.5), items=["a", "b", "c", "d"])
    data = nashpo.sweep({"rps": RPS, "other": other}, EGPO(0.5), betas=[0.1, 1.0], steps=5).data
    for part in (data.sel(game="rps"), data.isel(game=[0])):
        assert set(texts(drawn(plots.beta_path(part)).get_legend())) == {"rock", "scissors", "paper"}


def test_long_names_keep_their_ends():
    assert cut("a game with a rather long name, number 17", 20).endswith("17")
    assert len(cut("x" * 100, 20)) == 20 and cut("short", 20) == "short"
    names = [f"a game with a rather long name, number {i}" for i in range(6)]
    ax = drawn(plots.gap(sweep(games=names)))
    assert len(set(texts(ax.get_legend()))) == 6
    box = ax.get_legend().get_window_extent()
    assert box.x1 <= ax.figure.bbox.x1 and box.x0 > ax.get_window_extent().x1 - 1, (
        "beside the lines, inside the picture"
    )


def test_pictures_of_a_real_sweep():
    rules = [EGPO(eta=np.array([0.5, 1.0])), INPO(eta=0.3)]
    found = nashpo.sweep({"rps": RPS}, rules, betas=[0.1, 0.2], steps=24, every=4)
    ax = drawn(plots.gap(found))
    labels = texts(ax.get_legend())
    settings = (("EGPO", "0.5"), ("EGPO", "1"), ("INPO", "0.3"))
    assert sorted(labels) == sorted(f"{s}, beta = {b}, eta = {eta}" for s, eta in settings for b in ("0.1", "0.2"))
    single = nashpo.solve(RPS, EGPO(eta=1.0), steps=24, every=4)
    line = ax.lines[labels.index("EGPO, beta = 0.1, eta = 1")]
    np.testing.assert_allclose(line.get_ydata(), single.trace["duality_gap"], rtol=1e-9)
    mesh = plots.stability(found, EGPO(eta=1.0), solver="EGPO").collections[0]
    assert mesh.get_array().reshape(2, 2)[1, 0] == pytest.approx(single.trace["duality_gap"][-1], rel=1e-9)
    assert len(plots.iterations(found, 1e-2, best=True).patches) == 4
    path = plots.beta_path(found, solver="EGPO", kind="lines")
    np.testing.assert_array_equal(path.lines[0].get_xdata(), [0.1, 0.2])


def test_names_of_solvers_and_games_are_no_formulas_and_an_underscore_hides_none():
    names, etas = ["_$1 or $2", "_b"], (0.1, 0.2, 0.4, 0.8, 1.0, 1.5, 2.0)
    few, many = sweep(solvers=names), sweep(solvers=names, games=[f"{i}" for i in range(7)])
    for data in (few, many, sweep(solvers=names, etas=etas), sweep(games=names)):
        ax = drawn(plots.gap(data))
        assert len(texts(ax.get_legend())) == 2 and not formulas(ax)
    assert not formulas(drawn(plots.iterations(few, 1e-3))), "names at the bars"
    assert not formulas(drawn(plots.iterations(sweep(solvers=names[:1], etas=etas), 1e-3))), "the title"


def formulas(ax):
    """The texts of a picture that Matplotlib reads as formulas."""
    shown = [text.get_text() for text in ax.figure.findobj(Text)]
    return [text for text in shown if is_math_text(text) and "mathdefault" not in text]

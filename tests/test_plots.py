"""The pictures draw the data that they are given; what they look like was looked at."""

import jax.numpy as jnp
import matplotlib
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import RPS, close_figures, drawn, texts  # noqa: F401  the fixture runs by itself

import nashpo
from nashpo import plots
from nashpo.solvers import EGPO, INPO

CONTEXTS = nashpo.Game.from_table(
    np.stack([np.asarray(RPS.oracle.table())[0], np.asarray(RPS.oracle.table())[0].T]), beta=0.1, prompts=[0.25, 0.75]
)


@pytest.fixture(scope="module")
def runs():
    return [
        nashpo.solve(RPS, solver, steps=20, every=2, start=[0.6, 0.3, 0.1], metrics=[nashpo.metrics.probs])
        for solver in (EGPO(eta=1.0), INPO(eta=0.3))
    ]


def test_gap_draws_the_traces_on_a_log_axis(runs):
    ax = drawn(plots.gap(runs, labels=["ours", "theirs"]))
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "duality gap [win probability]" and ax.get_xlabel() == "step"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", "theirs"]
    for line, run in zip(ax.lines, runs, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), run.trace["step"])
        np.testing.assert_array_equal(line.get_ydata(), run.trace["duality_gap"])
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 2


def test_gap_takes_one_result_and_an_axes_and_survives_a_zero(runs):
    _, ax = plt.subplots()
    assert plots.gap(runs[0], ax=ax) is ax
    assert ax.get_legend().get_texts()[0].get_text() == "EGPO(eta=1.0)"
    ax.plot([1, 20], [1.0, 0.1], label="a bound")
    assert texts(plots.gap(runs[1], "INPO", ax=ax).get_legend()) == ["EGPO(eta=1.0)", "a bound", "INPO"]
    uniform = nashpo.Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    drawn(plots.gap(nashpo.solve(uniform, EGPO(eta=1.0), steps=3)))


def test_labels_may_be_numbers_and_an_underscore_hides_none(runs):
    assert texts(drawn(plots.gap(runs, labels=[0.5, "_mine"])).get_legend()) == ["0.5", " _mine"]
    assert texts(drawn(plots.policies(runs, labels=["_a", "_b"])).get_legend()) == [" _a", " _b"]


def test_gap_refuses_what_it_cannot_draw(runs):
    with pytest.raises(ValueError, match="no 'entropy', only duality_gap, probs: run solve with metrics="):
        plots.gap(runs, metric="entropy")
    with pytest.raises(ValueError, match=r"shape \(1, 3\) at every step: only numbers"):
        plots.gap(runs, metric="probs")
    with pytest.raises(ValueError, match="there are 1 labels for 2 things"):
        plots.gap(runs, labels="one")
    with pytest.raises(ValueError, match="at least one result"):
        plots.gap([])
    score = nashpo.Game.from_table(np.zeros((2, 2)), beta=0.1, scale="score")
    other = nashpo.solve(score, EGPO(eta=1.0), steps=3)
    with pytest.raises(ValueError, match="cannot share an axis"):
        plots.gap([runs[0], other])
    assert plots.gap(other).get_ylabel() == "duality gap [score (log-odds)]"


def test_simplex_draws_the_path_its_ends_and_the_equilibrium(runs):
    ax = drawn(plots.simplex(runs, equilibrium=nashpo.equilibrium(RPS)))
    assert ax.name == "ternary"
    assert (ax.get_tlabel(), ax.get_llabel(), ax.get_rlabel()) == ("rock", "scissors", "paper")
    assert len(ax.lines) == 7
    path, start, end = ax.lines[0], ax.lines[1], ax.lines[2]
    assert len(path.get_xdata()) == 1 + len(runs[0].trace["step"])
    assert (start.get_xdata()[0], end.get_xdata()[0]) == pytest.approx((path.get_xdata()[0], path.get_xdata()[-1]))
    assert len(plots.simplex(runs[0]).lines) == 3
    height = path.get_ydata()
    rock = np.append(runs[0].start.probs()[0, 0], runs[0].trace["probs"][:, 0, 0])
    assert np.corrcoef(height, rock)[0, 1] == pytest.approx(1.0), "the first response is at the top"


def test_simplex_refuses_what_it_cannot_draw(runs):
    without = nashpo.solve(RPS, EGPO(eta=1.0), steps=20, every=2)
    with pytest.raises(ValueError, match=r"run solve with metrics=\[nashpo\.metrics\.probs\]"):
        plots.simplex(without)
    two = nashpo.solve(nashpo.Game.from_table(np.full((2, 2), 0.5), beta=0.1), EGPO(eta=1.0), steps=3)
    with pytest.raises(ValueError, match="the game has 2 responses; only three"):
        plots.simplex(two)
    with pytest.raises(ValueError, match=r'ax is not ternary; .*\(projection="ternary"\), after `import mpltern`\.$'):
        plots.simplex(runs[0], ax=plt.subplots()[1])
    with pytest.raises(ValueError, match="prompt=1: the game has the prompts 0 to 0"):
        plots.simplex(runs[0], prompt=1)


def test_heatmap_is_centred_and_named():
    ax = drawn(plots.heatmap(RPS))
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), np.asarray(RPS.oracle.table())[0])
    assert image.get_clim() == (0.0, 1.0)
    np.testing.assert_allclose(image.cmap(image.norm(0.5))[:3], 0.965, atol=0.01)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["rock", "scissors", "paper"]
    assert [t.get_text() for t in ax.texts][:3] == ["0.50", "0.90", "0.30"]
    score = nashpo.Game.from_table(np.array([[0.0, 3.0], [-3.0, 0.0]]), scale="score")
    ax = plots.heatmap(score)
    assert ax.images[0].get_clim() == (-3.0, 3.0)
    assert "log-odds" in ax.figure.axes[-1].get_ylabel()


def test_pictures_of_a_game_take_a_result_and_pictures_of_runs_say_what_they_want(runs):
    of_run, of_game = plots.heatmap(runs[0]), plots.heatmap(RPS)
    np.testing.assert_array_equal(of_run.images[0].get_array(), of_game.images[0].get_array())
    assert [t.get_text() for t in of_run.texts] == [t.get_text() for t in of_game.texts]
    assert len(plots.tournament(runs[0]).patches) == len(plots.tournament(RPS).patches) == 3
    for picture in (plots.gap, plots.iterations, plots.simplex):
        name = picture.__name__
        with pytest.raises(ValueError, match=f"^{name}: give a result of nashpo.solve, or a list of them, not a Game"):
            picture(RPS)
        with pytest.raises(ValueError, match="not a str"):
            picture([runs[0], "run.nc"])
        with pytest.raises(ValueError, match=f"^{name}: give at least one result"):
            picture([])


def test_heatmap_orders_rows_and_averages_prompts():
    ax = plots.heatmap(RPS, order=[2, 0, 1])
    table = np.asarray(RPS.oracle.table())[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), table[np.ix_([2, 0, 1], [2, 0, 1])])
    names = [t.get_text() for t in plots.heatmap(RPS, order="win rate").get_yticklabels()]
    assert names == [RPS.items[i] for i in np.argsort(-table.mean(axis=1))]
    mean = plots.heatmap(CONTEXTS)
    np.testing.assert_allclose(mean.images[0].get_array(), 0.25 * table + 0.75 * table.T)
    assert mean.get_title() == "mean of 2 prompts"
    np.testing.assert_array_equal(plots.heatmap(CONTEXTS, prompt=1).images[0].get_array(), table.T)
    with pytest.raises(ValueError, match="each of the responses 0 to 2 once"):
        plots.heatmap(RPS, order=[0, 0, 1])
    with pytest.raises(ValueError, match='choose "given", "win rate"'):
        plots.heatmap(RPS, order="elo")


def test_a_large_heatmap_names_only_some_rows():
    ax = drawn(plots.heatmap(nashpo.Game.from_table(np.full((150, 150), 0.5))))
    assert len(ax.get_yticklabels()) == 50 and len(ax.texts) == 0


def test_policies_are_bars_in_the_order_of_the_first(runs):
    exact = nashpo.equilibrium(RPS)
    ax = drawn(plots.policies([exact, runs[0], [0.2, 0.3, 0.5]], RPS, labels=["exact", "EGPO", "mine"]))
    order = np.argsort(-exact.probs()[0])
    assert [t.get_text() for t in ax.get_yticklabels()] == [RPS.items[i] for i in order]
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(3, 3)
    np.testing.assert_allclose(widths[0], exact.probs()[0][order])
    np.testing.assert_allclose(widths[1], np.asarray(runs[0].policy.probs())[0][order])
    np.testing.assert_allclose(widths[2], np.array([0.2, 0.3, 0.5])[order])
    assert ax.get_xlabel() == "probability"
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the most probable response is on top"


def test_policies_average_prompts_and_say_what_is_missing(runs):
    probs = np.array([[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]])
    ax = plots.policies(nashpo.policies.Tabular.from_probs(probs), CONTEXTS, top=2)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.5, 0.3])
    assert ax.get_xlabel() == "probability, mean of 2 prompts\n1 more items with 0.2 together are not shown"
    one = plots.policies(nashpo.policies.Tabular.from_probs(probs), CONTEXTS, prompt=1)
    np.testing.assert_allclose([bar.get_width() for bar in one.patches], [0.6, 0.2, 0.2])
    with pytest.raises(ValueError, match="give the game"):
        plots.policies([0.5, 0.5])
    with pytest.raises(ValueError, match=r"has shape \(1, 2\), the game"):
        plots.policies([[0.5, 0.5]], RPS)


def test_names_stay_inside_the_picture():
    names = [f"an item whose name is a whole answer of a language model, which goes on, number {i}" for i in range(18)]
    game = nashpo.Game.from_table(np.full((18, 18), 0.5), items=names)
    for ax in (plots.heatmap(game), plots.policies([game.reference] * 3, game, labels=names[:3])):
        drawn(ax)
        assert ax.get_window_extent().width > 0.3 * ax.figure.bbox.width, "names leave room for the picture"
        assert len({label.get_text() for label in ax.get_yticklabels()}) == 18
        box = ax.figure.bbox
        for label in ax.get_yticklabels():
            extent = label.get_window_extent()
            assert extent.x0 >= box.x0 and extent.x1 <= box.x1 and extent.y0 >= box.y0 and extent.y1 <= box.y1


def test_the_legend_of_many_policies_stays_inside_the_picture():
    names = [f"an item whose name is a whole answer of a language model, which goes on, number {i}" for i in range(6)]
    game = nashpo.Game.from_table(np.full((6, 6), 0.5), items=names)
    ax = drawn(plots.policies([game.reference] * 8, game, labels=[f"EGPO(eta={0.1 * i:.1f})" for i in range(8)]))
    legend, box = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert legend.x0 >= box.x0 and legend.x1 <= box.x1


def test_more_policies_than_colours_are_told_apart():
    ax = drawn(plots.policies([RPS.reference] * 8, RPS, labels=list("abcdefgh")))
    looks = {(bar.get_facecolor(), bar.get_hatch()) for bar in ax.patches}
    assert len(looks) == 8


def test_what_is_no_number_of_things_to_draw_is_refused(runs):
    with pytest.raises(ValueError, match=r"^policies: give at least one policy"):
        plots.policies([], RPS)
    for top in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"^top={top}: "):
            plots.policies(runs[0], top=top)
        with pytest.raises(ValueError, match=f"^top={top}: name at least one response"):
            plots.beta_path(nashpo.equilibrium_path(RPS, [1.0]), top=top)
    with pytest.raises(ValueError, match=r"^arrows=-3: must be a whole number, at least 0"):
        plots.tournament(RPS, arrows=-3)
    with pytest.raises(ValueError, match=r"^rows=2\.5: the grid needs at least 2 rows"):
        plots.flow(RPS, EGPO(eta=0.1), rows=2.5)
    with pytest.raises(ValueError, match=r"^order=.*each of the responses 0 to 2 once"):
        plots.heatmap(RPS, order=[0.0, 1.0, 2.0])
    for prompt in (1.5, "0"):
        with pytest.raises(ValueError, match=r"^prompt=.*: the game has the prompts 0 to 0"):
            plots.policies(runs[0], prompt=prompt)


def test_default_labels_are_plain_numbers_and_leave_room_for_the_picture():
    rules = [EGPO(eta=np.float64(0.5)), nashpo.solvers.MNPO(eta=jnp.asarray(0.25), history=(0.5, 0.25, 0.25))]
    ax = drawn(plots.gap([nashpo.solve(RPS, rule, steps=2) for rule in rules]))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "EGPO(eta=0.5)" and labels[1].startswith("MNPO(eta=0.25, history=(0.5, 0.25, 0.25)")
    assert ax.get_window_extent().width > 0.3 * ax.figure.bbox.width


def test_gaps_that_are_all_zero_are_said():
    tied = nashpo.Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    ax = drawn(plots.gap(nashpo.solve(tied, EGPO(eta=0.1), steps=2)))
    assert "no value above 0" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("background", ["white", "black"])
def test_every_colour_stands_out_on_light_and_dark(background):
    def luminance(colour):
        rgb = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    from nashpo.plots.style import COLOURS

    for colour in COLOURS:
        low, high = sorted((luminance(colour), luminance(background)))
        assert (high + 0.05) / (low + 0.05) > 2.0, colour

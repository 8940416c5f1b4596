"""Pictures of games: flow fields, tournaments, the policy along beta."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from pictures import RPS, close_figures, drawn, texts  # noqa: F401  the fixture runs by itself

import nashpo
from nashpo import plots
from nashpo.plots.style import COLOURS
from nashpo.solvers import EGPO, SPO, FictitiousPlay

CONTEXTS = nashpo.Game.from_table(
    np.stack([np.asarray(RPS.oracle.table())[0], np.asarray(RPS.oracle.table())[0].T]), beta=0.1, prompts=[0.25, 0.75]
)
ORDERED = nashpo.Game.from_table(
    [[0.5, 0.6, 0.9, 0.8], [0.4, 0.5, 0.7, 0.8], [0.1, 0.3, 0.5, 0.55], [0.2, 0.2, 0.45, 0.5]], items=list("abcd")
)
AGAINST, WITH = COLOURS[5], COLOURS[4]


def random_game(size, seed=0, names=None):
    upper = np.triu(np.random.default_rng(seed).uniform(0.05, 0.95, (size, size)), 1)
    return nashpo.Game.from_table(upper + np.tril(1 - upper.T, -1) + 0.5 * np.eye(size), items=names)


def test_flow_points_where_a_step_goes():
    ax = drawn(plots.flow(RPS, EGPO(eta=0.5), rows=5))
    arrows = ax.collections[0]
    assert len(arrows.U) == 15
    points = np.array([(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]) / 5 + 1 / 15
    for index in (0, 7, 14):
        after = nashpo.solve(RPS, EGPO(eta=0.5), steps=1, start=points[index]).policy.probs()[0]
        moved = np.asarray(after) - points[index]
        flat = np.array([(moved[2] - moved[1]) / np.sqrt(3), moved[0]])
        arrow = np.array([arrows.U[index], arrows.V[index]])
        np.testing.assert_allclose(arrow / np.linalg.norm(arrow), flat / np.linalg.norm(flat), rtol=1e-6)
        assert arrows.get_array()[index] == pytest.approx(0.5 * np.abs(moved).sum(), rel=1e-6)
    assert (ax.get_tlabel(), ax.get_llabel(), ax.get_rlabel()) == ("rock", "scissors", "paper")
    assert ax.figure.axes[-1].get_ylabel() == "distance of one step [total variation]"


def test_flow_of_a_prompt_a_solver_and_at_rest():
    first, second = (plots.flow(CONTEXTS, SPO(eta=0.2), rows=5, prompt=x).collections[0] for x in (0, 1))
    turned = plots.flow(nashpo.Game.from_table(CONTEXTS.oracle.table()[1], beta=0.1), SPO(eta=0.2), rows=5)
    np.testing.assert_allclose(second.U, turned.collections[0].U, rtol=1e-9)
    assert not np.allclose(first.U, second.U)
    assert len(drawn(plots.flow(RPS, FictitiousPlay(), rows=5)).collections[0].U) == 15
    still = nashpo.Game.from_table(np.full((3, 3), 0.5))
    assert np.all(drawn(plots.flow(still, SPO(eta=0.2), rows=5)).collections[0].U == 0)


def test_flow_draws_a_run_over_it_and_refuses_other_games():
    run = nashpo.solve(RPS, EGPO(eta=1.0), steps=20, start=[0.8, 0.1, 0.1], metrics=[nashpo.metrics.probs])
    exact = nashpo.equilibrium(RPS)
    ax = plots.flow(RPS, EGPO(eta=1.0), rows=5, results=run, labels="run", start=[0.8, 0.1, 0.1], equilibrium=exact)
    assert texts(ax.get_legend()) == ["run", "equilibrium"]
    assert len(ax.lines[0].get_xdata()) == 21
    with pytest.raises(ValueError, match="flow: the game has 4 responses; only three make a triangle"):
        plots.flow(ORDERED, SPO(eta=0.1))
    with pytest.raises(ValueError, match="rows=1: the grid needs at least 2 rows"):
        plots.flow(RPS, SPO(eta=0.1), rows=1)
    with pytest.raises(ValueError, match="ax is not ternary"):
        plots.flow(RPS, SPO(eta=0.1), rows=3, ax=plt.subplots()[1])


def test_a_path_begins_at_the_start():
    begin = [0.7, 0.2, 0.1]
    run = nashpo.solve(RPS, EGPO(eta=1.0), steps=20, start=begin, metrics=[nashpo.metrics.probs])
    ax = drawn(plots.simplex(run, start=begin))
    path, ring = ax.lines[0], ax.lines[1]
    rock = np.concatenate([[begin[0]], run.trace["probs"][:, 0, 0]])
    assert len(path.get_ydata()) == 21
    assert np.corrcoef(path.get_ydata(), rock)[0, 1] == pytest.approx(1.0)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (path.get_xdata()[0], path.get_ydata()[0])
    policy = plots.simplex(run, start=nashpo.policies.Tabular.from_probs(begin)).lines[0]
    np.testing.assert_allclose(policy.get_ydata(), path.get_ydata())

    class Remembers(nashpo.Result):
        start = nashpo.policies.Tabular.from_probs(begin)

    known = plots.simplex(Remembers(run.game, run.solver, run._outcome)).lines[0]
    np.testing.assert_allclose(known.get_ydata(), path.get_ydata())


def test_a_tournament_has_an_arrow_from_every_winner():
    ax = drawn(plots.tournament(ORDERED))
    places = [np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.0, -1.0]), np.array([-1.0, 0.0])]
    found = {}
    for arrow in ax.patches:
        tail, head = (min(range(4), key=lambda i: np.abs(places[i] - point).sum()) for point in arrow._posA_posB)
        found[tail, head] = arrow
    assert set(found) == {(i, j) for i in range(4) for j in range(i + 1, 4)}
    assert {to_hex(arrow.get_edgecolor()).upper() for arrow in ax.patches} == {WITH}
    widths = {pair: arrow.get_linewidth() for pair, arrow in found.items()}
    assert widths[0, 2] == max(widths.values()) and widths[2, 3] == min(widths.values())
    assert widths[0, 3] == widths[1, 3]
    assert [text.get_text() for text in ax.texts] == list("abcd")
    assert ax.get_title() == "Smith set: 1 of 4 items"
    assert texts(ax.get_legend()) == ["beats, with the order", "Condorcet winner", "outside"]
    assert [len(dots.get_offsets()) for dots in ax.collections] == [3, 1]
    assert ax.texts[0].get_fontweight() == "bold" and ax.texts[1].get_fontweight() != "bold"


def test_a_cycle_closes_against_the_order():
    ax = plots.tournament(RPS)
    shades = sorted(to_hex(arrow.get_edgecolor()).upper() for arrow in ax.patches)
    assert shades == sorted([WITH, WITH, AGAINST])
    assert texts(ax.get_legend()) == ["beats, with the order", "beats, against the order", "in the Smith set"]
    table = np.asarray(RPS.oracle.table())[0]
    mean = plots.tournament(CONTEXTS)
    assert mean.get_title() == "Smith set: 3 of 3 items, mean of 2 prompts"
    one = plots.tournament(CONTEXTS, prompt=1)
    alone = plots.tournament(nashpo.Game.from_table(table.T))
    assert [a.get_linewidth() for a in one.patches] == [a.get_linewidth() for a in alone.patches]
    assert plots.tournament(CONTEXTS, prompt=0).get_title().endswith("prompt 0")
    with pytest.raises(ValueError, match="prompt=2: the game has the prompts 0 to 1"):
        plots.tournament(CONTEXTS, prompt=2)
    assert not plots.tournament(nashpo.Game.from_table(np.full((3, 3), 0.5))).patches, "ties have no arrow"


def test_a_large_tournament_draws_the_largest_margins():
    game = random_game(9)
    ax = plots.tournament(game, arrows=10)
    assert len(ax.patches) == 10
    assert texts(ax.get_legend())[0] == "beats, with the order, 10 of 36 arrows"
    full = sorted((arrow.get_linewidth() for arrow in plots.tournament(game).patches), reverse=True)
    np.testing.assert_allclose(sorted((arrow.get_linewidth() for arrow in ax.patches), reverse=True), full[:10])
    assert len(plots.tournament(random_game(25)).patches) == plots.MOST_ARROWS


@pytest.mark.parametrize("size", [9, 16])
def test_names_of_a_tournament_stay_inside_and_off_title_and_legend(size):
    ax = drawn(plots.tournament(random_game(size, names=[f"an item with a long name {i}" for i in range(size)])))
    box, title, legend = ax.figure.bbox, ax.title.get_window_extent(), ax.get_legend().get_window_extent()
    for text in ax.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= box.x0 and extent.x1 <= box.x1 and extent.y0 >= box.y0 and extent.y1 <= box.y1
        assert not extent.overlaps(title) and not extent.overlaps(legend)


def test_beta_path_stacks_the_named_and_groups_the_rest():
    path = nashpo.equilibrium_path(ORDERED, [1.0, 0.01, 0.1])
    ax = drawn(plots.beta_path(path, top=2))
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "beta", "probability, stacked")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.01", "0.1", "1"]
    assert ax.get_xlim() == (0.01, 1.0) and ax.get_ylim() == (0.0, 1.0)
    assert texts(ax.get_legend()) == ["2 others", "b", "a"], "from the top down"
    lines = drawn(plots.beta_path(path, top=2, kind="lines"))
    probs = path.probs()[[1, 2, 0], 0]
    np.testing.assert_array_equal(lines.lines[0].get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose([line.get_ydata() for line in lines.lines], [*probs.T[:2], probs[:, 2:].sum(axis=1)])
    assert lines.get_ylabel() == "probability"
    corners = ax.collections[1].get_paths()[0].vertices
    assert corners[corners[:, 0] == 0.1, 1].max() == pytest.approx(probs[1, :2].sum())


def test_beta_path_has_a_place_for_zero_and_averages_prompts():
    ax = drawn(plots.beta_path(nashpo.equilibrium_path(ORDERED, [0.0, 0.1, 1.0]), kind="lines"))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "0.1", "1"]
    assert ax.lines[0].get_xdata()[0] == pytest.approx(0.1 / 10**0.5) and ax.lines[0].get_ydata()[0] == 1.0
    long = drawn(plots.beta_path(nashpo.equilibrium_path(ORDERED, [0.0, *np.geomspace(1e-3, 1, 12)])))
    assert [t.get_text() for t in long.get_xticklabels()] == ["0", "0.001", "0.01", "0.1", "1"]
    path = nashpo.equilibrium_path(CONTEXTS, [0.1, 1.0])
    mean = plots.beta_path(path, CONTEXTS, kind="lines")
    shown = np.stack([line.get_ydata() for line in mean.lines])
    expected = np.einsum("txa,x->at", path.probs(), [0.25, 0.75])
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(expected, axis=0))
    assert mean.get_ylabel() == "probability, mean of 2 prompts"
    assert plots.beta_path(path, prompt=1).get_ylabel() == "probability, stacked, prompt 1"
    single = plots.beta_path(nashpo.equilibrium_path(ORDERED, [0.1]), kind="lines")
    assert len(drawn(single).lines) == 4


@pytest.mark.parametrize("beta", [0.1, 0.0])
def test_a_path_of_one_beta_is_no_empty_picture(beta):
    path = nashpo.equilibrium_path(ORDERED, [beta])
    lines, areas = (drawn(plots.beta_path(path, kind=kind)) for kind in ("lines", "areas"))
    for line, width in zip(lines.lines, np.diff([line.get_xdata() for line in lines.lines]), strict=True):
        assert width > 0 and len(set(line.get_ydata())) == 1
    assert [text.get_text() for text in areas.get_xticklabels()] == [f"{beta:g}"]
    assert areas.collections[0].get_datalim(areas.transData).width > 0


def test_beta_path_refuses_what_it_cannot_draw():
    path = nashpo.equilibrium_path(CONTEXTS, [0.1, 1.0])
    with pytest.raises(ValueError, match='kind=\'bars\': choose "areas" or "lines"'):
        plots.beta_path(path, kind="bars")
    with pytest.raises(ValueError, match="top=0: name at least one response"):
        plots.beta_path(path, top=0)
    with pytest.raises(ValueError, match="prompt=2: the game has the prompts 0 to 1"):
        plots.beta_path(path, prompt=2)
    with pytest.raises(ValueError, match="the game has 1 prompts, the path 2"):
        plots.beta_path(path, RPS)
    with pytest.raises(ValueError, match="give an equilibrium_path or a sweep, not Equilibrium"):
        plots.beta_path(nashpo.equilibrium(RPS))


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_text_and_rims_follow_the_style(style):
    with plt.style.context(style):
        text = to_hex(plt.rcParams["text.color"])
        ax = plots.tournament(ORDERED)
        assert to_hex(ax.texts[0].get_color()) == text
        assert to_hex(ax.collections[0].get_edgecolor()[0]) == text
        areas = plots.beta_path(nashpo.equilibrium_path(ORDERED, [0.1, 1.0]))
        assert to_hex(areas.collections[0].get_edgecolor()[0]) == to_hex(plt.rcParams["axes.facecolor"])


@pytest.mark.parametrize("kind", ["areas", "lines"])
def test_names_are_no_formulas_and_an_underscore_hides_none(kind):
    names = {"from $5 to $10", "a ${ b$", "_hidden"}
    game = random_game(3, names=sorted(names))
    path = nashpo.equilibrium_path(game, [0.1, 1.0])
    ternary = plots.flow(game, SPO(eta=0.1), rows=3)
    for ax in (ternary, *map(drawn, (plots.heatmap(game), plots.tournament(game), plots.policies(path[0], game)))):
        shown = [text for text in ax.figure.findobj(Text) if text.get_text() in names]
        assert {text.get_text() for text in shown} == names
        assert not any(text.get_parse_math() for text in shown)
    legend = drawn(plots.beta_path(path, kind=kind)).get_legend()
    assert set(texts(legend)) == names
    assert not any(text.get_parse_math() for text in legend.get_texts())

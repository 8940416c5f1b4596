"""Counts of wins and match lists."""

import numpy as np
import pytest
from conftest import TABLES
from hypothesis import given
from hypothesis import strategies as st

from nashpo.tables import from_matches, from_wins, read_table


@pytest.mark.parametrize("name", [t for t in TABLES if t in ("agent_arena_llms", "f1_2007", "atari_agents")])
def test_real_wins_give_the_real_table_bit_for_bit(data, name):
    table, stored = read_table(data / f"{name}.wins.csv"), read_table(data / f"{name}.csv")
    np.testing.assert_array_equal(table.P, stored.P)
    assert table.items == stored.items


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_any_counts_give_an_exact_table(n, seed, prior):
    wins = np.random.default_rng(seed).integers(0, 50, (n, n)) * (1 - np.eye(n))
    P = from_wins(wins, prior=prior).P
    assert (P + P.T == 1).all()
    total = wins + wins.T + 2 * prior
    i, j = np.nonzero(total * (1 - np.eye(n)))
    np.testing.assert_allclose(P[i, j], ((wins + prior) / np.where(total, total, 1))[i, j], rtol=1e-14)


def test_draws_count_half_or_not_at_all():
    wins, draws = [[0, 3], [1, 0]], [[0, 4], [4, 0]]
    assert from_wins(wins, draws=draws).P[0, 1] == 5 / 8
    assert from_wins(wins, draws=draws, ties="drop").P[0, 1] == 3 / 4
    assert from_wins(wins, prior=1).P[0, 1] == 4 / 6
    with pytest.raises(ValueError, match=r"'a' and 'b' tied"):
        from_wins(wins, ["a", "b"], draws=draws, ties="error")


def test_missing_pairs():
    wins = [[0, 2, 0], [1, 0, 0], [0, 0, 0]]
    assert from_wins(wins).P[0, 2] == 0.5
    assert from_wins(wins, prior=1, missing="error").P[0, 2] == 0.5
    with pytest.raises(ValueError, match=r"'a' and 'c' were never compared"):
        from_wins(wins, ["a", "b", "c"], missing="error")
    dropped = [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="never compared"):
        from_wins(dropped, draws=[[0, 3], [3, 0]], ties="drop", missing="error")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"wins": [[0, -1], [1, 0]]}, r"wins of 'a' against 'b' is -1: a count"),
        ({"wins": [[0, np.nan], [1, 0]]}, r"wins of 'a' against 'b' is nan"),
        ({"wins": [[0, 1], [1, 7]]}, r"wins of 'b' against itself is 7, but must be 0: put 0"),
        ({"wins": [[0.5, 0.2], [0.8, 0.5]]}, r"looks like a table of probabilities"),
        ({"wins": [[0, 1]]}, r"wins has shape \(1, 2\)"),
        ({"wins": [["x"]]}, r"wins must be a full array of real numbers"),
        ({"wins": [[0, 1j], [1, 0]]}, r"wins must be a full array of real numbers"),
        ({"wins": np.ma.masked_equal([[0, 7], [1, 0]], 7)}, r"wins of 'a' against 'b' is nan"),
        ({"wins": [[0, 3], [1, 0]], "draws": np.ma.masked_equal([[0, 7], [7, 0]], 7)}, "draws of 'a' .* is nan"),
        ({"wins": [[0, 1], [1, 0]], "draws": [[0, 1], [2, 0]]}, r"draws of 'a' and 'b' differ"),
        ({"wins": [[0, 1], [1, 0]], "draws": [[0]]}, r"draws has shape"),
        ({"wins": [[0, 1.5], [1, 0]], "ties": "drop"}, r"already counted in halves"),
        ({"wins": [[0, 1], [1, 0]], "ties": "maybe"}, r"ties is 'maybe', but must be one of 'half', 'drop'"),
        ({"wins": [[0, 1], [1, 0]], "missing": "no"}, r"missing is 'no'"),
        ({"wins": [[0, 1], [1, 0]], "prior": -1}, r"prior is -1"),
    ],
)
def test_bad_counts_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_wins(items=["a", "b"], **arguments)


def test_matches_are_counted():
    matches = [("a", "b", "a"), ("b", "a", "left"), ("a", "b", "right"), ("b", "a", "tie"), ("a", "c", "1")]
    table = from_matches(matches)
    assert table.items == ("a", "b", "c")
    assert table.P[0, 1] == 1.5 / 4
    assert table.P[0, 2] == 1.0
    assert table.P[1, 2] == 0.5
    assert from_matches(matches, ties="drop").P[0, 1] == 1 - 2 / 3
    assert from_matches(matches, items=["c", "b", "a"]).P[2, 0] == 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(0, 2)), min_size=1))
def test_matches_do_not_depend_on_sides_or_order(raw):
    played = [(left, right, result) for left, right, result in raw if left != right]
    if not played:
        return
    forward = [(a, b, ("left", "right", "tie")[r]) for a, b, r in played]
    backward = [(b, a, ("right", "left", "tie")[r]) for a, b, r in reversed(played)]
    items = ["a", "b", "c"]
    np.testing.assert_array_equal(from_matches(forward, items).P, from_matches(backward, items).P)


@pytest.mark.parametrize(
    ("matches", "options", "sentence"),
    [
        ([], {}, r"there are no matches"),
        ([("a", "a", "a")], {}, r"match 1 is 'a' against itself"),
        ([("a", "b", "c")], {}, r"match 1: 'c' is neither side; write 'a', 'b' or tie"),
        ([("a", "b", "")], {}, r"match 1: no winner is given"),
        ([("a", "", "a")], {}, r"match 1 has the item name ''"),
        ([("a", "b", "a"), ("a", "b")], {}, r"match 2 is \('a', 'b'\): a match is \(left, right, winner\)"),
        (["abc"], {}, r"match 1 is 'abc': a match is \(left, right, winner\)"),
        ([("a", "b", "tie")], {"ties": "error"}, r"match 1 is a tie"),
        ([("a", "b", "a")], {"items": ["a", "c"]}, r"match 1 has the item 'b', which is not one of items"),
        ([("a", "b", "a")], {"ties": "x"}, r"ties is 'x'"),
        ([("a", "b", "a"), ("a", "c", "a")], {"missing": "error"}, r"'b' and 'c' were never compared"),
    ],
)
def test_bad_matches_get_one_sentence(matches, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_matches(matches, **options)


def test_a_winner_is_found_by_its_name_with_its_spaces():
    table = from_matches([(" a", "b ", " a"), ("b ", " a", "left "), (" a", "b ", "b ")])
    assert table.items == (" a", "b ") and table.P[0, 1] == pytest.approx(1 / 3)
    assert from_matches([(" a", "b", " a")]).P[0, 1] == 1.0
    assert from_matches([("a", " a", " a")]).P[0, 1] == 0.0


def test_a_score_that_is_another_item_s_name_is_refused():
    scores = [("3", "2", "1"), ("0", "1", "1")]  # the left side won both, says the third column
    with pytest.raises(ValueError, match="match 1 has the winner '1', neither of its sides but the name of another"):
        from_matches(scores)
    assert from_matches([("0", "1", "1"), ("2", "0", "0")]).P[0].tolist() == [0.5, 0.0, 1.0]

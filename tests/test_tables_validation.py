"""Checks of tables, names and distributions: what passes untouched, what is repaired, what is refused."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import nashpo
from nashpo.describe import describe
from nashpo.tables import PreferenceTable, from_wins, validate, validate_distribution, validate_items


@st.composite
def exact_tables(draw, dtype=np.float64):
    """A random table with P + P^T = 1, ties and sure wins among its entries."""
    n = draw(st.integers(1, 6))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    lower = rng.choice([0.0, 1.0, 0.5, rng.random(), 1e-20], (n, n)).astype(dtype)
    lower = np.tril(lower, -1)
    return lower + np.triu(1 - lower.T, 1) + np.eye(n, dtype=dtype) / 2


@given(exact_tables())
def test_exact_table_is_returned_bit_for_bit(P):
    assert validate(P) is P
    assert validate(np.stack([P, P])).tobytes() == np.stack([P, P]).tobytes()


@given(exact_tables(np.float32))
def test_single_precision_stays_single(P):
    cleaned = validate(P)
    assert cleaned.dtype == np.float32
    assert cleaned.tobytes() == P.tobytes()


@given(exact_tables(), st.integers(0, 2**32 - 1))
def test_rounding_is_repaired_to_an_exact_table(P, seed):
    noise = np.random.default_rng(seed).uniform(-4e-7, 4e-7, P.shape)
    repaired = validate(P + noise)
    assert (repaired + repaired.T == 1).all()
    assert repaired.min() >= 0
    assert repaired.max() <= 1
    np.testing.assert_allclose(repaired, P, atol=4.01e-7, rtol=0)


def test_repair_is_the_documented_average_and_leaves_exact_pairs_alone():
    P = np.array([[0.5, 0.3, 1e-20], [0.7 + 2e-7, 0.5, 0.25], [1.0, 0.75, 0.5]])
    repaired = validate(P)
    np.testing.assert_allclose(repaired, (P + 1 - P.T) / 2, atol=2e-16, rtol=0)
    assert repaired[0, 2] == 1e-20
    assert repaired[1, 2] == 0.25


@given(exact_tables(), st.randoms())
def test_repair_commutes_with_relabelling(P, random):
    order = np.array(random.sample(range(len(P)), len(P)))
    noisy = P + np.linspace(-4e-7, 4e-7, P.size).reshape(P.shape)
    np.testing.assert_array_equal(validate(noisy)[np.ix_(order, order)], validate(noisy[np.ix_(order, order)]))


def test_integers_and_booleans_become_float64():
    assert validate(np.array([[0.5, True], [False, 0.5]])).dtype == np.float64
    one = PreferenceTable(np.array([[0, 2], [-2, 0]]), scale="score")
    assert one.P.dtype == np.float64


@pytest.mark.parametrize(
    ("P", "sentence"),
    [
        ([[0.5, 0.9], [0.3, 0.5]], r"P\[0, 1\] \+ P\[1, 0\] = 1.2 \(row 'tea' against column 'coffee'\).*average"),
        ([[0.4, 0.5], [0.5, 0.5]], r"P\[0, 0\] \+ P\[0, 0\] = 0.8 .*put 0.5 on the diagonal"),
        ([[0.5, np.nan], [0.1, 0.5]], r"P\[0, 1\] is NaN \(row 'tea' against column 'coffee'\)"),
        ([[0.5, np.inf], [-np.inf, 0.5]], r"P\[0, 1\] is inf"),
        ([[0.5, 1.2], [-0.2, 0.5]], r"P\[0, 1\] = 1.2 .* is outside \[0, 1\]: a win probability"),
        ([[0.5, 3], [4, 0.5]], r"P\[0, 1\] = 3 .* numbers of wins, use from_wins"),
        ([[0, 0.4], [-0.4, 0]], r"P\[1, 0\] = -0.4 .* margins 2 P - 1"),
        ([[0, 3], [-3, 0]], r'P\[0, 1\] = 3 .* scores .* scale="score"'),
        ([[50, 70], [30, 50]], r"P\[0, 0\] = 50 .* percentages"),
        ([[0.5, 0.5]], r"P has 1 rows and 2 columns, but must be square"),
        ([0.5], r"P has shape \(1,\)"),
        (np.zeros((0, 0)), r"P has shape \(0, 0\): a game needs an action"),
        (np.zeros((0, 2, 2)), r"P has shape \(0, 2, 2\): a game needs an action and a prompt"),
        ([["a", "b"], ["c", "d"]], r"P must be a full array of real numbers"),
        ([[0.5, 0.5], [0.5]], r"P must be a full array of real numbers"),
        ([[0.5, 1j], [0.5, 0.5]], r"P must be a full array of real numbers"),
        ([[1e308, 1e308], [1e308, 1e308]], r"outside \[0, 1\]"),
    ],
)
def test_bad_tables_get_one_sentence(P, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        validate(P, items=["tea", "coffee"])
    assert "\n" not in str(caught.value)


def test_message_names_the_prompt_and_the_source():
    P = np.full((3, 2, 2), 0.5)
    P[2, 1, 0] = 0.6
    with pytest.raises(ValueError, match=r"^votes.csv: P\[2, 0, 1\] \+ P\[2, 1, 0\] = 1.1 "):
        validate(P, source="votes.csv")


def test_scores_must_be_skew_symmetric():
    S = np.array([[0.0, 2.0], [-2.0, 0.0]])
    assert validate(S, scale="score") is S
    almost = np.array([[0.0, 2.0], [-2.0 + 1e-7, 0.0]])
    repaired = validate(almost, scale="score")
    assert (repaired == -repaired.T).all()
    np.testing.assert_allclose(repaired, S, atol=1e-7)
    with pytest.raises(ValueError, match=r"P\[0, 1\] \+ P\[1, 0\] = 0.5 .*scores must cancel"):
        validate([[0, 2], [-1.5, 0]], scale="score")
    with pytest.raises(ValueError, match=r'win probabilities, pass scale="probability"'):
        validate([[0.5, 0.7], [0.3, 0.5]], scale="score")
    with pytest.raises(ValueError, match=r"P\[0, 1\] is inf"):
        validate([[0, np.inf], [-np.inf, 0]], scale="score")
    with pytest.raises(ValueError, match="scale is 'odds'"):
        validate(S, scale="odds")


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (["a", "a"], r"'a' is used twice \(positions 0 and 1\)"),
        (["a", " "], r"name of item 1 is empty"),
        (["a", "b\0"], r"the item name 'b\\x00' holds the character NUL"),
        (["a"], r"1 item names for 2 actions"),
        (["a", 3], r"item 1 is 3: item names must be strings"),
        ("ab", r"items is the string 'ab'"),
        (3, r"items is 3: pass a sequence"),
    ],
)
def test_bad_names(items, sentence):
    with pytest.raises(ValueError, match=sentence):
        validate_items(items, 2)


def test_names_from_numpy_become_plain_strings():
    table = PreferenceTable(np.full((2, 2), 0.5), items=np.array(["tea", "coffee"]))
    assert table.items == ("tea", "coffee")
    assert all(type(name) is str for name in table.items)
    assert PreferenceTable(np.full((2, 2), 0.5)).items == ("0", "1")
    with pytest.raises(ValueError, match="items is the string 'ab'"):
        PreferenceTable(np.full((2, 2), 0.5), items="ab")


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_distributions_pass_and_broadcast(n, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(n)) + 1e-12
    p /= p.sum()
    checked = validate_distribution(p, "reference", (3, n))
    assert checked.shape == (3, n)
    np.testing.assert_allclose(checked[1], p, rtol=1e-14)
    off = validate_distribution(p * (1 + 5e-7), "reference", (1, n))
    np.testing.assert_allclose(off.sum(), 1, rtol=1e-15)


@pytest.mark.parametrize(
    ("p", "sentence"),
    [
        ([0.0, 1.0], r"reference\[0\] = 0 \('tea'\) has no mass"),
        ([-0.5, 1.5], r"reference\[0\] = -0.5 \('tea'\) is not a probability"),
        ([np.nan, 1.0], r"reference\[0\] = nan \('tea'\) is not a probability"),
        ([0.5, 0.6], r"reference sums to 1.1, but must sum to 1"),
        ([[0.5, 0.5], [0.5, 0.6]], r"reference sums to 1.1 in row 1"),
        ([1.0], r"reference has shape \(1,\), but must have shape \(2,\) or \(2, 2\)"),
        (["a", "b"], r"reference must be a full array of real numbers"),
    ],
)
def test_bad_distributions(p, sentence):
    with pytest.raises(ValueError, match=sentence):
        validate_distribution(p, "reference", (2, 2), items=["tea", "coffee"])


def test_zero_mass_is_fine_where_it_is_allowed():
    assert validate_distribution([0.0, 1.0], "prompts", (2,), allow_zero=True).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"prompts has shape .* but must have shape"):
        validate_distribution([1.0], "prompts", (2,), allow_zero=True)


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16])
def test_half_precision_is_rounded_to_a_table(kind):
    rough = np.asarray(jnp.asarray([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], kind))
    table = validate(rough)
    assert table.dtype == np.float32
    assert np.all(table + table.T == 1)
    np.testing.assert_allclose(table, rough.astype(np.float32), atol=1e-2)
    with pytest.raises(ValueError, match="must sum to 1"):
        validate(np.asarray(jnp.asarray([[0.5, 0.9], [0.2, 0.5]], kind)))


def test_a_masked_entry_is_a_missing_one():
    table = np.ma.masked_array([[0.5, 0.9], [0.1, 0.5]], [[False, True], [False, False]])
    with pytest.raises(ValueError, match=r"P\[0, 1\] is NaN"):
        validate(table)


def test_a_frame_whose_rows_are_not_in_the_order_of_its_columns_is_refused():
    numbers, names = [[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], ["a", "b", "c"]
    for frame in (pd.DataFrame(numbers), pd.DataFrame(numbers, names, names), pd.DataFrame(numbers, columns=names)):
        assert validate(frame).tolist() == numbers
    with pytest.raises(ValueError, match=r"the rows of the DataFrame are \['c', 'a', 'b'\].*from_dataframe"):
        validate(pd.DataFrame(numbers, ["c", "a", "b"], names))


def test_the_names_of_a_frame_are_kept():
    names = ["tea", "milk", "rum"]
    frame = pd.DataFrame([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], names, names)
    wins = pd.DataFrame([[0, 3, 1], [1, 0, 2], [1, 0, 0]], names, names)
    assert nashpo.Game.from_table(frame).items == PreferenceTable(frame).items == tuple(names)
    assert from_wins(wins).items == from_wins(wins, draws=wins + wins.T).items == tuple(names)
    assert nashpo.Game.from_table(frame, items=["a", "b", "c"]).items == ("a", "b", "c")
    assert nashpo.Game.from_table(pd.DataFrame(frame.to_numpy())).items is None
    numbered = pd.DataFrame(frame.to_numpy(), [2010, 2011, 2012], [2010, 2011, 2012])
    assert nashpo.Game.from_table(numbered).items == ("2010", "2011", "2012")


def test_labels_in_another_order_than_the_items_are_refused():
    names, swapped = ["tea", "milk", "rum"], ["milk", "tea", "rum"]
    frame = pd.DataFrame([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], names, names)
    wins = pd.DataFrame([[0, 3, 1], [1, 0, 2], [1, 0, 0]], names, names)
    for wrong in (lambda: from_wins(wins.loc[swapped]), lambda: describe(frame.loc[swapped])):
        with pytest.raises(ValueError, match=r"the rows of the DataFrame are \['milk', 'tea', 'rum'\]"):
            wrong()
    with pytest.raises(ValueError, match=r"the columns of draws are .* use one header"):
        from_wins(wins, draws=(wins + wins.T).loc[swapped, swapped])
    with pytest.raises(ValueError, match=r"the columns of the DataFrame are in the order .* put both in one order"):
        nashpo.Game.from_table(frame, items=swapped)
    reference = pd.Series([0.5, 0.3, 0.2], swapped)
    with pytest.raises(ValueError, match=r"the labels of reference are in the order .* put both in one order"):
        nashpo.Game.from_table(frame, reference=reference)
    kept = nashpo.Game.from_table(frame, reference=reference[names])
    np.testing.assert_allclose(kept.reference.probs(), [[0.3, 0.5, 0.2]])


def test_numbers_that_are_labelled_as_those_of_others_are_refused():
    names, P = ["tea", "milk", "rum"], [[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]]
    shares = [0.5, 0.3, 0.2]
    foreign = r"the labels of reference are \['tea', 'milk', 'gin'\], the items \['tea', 'milk', 'rum'\]: give numbers"
    turned = xarray.DataArray([shares], dims=("prompt", "item"), coords={"item": names[::-1]})
    for reference, sentence in (
        (pd.Series(shares, ["tea", "milk", "gin"]), foreign),
        (pd.DataFrame([shares], columns=["tea", "milk", "gin"]), foreign),
        (turned, r"the labels of reference are in the order \['rum', 'milk', 'tea'\]"),
        (pd.Series(shares, [2, 0, 1]), r"the labels of reference are in the order \[2, 0, 1\]: sort them"),
    ):
        with pytest.raises(ValueError, match=sentence):
            nashpo.Game.from_table(P, items=names, reference=reference)
    for kept in (
        pd.Series(shares),
        pd.Series(shares, [1, 2, 3]),
        pd.Series(shares, names),
        turned[:, ::-1] * 0 + [shares],
    ):
        np.testing.assert_allclose(nashpo.Game.from_table(P, items=names, reference=kept).reference.probs(), [shares])
    with pytest.raises(ValueError, match=r"the labels of reference are in the order \['20', '10'\]"):
        nashpo.Game.from_table(np.full((2, 2), 0.5), items=["10", "20"], reference=pd.Series([0.5, 0.5], [20, 10]))
    for wrong in ({"prompts": pd.Series([0.2, 0.8], [1, 0])}, {"reference": pd.DataFrame([shares] * 2, [1, 0])}):
        with pytest.raises(ValueError, match=r"are in the order \[1, 0\]: sort them"):
            nashpo.Game.from_table([P, P], **wrong)

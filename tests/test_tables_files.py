"""Files: round trips bit for bit, formats by content, one sentence for every way a file can be wrong."""

import os

import numpy as np
import pandas as pd
import pytest
from conftest import TABLES
from hypothesis import given
from hypothesis import strategies as st

import nashpo
from nashpo.tables import (
    PreferenceTable,
    from_dataframe,
    read_table,
    to_dataframe,
    write_table,
)

GOOD = "item,tea,coffee\ntea,0.5,0.75\ncoffee,0.25,0.5\n"


def random_table(n, seed, prompts=0):
    shape = (prompts, n, n) if prompts else (n, n)
    lower = np.tril(np.random.default_rng(seed).random(shape), -1)
    return lower + np.triu(1 - lower.swapaxes(-1, -2), 1) + np.eye(n) / 2


@pytest.fixture
def file(tmp_path):
    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1, max_size=8).map(
        lambda text: "n" + text.strip()
    ),
    min_size=1,
    max_size=5,
    unique=True,
)


@given(items=names, seed=st.integers(0, 2**32 - 1), suffix=st.sampled_from([".csv", ".npz"]))
def test_round_trip_is_exact(items, seed, suffix, tmp_path_factory):
    table = PreferenceTable(random_table(len(items), seed), items)
    path = tmp_path_factory.getbasetemp() / f"round{suffix}"
    again = read_table(write_table(table, path))
    assert again.P.tobytes() == table.P.tobytes()
    assert again.items == table.items


@pytest.mark.parametrize("runs", [1, 3])
def test_simulations_round_trip(tmp_path, runs):
    P = random_table(4, 7, prompts=runs)
    table = PreferenceTable(P if runs > 1 else P[0], beta=0.01, prompt_names=[f"game {i}" for i in range(runs)])
    again = read_table(write_table(table, tmp_path / "games.txt"))
    np.testing.assert_array_equal(again.P, table.P)
    assert again.beta == 0.01
    assert again.prompt_names == table.prompt_names


def test_simulations_with_and_without_names_and_to_the_end(file):
    rows = "0.5 0.25 \n0.75 0.5 \n"
    plain = read_table(file("2 2 0.1\n" + rows + rows, "a.txt"))
    named = read_table(file("2 2 0.1\nRun 0\n" + rows + "Run 1\n" + rows, "b.txt"))
    open_end = read_table(file("-1 2 0.1\nRun 0\n" + rows + "Run 1\n" + rows, "c.dat"))
    for table in (plain, named, open_end):
        assert table.P.tolist() == [[[0.5, 0.25], [0.75, 0.5]]] * 2
        assert (table.beta, table.prompt_names) == (0.1, ("Run 0", "Run 1"))
    game = nashpo.load_table(file("2 2 0.1\n" + rows + rows, "a.txt"))
    assert (game.shape, float(game.beta)) == ((2, 2), 0.1)
    assert float(nashpo.load_table(file("2 2 0.1\n" + rows + rows, "a.txt"), beta=0.5).beta) == 0.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2 2 0.1\n0.5 0.2\n0.8 0.5\n", r"has 1 runs, but line 1 says 2"),
        ("1 2 0.1\n0.5 0.2\n", r"Run 0 has 1 rows, but line 1 says n = 2"),
        ("1 2 0.1\n0.5 0.2 0.1\n0.8 0.5\n", r"line 2 \(Run 0\) has 3 numbers, but line 1 says n = 2"),
        ("1 3 0.1\n0.5 0.2 0.1\n0.8 x 0.5\n0.9 0.5 0.5", r"line 3 \(Run 0\), column 2: 'x' is not a number"),
        ("1 2 0.1\n0.5 0.2\n0.8 0.5\n0.5 0.5\n", r"line 4 is left over after 1 runs"),
        ("1 2 0.1\n0.5 0.2\n0.9 0.5\n", r"P\[0, 1\] \+ P\[1, 0\] = 1.1"),
        ("0 2 0.1\n", r"both must be positive"),
    ],
)
def test_bad_simulations(file, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_table(file(text, "games.txt"))


def test_simulations_header_is_required_when_asked_for(file):
    with pytest.raises(ValueError, match="line 1 is not `runs n beta`"):
        read_table(file(GOOD), format="simulations")
    with pytest.raises(ValueError, match="line 1 is not `runs n beta`"):
        read_table(file("2\x85 3 0.1\n0.5 0.5 0.5\n"), format="simulations")


def test_archive_keeps_everything(tmp_path):
    table = PreferenceTable(
        random_table(3, 1, prompts=2) * 2 - 1,
        ["a", "b", "c"],
        reference=[[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]],
        prompts=[0.25, 0.75],
        beta=0.1,
        scale="score",
        prompt_names=["x", "y"],
    )
    again = read_table(write_table(table, tmp_path / "all.npz"))
    for field in ("P", "reference", "prompts"):
        np.testing.assert_array_equal(getattr(again, field), getattr(table, field))
    assert (again.items, again.beta, again.scale) == (table.items, 0.1, "score")
    assert again.prompt_names == ("x", "y")
    game = nashpo.load_table(tmp_path / "all.npz")
    assert (game.items, game.scale, float(game.beta)) == (("a", "b", "c"), "score", 0.1)
    np.testing.assert_allclose(game.reference.probs(), table.reference, rtol=1e-14)
    np.testing.assert_allclose(game.prompts, table.prompts)


def test_bad_archives(tmp_path, file):
    def saved(**arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        return tmp_path / "x.npz"

    P = random_table(2, 0)
    with pytest.raises(ValueError, match=r"has no array P \(found: Q\)"):
        read_table(saved(Q=P))
    with pytest.raises(ValueError, match="does not know the array 'refrence'"):
        read_table(saved(P=P, refrence=[0.5, 0.5]))
    with pytest.raises(ValueError, match="is not a NumPy archive"):
        read_table(file(b"hello", "y.npz"))
    with pytest.raises(ValueError, match="no such file"):
        read_table(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="pickled"):
        read_table(saved(P=P, items=np.array(["a", None], object)))
    with pytest.raises(ValueError, match="scale is 'odds'"):
        read_table(saved(P=P, scale="odds"))
    with pytest.raises(ValueError, match=r"x.npz: beta is \[0.1, 0.2\], but must be one number"):
        read_table(saved(P=P, beta=[0.1, 0.2]))
    with pytest.raises(ValueError, match=r"x.npz: beta is nan, but must be a finite number"):
        read_table(saved(P=P, beta=np.nan))
    with pytest.raises(ValueError, match=r"x.npz: reference\[1\] = 0"):
        read_table(saved(P=P, reference=[1.0, 0.0]))
    assert read_table(saved(P=P, items=np.array([b"a", b"b"]))).items == ("a", "b")
    whole = bytearray(saved(P=P).read_bytes())
    whole[200] ^= 1
    with pytest.raises(ValueError, match=r"y.npz: is a damaged archive \(Bad CRC-32 .*\); copy or write it again"):
        read_table(file(bytes(whole), "y.npz"))
    np.save(tmp_path / "one.npy", P)
    with pytest.raises(ValueError, match="is not a NumPy archive"):
        read_table(tmp_path / "one.npy", format="npz")


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_round_trip(data, tmp_path, name):
    table = read_table(data / f"{name}.csv")
    path = write_table(table, tmp_path / "again.csv")
    np.testing.assert_array_equal(read_table(path).P, table.P)
    frame = pd.read_csv(data / f"{name}.csv", index_col=0)
    np.testing.assert_array_equal(from_dataframe(frame).P, table.P)
    np.testing.assert_array_equal(to_dataframe(table).to_numpy(), frame.to_numpy())
    assert tuple(to_dataframe(table).columns) == table.items


@pytest.mark.parametrize(
    "text",
    [
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n"),
        'item,"tea","coffee"\n"tea",0.5,0.75\n"coffee",0.25,0.5\n\n',
        ",tea,coffee\ncoffee,0.25,0.5\ntea,0.5,0.75\n",
        "item, tea , coffee\ntea,, 0.75\ncoffee, 0.25,\n",
    ],
    ids=["byte order mark", "windows line ends", "quotes", "other row order", "spaces and blank diagonal"],
)
def test_harmless_variations_read_the_same(file, text):
    table = read_table(file(text))
    assert table.items == ("tea", "coffee")
    assert table.P.tolist() == [[0.5, 0.75], [0.25, 0.5]]


def test_a_name_with_a_comma_survives(tmp_path):
    table = PreferenceTable([[0.5, 1.0], [0.0, 0.5]], ['tea, "green"', "coffee"])
    assert read_table(write_table(table, tmp_path / "t.csv")).items == table.items


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"the file is empty"),
        (" \n\n", r"the file is empty"),
        (",,\n,,\n", r"the file has no rows"),
        (GOOD.replace(",", ";"), r"separated by semicolons, but must be separated by commas"),
        (GOOD.replace(",", "\t"), r"separated by tabs, but must be separated by commas"),
        ("item,tea,tea\ntea,0.5,0.5\ntea,0.5,0.5\n", r"line 1: the item name 'tea' is used twice"),
        ("item,tea,\ntea,0.5,0.5\n,0.5,0.5\n", r"line 1: the name of item 1 is empty"),
        ("0.5,0.75\n0.25,0.5\n", r"line 1 has numbers where the item names belong"),
        ("item,a,b\na,0.5,0.5\na,0.5,0.5\n", r"'a' is used twice \(lines 2 and 3\)"),
        ("item,a,b\na,0.5,0.5\n,0.5,0.5\n", r"line 3 has no item name"),
        ("item,a,b\na,0.5,0.5\nc,0.5,0.5\n", r"line 3 is a row 'c', but no column has that name"),
        ("item,a,b\na,0.5,0.5\n", r"there is a column 'b' but no row 'b' \(1 rows, 2 columns\)"),
        ("item,a,b\na,0.5\nb,0.5,0.5\n", r"line 2 has 2 cells, but the header has 3"),
        ("item,a,b\na,0.5,x\nb,0.5,0.5\n", r"line 2, column 'b': 'x' is not a number"),
        ("item,a,b\na,0.5,\nb,0.5,0.5\n", r"line 2, column 'b': the cell is empty"),
        ("item,a,b\na,0.5,nan\nb,0.5,0.5\n", r"P\[0, 1\] is NaN \(row 'a' against column 'b'\)"),
        ("item,a,b\na,0.5,0.6\nb,0.5,0.5\n", r"P\[0, 1\] \+ P\[1, 0\] = 1.1 \(row 'a' against column 'b'\)"),
        ("item,a,b\na,0,7\nb,3,0\n", r"P\[0, 1\] = 7 .*format=\"wins\""),
        ('item,"a,b\na,0.5,0.6\n', r"line \d is not valid CSV"),
        (b"\xff\xfei\x00t\x00", r"byte 0 is not UTF-8"),
        ("item\n", r"line 1 has a single cell; a table starts with the line item"),
        (GOOD.replace(",", " "), r"separated by spaces, but must be separated by commas"),
    ],
)
def test_bad_csv_gets_one_sentence_with_the_path(file, text, sentence):
    path = file(text)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match="format is 'xls'"):
        read_table(tmp_path / "none.csv", format="xls")


def test_wins_by_name_and_by_format(file):
    text = "item,a,b\na,0,3\nb,1,0\n"
    assert read_table(file(text, "x.wins.csv")).P[0, 1] == 0.75
    assert read_table(file(text), format="wins").P[0, 1] == 0.75
    draws = file("item,a,b\na,0,4\nb,4,0\n", "draws.csv")
    assert read_table(file(text), format="wins", draws=draws).P[0, 1] == 5 / 8
    assert nashpo.load_table(file(text), format="wins", draws=draws, ties="drop").oracle.table()[0, 0, 1] == 0.75
    with pytest.raises(ValueError, match="has other items than"):
        read_table(file(text), format="wins", draws=file("item,a,c\na,0,1\nc,1,0\n", "other.csv"))
    with pytest.raises(ValueError, match='pass format="wins"'):
        read_table(file(GOOD), draws=draws)


def test_match_lists_by_content(file):
    text = "id,left,right,winner\n1,a,b,a\n2,b,a,tie\n"
    assert read_table(file(text)).P[0, 1] == 0.75
    arena = "model_a,model_b,winner\na,b,model_a\na,b,tie (bothbad)\n"
    assert read_table(file(arena)).P[0, 1] == 0.75
    with pytest.raises(ValueError, match="line 3 is a tie"):
        read_table(file(text), ties="error")
    with pytest.raises(ValueError, match="line 2 has 3 cells, but the header has 4"):
        read_table(file("id,left,right,winner\na,b,a\n"))
    with pytest.raises(ValueError, match=r"needs the columns left, right and winner \(found: item, tea, coffee\)"):
        read_table(file(GOOD), format="matches")


def test_scores_are_read_as_scores(file):
    game = nashpo.load_table(file("item,a,b\na,0,3\nb,-3,0\n"), scale="score")
    assert game.scale == "score"
    assert game.oracle.table()[0, 0, 1] == 3.0


def test_load_table_keeps_names_beta_and_reference(file):
    game = nashpo.load_table(file(GOOD), beta=0.1, reference=[0.25, 0.75])
    assert game.items == ("tea", "coffee")
    np.testing.assert_allclose(game.reference.probs(), [[0.25, 0.75]])
    with pytest.raises(ValueError, match="beta"):
        nashpo.load_table(file(GOOD), beta=-1.0)


def test_dataframes(file):
    matches = pd.DataFrame({"left": ["a", "b"], "right": ["b", "a"], "winner": ["a", "tie"]})
    assert from_dataframe(matches).P[0, 1] == 0.75
    wins = pd.DataFrame([[0, 3], [1, 0]], index=["a", "b"], columns=["a", "b"])
    assert from_dataframe(wins, format="wins").P[0, 1] == 0.75
    swapped = pd.DataFrame([[0.25, 0.5], [0.5, 0.75]], index=["b", "a"], columns=["a", "b"])
    assert from_dataframe(swapped).P.tolist() == [[0.5, 0.75], [0.25, 0.5]]
    with pytest.raises(ValueError, match="no column has that name"):
        from_dataframe(pd.DataFrame([[0.5, 0.5], [0.5, 0.5]], index=["a", "c"], columns=["a", "b"]))
    with pytest.raises(ValueError, match="needs columns left, right and winner"):
        from_dataframe(wins, format="matches")
    for frame, options, kind, name in (
        (swapped, {"prior": 1.0}, "payoffs", "prior"),
        (swapped, {"ties": "drop"}, "payoffs", "ties"),
        (swapped, {"missing": "error"}, "payoffs", "missing"),
        (wins, {"format": "wins", "scale": "score"}, "wins", "scale"),
        (matches, {"scale": "score"}, "match list", "scale"),
    ):
        with pytest.raises(ValueError, match=f"DataFrame: is read as a .*{kind}, for which {name} means nothing"):
            from_dataframe(frame, **options)
    with pytest.raises(ValueError, match="takes a DataFrame, not a list"):
        from_dataframe([[0.5, 0.75], [0.25, 0.5]])
    with pytest.raises(ValueError, match="holds one prompt"):
        to_dataframe(PreferenceTable(random_table(2, 0, prompts=2)))


def test_writing_says_what_it_cannot_do(tmp_path):
    table = PreferenceTable(random_table(2, 0, prompts=2))
    with pytest.raises(ValueError, match="a CSV holds one prompt, this table has 2"):
        write_table(table, tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"unknown suffix '\.xlsx'"):
        write_table(table, tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="does not exist; create it first"):
        write_table(table, tmp_path / "no" / "t.npz")
    scores = PreferenceTable([[0, 1], [-1, 0]], scale="score")
    with pytest.raises(ValueError, match="holds probabilities, not scores"):
        write_table(scores, tmp_path / "t.txt")
    fair, half = [[0.5, 0.5], [0.5, 0.5]], [0.5, 0.5]
    with pytest.raises(ValueError, match="a CSV holds no reference, and this table has one"):
        write_table(PreferenceTable(fair, reference=half), tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"a CSV holds no beta, and this table has 0\.1"):
        write_table(PreferenceTable(fair, beta=0.1), tmp_path / "t.csv")
    for table, lost in (
        (PreferenceTable(fair, ["tea", "milk"]), "holds probabilities, not item names"),
        (PreferenceTable(fair, reference=half), "holds probabilities, not a reference"),
        (PreferenceTable([fair, fair], prompts=[0.25, 0.75]), "holds probabilities, not weights of prompts"),
        (PreferenceTable([fair, fair], prompt_names=["easy", "2"]), "cannot hold the prompt name '2'"),
        (PreferenceTable(fair, prompt_names=["two  spaces"]), "cannot hold the prompt name 'two  spaces'"),
        (PreferenceTable(fair, prompt_names=[""]), "cannot hold the prompt name ''"),
    ):
        with pytest.raises(ValueError, match=lost):
            write_table(table, tmp_path / "t.txt")
    assert os.listdir(tmp_path) == []


def test_a_missing_name_of_a_frame_is_an_empty_one():
    with pytest.raises(ValueError, match="name"):
        from_dataframe(pd.DataFrame({"left": ["a", None], "right": ["b", "c"], "winner": ["a", "c"]}))
    with pytest.raises(ValueError, match=r"item [12] is empty"):
        from_dataframe(pd.DataFrame([[0.5, 0.9], [0.1, 0.5]], index=["a", None], columns=["a", None]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": 5.0}, "is read as a table of payoffs, for which prior means nothing"),
        ({"ties": "drop"}, "ties means nothing"),
        ({"missing": "error"}, "missing means nothing"),
        ({"draws": "other.csv"}, "draws means nothing"),
        ({"format": "wins", "scale": "score"}, "is read as a table of wins, for which scale means nothing"),
    ],
)
def test_options_that_mean_nothing_to_a_file_are_refused(tmp_path, options, message):
    (tmp_path / "drinks.csv").write_text("item,a,b\na,0.5,0.75\nb,0.25,0.5\n")
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "drinks.csv", **options)


def test_a_name_that_a_csv_would_lose_is_refused(tmp_path):
    with pytest.raises(ValueError, match="' a' begins or ends with a space"):
        write_table(PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=[" a", "b"]), tmp_path / "spaces.csv")
    with pytest.raises(ValueError, match=r"'a\\rb' holds a carriage return"):
        write_table(PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=["a\rb", "b"]), tmp_path / "rows.csv")
    assert not list(tmp_path.iterdir())

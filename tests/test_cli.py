"""The command line: help, exit codes, one sentence for every mistake, options from a file."""

import gc
import os
import subprocess
import sys

import pytest

import nashpo
from nashpo.cli import COMMANDS, main
from nashpo.cli.options import Command, Option, count, number, text, yes_or_no
from nashpo.nearest import nearest

GAME = "nashpo_games:biased_rps"
"""Three items, so that every run shares one small compiled program."""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NASHPO_CACHE", "off")
    monkeypatch.chdir(tmp_path)


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_lists_every_command_and_the_exit_codes(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)
    assert "2 bad input" in out and "130" in out
    assert run(capsys)[0] == 2
    assert run(capsys, "--version")[1] == f"nashpo {nashpo.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: nashpo {command}")
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("command", ["", *(name for name in COMMANDS if name != "lm")])
def test_summaries_are_broken_between_words_on_a_narrow_terminal(command, capsys, monkeypatch):
    texts = []
    for columns in ("400", "60"):
        monkeypatch.setenv("COLUMNS", columns)
        out = run(capsys, *filter(None, [command]), "--help")[1]
        texts.append(out.split("\noptions:")[0] if command else out.split("commands:\n")[1].split("\n\n")[0])
    assert texts[0].split() == texts[1].split()
    assert max(map(len, texts[1].splitlines())) <= 60


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_all_of_the_help_fits_a_narrow_terminal(command, capsys, monkeypatch):
    texts = []
    for columns in ("400", "60"):
        monkeypatch.setenv("COLUMNS", columns)
        texts.append(run(capsys, *filter(None, [command]), "--help")[1])
    assert texts[0].split() == texts[1].split()
    assert max(map(len, texts[1].splitlines())) <= 60


def test_help_needs_no_jax():
    script = "import sys; from nashpo.cli import main; main(['solve', '--help']); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


MISTAKES = {
    "slove x": "there is no command 'slove'; did you mean 'solve'?",
    "solve": "solve needs TABLE",
    "solve GAME --betta 0.1": "solve has no option --betta; did you mean '--beta'?",
    "solve GAME --betta=0.1": "solve has no option --betta; did you mean '--beta'?",
    "solve GAME --beta -1": "--beta is '-1', but must be a number that is at least 0",
    "solve GAME --beta nan": "--beta is 'nan', but must be a number that is at least 0",
    "solve GAME --beta": "--beta: expected one argument",
    "solve GAME --eta 0": "--eta is '0', but must be a positive number",
    "solve GAME --steps 1.5": "--steps is '1.5', but must be a whole number, 0 or more",
    "solve GAME --every 0": "--every is '0', but must be a whole number, 1 or more",
    "solve GAME --precision 1e300": "--precision is '1e300', but must be a whole number from 1 to 1000",
    "solve GAME --tol -1e-3": "--tol is '-1e-3', but must be a number that is at least 0",
    "solve GAME more": "solve takes TABLE; 'more' is one too many",
    "solve nope.csv": "nope.csv: no such file",
    "solve nashpo_games:biased_rsp": "did you mean 'biased_rps'?",
    "solve nashpo_games:n_cycle:m=3": "has no parameter 'm'",
    "solve GAME --solver egbo": "there is no solver 'egbo'; did you mean 'egpo'?",
    "solve GAME --solver egpo:etta=1": "solver egpo has no setting 'etta'; did you mean 'eta'?",
    "solve GAME --solver egpo:eta=1 --eta 1": "the step size is given twice",
    "solve GAME --solver mpo": "solver mpo needs every: write mpo:every=...",
    "solve GAME --solver regretmatching --eta 1": "RegretMatching has no step size",
    "solve GAME --output out.jsn": "--output out.jsn: .jsn cannot be written; did you mean '.json'?",
    "solve GAME --output out": "give the name a suffix that says the format, .json, .csv, .nc",
    "solve GAME --output nowhere/out.json": "the folder nowhere does not exist; create it first",
    "solve GAME --plot out.gif": "--plot out.gif: .gif cannot be written; choose from .png, .svg, .pdf",
    "solve GAME --start nope.csv": "nope.csv: no such file",
    "solve GAME --config nope.toml": "--config nope.toml: no such file or directory",
    "verify GAME": "verify needs POLICY",
    "verify GAME nope.json": "nope.json: no such file",
    "describe GAME --prompt 3": "--prompt 3: the table has the prompts 0 to 0",
    "games more": "games takes no argument; 'more' is one too many",
    "solvers --jsn": "solvers has no option --jsn; did you mean '--json'?",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence_and_code_two(line, capsys):
    code, out, err = run(capsys, *line.replace("GAME", GAME).split())
    assert code == 2
    assert out == ""
    assert err.startswith("nashpo: ") and err.count("\n") == 1 and err.rstrip()[-1] in ".?)"
    assert MISTAKES[line] in err
    assert os.listdir() == []


def test_bad_tables_name_the_cell(capsys, tmp_path):
    path = tmp_path / "drinks.csv"
    for content, words in {
        "item,tea,coffee\ntea,0.5,0.9\ncoffee,0.3,0.5\n": ("tea", "coffee", "1.2"),
        "item,tea,coffee\ntea,0.5,nan\ncoffee,0.3,0.5\n": ("coffee", "NaN"),
        "item;tea;coffee\ntea;0.5;0.9\n": ("semicolons",),
        "": ("empty",),
    }.items():
        path.write_text(content)
        code, _, err = run(capsys, "solve", path)
        assert code == 2
        assert "drinks.csv" in err and err.count("\n") == 1
        assert all(word in err for word in words), err


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_run(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    code, _, err = run(capsys, "solve", GAME, "--output", tmp_path / "out.json")
    assert code == 2 and "cannot be written to" in err


def test_interrupt_and_closed_pipe_have_their_codes(capsys, monkeypatch):
    from nashpo.cli import games

    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(games, "run", interrupt)
    assert run(capsys, "games")[0] == 130


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_an_output_that_is_full_is_one_sentence_and_a_closed_one_is_none():
    command = [sys.executable, "-m", "nashpo", "--version"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "nashpo: the output cannot be written (No space left on device).\n"
    for closing, mistake, code in ((">&-", "", 0), ("2>&-", "slove", 2)):
        words = ["sh", "-c", f'"$0" -m nashpo {mistake or "games"} {closing}', sys.executable]
        ended = subprocess.run(words, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")


@pytest.mark.parametrize("said", ["Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)", ""])
def test_a_game_too_large_for_the_memory_is_one_sentence(capsys, monkeypatch, said):
    from nashpo.cli import games

    def allocate(arguments):
        raise MemoryError(said)

    monkeypatch.setattr(games, "run", allocate)
    code, _, err = run(capsys, "games")
    assert code == 2 and err == f"nashpo: not enough memory: {said or 'none is left'}; take a smaller game\n"


def test_an_interrupted_program_does_not_wait_for_what_is_still_computed(monkeypatch):
    from nashpo.cli import games

    def interrupt(arguments):
        raise KeyboardInterrupt

    def leave(code):
        raise SystemExit(f"left at once with {code}")

    monkeypatch.setattr(games, "run", interrupt)
    monkeypatch.setattr(sys, "argv", ["nashpo", "games"])
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(gc, "disable", lambda: None)
    with pytest.raises(SystemExit, match="left at once with 130"):
        main()


COMMAND = Command(
    "test",
    "A command.",
    (Option("place", text, "where", metavar="PLACE", required=True),),
    (
        Option("beta", number, "a number", 0.5),
        Option("rounds", count(1), "how many", 3),
        Option("two-words", text, "words"),
        Option("json", yes_or_no, "a flag", False),
        Option("config", text, "file"),
    ),
)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('place = "there"\nbeta = 0.25\nrounds = 7\njson = true\ntwo-words = "a b"\n')
    options = COMMAND.read(["--config", str(file), "--beta", "0.125", "here"])
    assert (options.place, options.beta, options.rounds, options.json, options.two_words) == (
        "here",
        0.125,
        7,
        True,
        "a b",
    )
    plain = COMMAND.read(["here"])
    assert (plain.beta, plain.rounds, plain.json, plain.two_words) == (0.5, 3, False, None)
    assert COMMAND.read(["--config", str(file)]).place == "there"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bta = 1", "has no option 'bta'; did you mean 'beta'"),
        ("beta = true", "beta is True, but must be text or a number"),
        ("json = 1", "json is 1, but must be true or false"),
        ("rounds = 0", "rounds is '0', but must be a whole number, 1 or more"),
        ("beta = [1]", "must be text or a number"),
        ("beta = ", "is not valid TOML"),
        ('config = "x"', "has no option 'config'"),
    ],
)
def test_mistakes_in_the_file_are_named(content, message, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"run\.toml") as error:
        COMMAND.read(["here", "--config", str(file)])
    assert message in str(error.value)


def test_nearest_says_what_there_is_where_nothing_is_near():
    assert nearest("xyzzy", ["solve", "verify"]) == "; choose from solve, verify."
    assert nearest("EGP", ["EGPO", "SPO"]) == "; did you mean 'EGPO'?"

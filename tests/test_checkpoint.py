"""Checkpoints that are damaged, of another run, or cannot be written."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import GAMES, random_table

import nashpo
from nashpo import metrics
from nashpo.checkpoint import Checkpoints, CheckpointWarning, shelf
from nashpo.checkpoint import run as checkpoint
from nashpo.files import uninterrupted
from nashpo.fingerprint import differences, fingerprint
from nashpo.solvers import EGPO, INPO, MNPO, NashMD
from nashpo.stage import Harmonic

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"steps": 12, "every": 2, "segment": 2, "key": 3}


def game(**options) -> nashpo.Game:
    return GAMES["random"]() if not options else nashpo.Game.from_table(random_table(0), **options)


def drive(folder: Path, **changes) -> nashpo.Result:
    settings = {"game": game(), "rule_or_solver": EGPO(0.5), **SETTINGS, **changes}
    return nashpo.drive(settings.pop("game"), settings.pop("rule_or_solver"), **settings, checkpoints=folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def expected() -> nashpo.Result:
    return nashpo.solve(game(), EGPO(0.5), steps=12, every=2, key=3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    drive(folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    """Checkpoints at steps 4, 8 and 12, the last."""
    return shutil.copytree(finished, tmp_path / "run")


def same(found: nashpo.Result, expected: nashpo.Result) -> None:
    np.testing.assert_array_equal(found.policy.log_probs(), expected.policy.log_probs())
    for name, values in expected.trace.items():
        np.testing.assert_array_equal(found.trace[name], values)


def test_the_last_are_kept(folder):
    assert names(folder) == [".lock", "00000004", "00000008", "00000012"]
    drive(folder, steps=16, keep=1)
    assert names(folder) == [".lock", "00000016"]


def files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


DAMAGE = {
    "emptied": lambda file, chance: file.write_bytes(b""),
    "cut": lambda file, chance: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "removed": lambda file, chance: file.unlink(),
    "overwritten": lambda file, chance: file.write_bytes(chance.randbytes(file.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_skipped_with_a_message(folder, damage, expected):
    largest = max(files(folder / "00000012"), key=lambda file: file.stat().st_size)
    DAMAGE[damage](largest, random.Random(1))
    with pytest.warns(
        CheckpointWarning, match=r"00000012: this checkpoint is damaged \(.* (has changed|is missing)\) and is"
    ):
        found = drive(folder)
    same(found, expected)
    assert names(folder) == [".lock", "00000004", "00000008", "00000012"]
    same(drive(folder), expected)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_whichever_file_is_damaged(finished, damage, expected, tmp_path):
    chance = random.Random(2)
    for index, file in enumerate(file for file in files(finished / "00000012") if file.stat().st_size):
        folder = shutil.copytree(finished, tmp_path / str(index))
        DAMAGE[damage](folder / file.relative_to(finished), chance)
        with pytest.warns(CheckpointWarning, match=r"damaged .* and is skipped"):
            same(drive(folder), expected)


@pytest.mark.slow
def test_one_flipped_bit_is_noticed(finished, expected, tmp_path):
    chance = random.Random(3)
    for index, file in enumerate(file for file in files(finished / "00000012") if file.stat().st_size):
        folder = shutil.copytree(finished, tmp_path / str(index))
        target = folder / file.relative_to(finished)
        content = bytearray(target.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        target.write_bytes(content)
        with pytest.warns(CheckpointWarning, match=r"damaged .* and is skipped"):
            same(drive(folder), expected)


def test_without_any_that_is_whole_the_run_begins_again(folder, expected):
    for path in folder.glob("0*"):
        shutil.rmtree(path)
        path.mkdir()
    with pytest.warns(CheckpointWarning) as caught:
        same(drive(folder), expected)
    assert len(caught) == 3
    assert names(folder) == [".lock", "00000004", "00000008", "00000012"]


def test_damaged_checkpoints_ahead_do_not_push_out_the_good_ones(folder):
    for step in ("00000008", "00000012"):
        (folder / step / "run.json").unlink()

    def look(result):
        assert result.steps == 4 or f"{result.steps:08d}" in names(folder)
        return result.steps == 8

    with pytest.warns(CheckpointWarning):
        drive(folder, callbacks=look, keep=2)
    assert names(folder) == [".lock", "00000004", "00000008"]


def test_half_written_ones_are_never_read_and_go(folder, expected):
    for name in (".writing.abc", ".old.00000002"):
        shutil.copytree(folder / "00000012", folder / name / "00000016")
    (folder / "notes.txt").write_text("mine")
    drive(folder, steps=14)
    assert names(folder) == [".lock", "00000008", "00000012", "00000014", "notes.txt"]


def test_a_run_that_was_killed_after_its_last_save_leaves_nothing_behind(folder):
    """Nothing is saved any more, but the run that is there already is read."""
    (folder / "00000004").rename(folder / ".old.00000004")
    drive(folder)
    assert names(folder) == [".lock", "00000008", "00000012"]


OTHERS = {
    "rule_or_solver": (
        INPO(0.5),
        r"solver\.rule \(there nashpo\.solvers\.egpo\.EGPO, here nashpo\.solvers\.inpo\.INPO",
    ),
    "eta": (EGPO(0.25), r"solver\.rule\.eta \(there 0\.5, here 0\.25\)"),
    "schedule": (EGPO(Harmonic(1.0)), r"solver\.rule\.eta \(there 0\.5, here nashpo.stage.Harmonic"),
    "solver": (nashpo.solvers.FictitiousPlay(), r"solver \(there nashpo\.mirror\.Mirror, here .*FictitiousPlay\)"),
    "beta": (game(beta=0.3, reference=GAMES["random"]().reference.probs()[0]), r"game\.beta \(there 0\.1, here 0\.3\)"),
    "table": (nashpo.Game.from_table(random_table(9), beta=0.1), r"game\.oracle\.payoff \(there float64.*sha256"),
    "key": (4, r"seed \(there 3 uint32, here 4 uint32\)"),
    "tol": (1e-3, r"tol \(there None, here 0\.001\)"),
    "every": (3, r"every \(there 2, here 3\)"),
    "metrics": ([metrics.entropy], r"metrics\['entropy'\] \(there nothing, here"),
    "start": ([0.2] * 5, r"start \(there None, here nashpo\.policies\.tabular\.Tabular\)"),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.filterwarnings("ignore::nashpo.StepSizeWarning")
def test_checkpoints_of_another_run_are_refused(finished, what):
    value, message = OTHERS[what]
    argument = {"eta": "rule_or_solver", "schedule": "rule_or_solver", "solver": "rule_or_solver"}.get(what, what)
    argument = "game" if argument in ("beta", "table") else argument
    with pytest.raises(ValueError, match=f"belongs to another run, which differs in .*{message}") as error:
        drive(finished, **{argument: value})
    assert str(error.value).endswith("; give another folder or the settings of that run.")
    assert "\n" not in str(error.value)


def test_the_same_settings_in_other_words_are_the_same_run(finished, expected):
    named = nashpo.Game.from_table(
        random_table(0), beta=0.1, reference=GAMES["random"]().reference.probs(), items=list("abcde")
    )
    same(drive(finished, game=named, segment=None, steps=np.int64(12)), expected)


def test_single_precision_is_another_run(finished):
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"precision \(there float64, here float32\)"):
        drive(finished)


def test_other_versions_are_told(finished, monkeypatch):
    monkeypatch.setattr(checkpoint, "__version__", "99.0")
    with pytest.warns(CheckpointWarning, match=r"written with other versions: nashpo \(there .*, here 99\.0\)"):
        drive(finished)


def make(scale):
    return lambda beta, step: scale / (step + 1.0)


def test_functions_are_told_apart_by_what_they_do():
    def of(function):
        return fingerprint(NashMD(function), "rule")

    assert of(make(0.5)) == of(make(0.5))
    assert "rule.eta.scale (there 0.5, here 0.25)" in differences(of(make(0.5)), of(make(0.25)))
    one, other = (lambda beta, step: 0.5 / (step + 1.0)), (lambda beta, step: 0.5 / (step + 2.0))
    assert differences(of(one), of(other)).startswith("rule.eta (there test_checkpoint.")
    assert "0x" not in "".join(of(one).values())


def test_fingerprints_do_not_depend_on_the_process():
    program = (
        "from nashpo.fingerprint import fingerprint; from nashpo.solvers import MNPO; import jax;"
        "print(fingerprint({'a': MNPO(0.5, history=(0.5, 0.5)), 's': {'x', 'y', 'z'}, 'k': jax.random.key(1)}, 'all'))"
    )
    here = fingerprint({"a": MNPO(0.5, history=(0.5, 0.5)), "s": {"z", "y", "x"}, "k": jax.random.key(1)}, "all")
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == str(here)


def test_fingerprints_of_arrays_and_of_what_holds_itself():
    assert fingerprint(np.arange(9.0)) == fingerprint(jnp.arange(9.0))
    assert fingerprint(np.arange(9.0)) != fingerprint(np.arange(9))
    loop: list = []
    loop.append(loop)
    assert fingerprint(loop, "loop") == {"loop": "builtins.list", "loop[0]": "itself"}
    assert differences({"a": "1", "b": "2", "c": "3", "d": "4"}, {}, most=2) == (
        "a (there 1, here nothing), b (there 2, here nothing) and 2 more"
    )


FULL = """
import resource, sys
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
import nashpo
game = nashpo.Game.from_table(np.full((400, 400), 0.5), beta=0.1)
settings = dict(steps=6, segment=2, checkpoints=sys.argv[1])
if sys.argv[2] == "midway":
    from nashpo.checkpoint import store
    store._reserve = lambda *_: None
if sys.argv[2] in ("full", "midway"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    nashpo.drive(game, nashpo.solvers.EGPO(0.5), start=np.random.default_rng(0).dirichlet(np.ones(400)), **settings,
                 callbacks=(lambda result: result.steps == 4) if sys.argv[2] == "half" else ())
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path):
    """The largest size of a file stands for the size of the disk; it is met before Orbax writes, or while it does."""

    def run(how):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        del environment["JAX_COMPILATION_CACHE_DIR"]  # whose files meet the limit too
        command = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path), how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stderr == "" or how == "midway"
        return done.stdout

    assert run("half") == ""
    before = {file: file.read_bytes() for file in files(tmp_path)}
    for how in ("full", "midway"):
        assert run(how) == (
            f"{tmp_path}: the checkpoint of step 6 cannot be written (File too large); step 4 is saved, the same call "
            "goes on.\n"
        )
        assert {file: file.read_bytes() for file in files(tmp_path)} == before
    assert run("again") == ""
    assert names(tmp_path) == [".lock", "00000002", "00000004", "00000006"]


def test_a_failed_move_is_one_sentence(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = names(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        message = r"run: the checkpoint of step 14 cannot be written \(No space left on device\); step 12 is saved"
        with pytest.raises(OSError, match=message):
            drive(folder, steps=14)
    assert names(folder) == before


def test_a_folder_that_cannot_be_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file, or lies in one; give the name of a folder"):
            drive(path)

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(OSError, match=r"new: the folder cannot be written to \(Permission denied\)\."):
        drive(tmp_path / "new")


def test_ctrl_c_during_a_save_waits_for_its_end(folder, monkeypatch, expected):
    write = shelf.write

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        write(*arguments)

    monkeypatch.setattr(shelf, "write", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"step 14 of 16 is saved in .*; the same call goes on from there"):
        drive(folder, steps=16, segment=1)
    assert names(folder) == [".lock", "00000008", "00000012", "00000014"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("patient", [False, True])
def test_a_second_ctrl_c_breaks_into_a_segment_but_not_into_a_save(patient, capsys):
    reached = []
    with pytest.raises(KeyboardInterrupt), uninterrupted(patient=patient, notice="once"):
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")
    assert reached == ["first", "second"][: 1 + patient]
    assert capsys.readouterr().err == "once\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_save_that_breaks_off_spoils_nothing(folder, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        if Path(target).name == "00000014":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt, match="step 12 of 16 is saved in"):
            drive(folder, steps=16, segment=1)
    assert names(folder) == [".lock", "00000004", "00000008", "00000012"]
    same(drive(folder, steps=16), nashpo.solve(game(), EGPO(0.5), steps=16, every=2, key=3))


def test_broken_off_before_anything_is_saved(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="broken off before the first checkpoint: nothing is saved in"):
        drive(tmp_path)


def test_other_threads_save_too(tmp_path):
    failures = []

    def work():
        try:
            with uninterrupted():
                drive(tmp_path)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == [] and "00000012" in names(tmp_path)

"""Files are written whole or not at all."""

import errno
import os

import pytest

from nashpo.files import atomic_write


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    return path


@pytest.mark.parametrize("content", [b"n\r\nw\xc3\xa4", "n\r\nwä", lambda path: path.write_bytes(b"n\r\nw\xc3\xa4")])
def test_bytes_text_and_functions(old, content):
    assert atomic_write(old, content) == old
    assert old.read_bytes() == b"n\r\nw\xc3\xa4"
    assert os.listdir(old.parent) == ["a.csv"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_says_so(old, monkeypatch, call):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=r"a\.csv: cannot be written \(No space left on device\)\.$"):
        atomic_write(old, b"new")
    monkeypatch.undo()
    assert old.read_bytes() == b"old" and os.listdir(old.parent) == ["a.csv"]


def test_a_function_that_is_interrupted_leaves_the_old_file(old):
    def interrupted(path):
        path.write_bytes(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(old, interrupted)
    assert old.read_bytes() == b"old" and os.listdir(old.parent) == ["a.csv"]


def test_one_write_inside_another_names_the_path_that_was_asked_for(old, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError) as caught:
        atomic_write(old, lambda path: atomic_write(path, b"new"))
    assert str(caught.value) == f"{old}: cannot be written (No space left on device)."


def test_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist; create it first"):
        atomic_write(tmp_path / "nowhere" / "a.txt", b"")
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        atomic_write(tmp_path, b"")

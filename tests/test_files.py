"""Files that are whole or absent, and what is said where they cannot be written."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cell_files import sentence

from build.errors import UserError
from build.files import (
    arrays,
    atomic,
    check_readable,
    check_writable,
    explained,
    locked,
    make_folder,
    refused,
    save_array,
    write_array,
    write_text,
)

DISK_FULL = Path("/dev/full")


def test_a_block_that_ends_in_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "page.html"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic(path, "w") as file:
        file.write("new" * (1 // 0))
    assert path.read_text() == "old"
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("place", ["file/page.html", "file/below/page.html", "folder", "x" * 300])
def test_a_file_that_cannot_be_written_is_a_sentence_and_leaves_nothing(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught:
        write_text(tmp_path / place, "text")
    assert f"{place} cannot be written (" in sentence(caught)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, UserError), (errno.EDQUOT, UserError), (errno.EIO, OSError)]
)
def test_a_disk_that_fills_amid_a_file_is_a_sentence_and_the_old_one_stays(tmp_path, monkeypatch, number, kind):
    def full(_):
        raise OSError(number, os.strerror(number))

    write_text(tmp_path / "page.html", "old")
    monkeypatch.setattr("build.files.os.fsync", full)
    with pytest.raises(kind) as caught:
        write_text(tmp_path / "page.html", "new")
    assert kind is OSError or "make room" in sentence(caught)
    assert (tmp_path / "page.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.skipif(not DISK_FULL.exists(), reason="a disk that is always full is Linux'")
def test_an_array_that_meets_a_full_disk_says_so_by_its_number():
    """np.save hides it: its error has none."""
    with DISK_FULL.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left") as caught:
        write_array(file, np.zeros((300, 300)))
    assert caught.value.errno == errno.ENOSPC


def test_an_array_comes_back(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::2]
    save_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)


def test_a_folder_that_nothing_can_be_put_into_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("build.files.os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UserError) as caught:
        make_folder(tmp_path)
    assert "cannot be written (Permission denied)" in sentence(caught)


def test_arrays_with_a_damaged_header_are_no_whole_file(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(9999))  # larger than the first read, which would compare the checksum
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole.replace(b"(9999,),", b"(9999,  "))
    with pytest.raises(ValueError, match="is damaged"):
        arrays(tmp_path / "a.npz")


def test_writability_is_asked_without_a_trace(tmp_path):
    check_writable(tmp_path / "new" / "page.html")
    assert [*(tmp_path / "new").iterdir()] == []
    with pytest.raises(UserError) as caught:
        check_writable(tmp_path / "new")
    assert "it is a folder" in sentence(caught)
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        check_writable(tmp_path / "file" / "page.html")
    assert "a file is where a folder should be" in sentence(caught)


def test_readability_is_asked_of_a_file(tmp_path):
    (tmp_path / "file").touch()
    check_readable(tmp_path / "file")
    for name in ("none", "."):
        with pytest.raises(UserError, match="cannot be read"):
            check_readable(tmp_path / name)


def test_an_error_of_the_system_becomes_a_sentence_and_others_pass():
    with pytest.raises(UserError) as caught, explained("cells", "read"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert sentence(caught) == "cells cannot be read (Permission denied); check its name and permissions."
    with pytest.raises(KeyError), explained("cells", "read"):
        raise KeyError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fills_amid_a_folder_s_copy_is_a_sentence(tmp_path, number):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()

    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=full)
    assert refused(caught.value).startswith("A disk is full (No space left") == (number == errno.ENOSPC)


@pytest.mark.parametrize(("number", "locks"), [(errno.ENOSYS, False), (errno.ENOLCK, False), (errno.EIO, True)])
def test_a_file_system_without_locks_stops_nothing(tmp_path, monkeypatch, number, locks):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("build.files.fcntl.flock", refuse)
    told = pytest.raises(OSError, match="Input/output") if locks else contextlib.nullcontext()
    with told, locked(tmp_path / "lock", "held by another"):
        (tmp_path / "done").touch()
    assert (tmp_path / "done").exists() is not locks


@pytest.mark.parametrize("place", ["file/lock", "folder"])
def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught, locked(tmp_path / place, "held by another"):
        pass
    assert f"{place} cannot be written (" in sentence(caught)

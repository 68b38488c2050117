"""Files that are whole or absent, and what is said where they cannot be written."""

import errno
import os

import numpy as np
import pytest
from cell_files import sentence

from build.errors import UserError
from build.files import arrays, atomic, check_writable, explained, locked, write_text


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


def test_an_error_of_the_system_becomes_a_sentence_and_others_pass():
    with pytest.raises(UserError) as caught, explained("cells", "read"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert sentence(caught) == "cells cannot be read (Permission denied); check its name and permissions."
    with pytest.raises(KeyError), explained("cells", "read"):
        raise KeyError


@pytest.mark.parametrize("place", ["file/lock", "folder"])
def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught, locked(tmp_path / place, "held by another"):
        pass
    assert f"{place} cannot be written (" in sentence(caught)

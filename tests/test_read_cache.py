"""The cache of read cells: opened where the source is the same, made again where it is not or the entry is damaged."""

import errno
import os
import shutil

import numpy as np
import pytest
from cell_files import npz, sentence, some_images, some_labels

from build.data import cache as store
from build.data.read import read
from build.errors import UserError
from submission import contract


def test_a_second_call_opens_the_cache_and_a_changed_file_is_read_again(tmp_path, monkeypatch):
    path = npz(tmp_path)
    first = read(path, seed=0, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", lambda *a, **k: pytest.fail("read again"))
        again = read(path, seed=0, cache=tmp_path / "cache")
    assert again.sha256 == first.sha256
    npz(tmp_path, images=some_images(16, seed=1))
    changed = read(path, seed=0, cache=tmp_path / "cache")
    assert changed.sha256 != first.sha256
    np.testing.assert_array_equal(changed.images, some_images(16, seed=1))


def test_of_two_entries_with_the_same_cells_the_whole_one_is_found(tmp_path):
    sha256 = read(npz(tmp_path), seed=0, cache=tmp_path / "cache").sha256
    (entry,) = (tmp_path / "cache").iterdir()
    first = entry.with_name("cells-" + "0" * len(entry.name.removeprefix("cells-")))
    shutil.copytree(entry, first)
    (first / "images.npy").write_bytes(b"damaged")
    assert store.of_hash(tmp_path / "cache", sha256, "moved").sha256 == sha256


def test_an_entry_of_another_contract_is_absent_and_stays(tmp_path, monkeypatch):
    cells = read(npz(tmp_path), seed=0, cache=tmp_path / "cache")
    for name, value in (("IMAGE_SHAPE", (64, 80, 3)), ("CLASSES", contract.CLASSES[:1])):
        with monkeypatch.context() as patch:
            patch.setattr(contract, name, value)
            assert store.of_hash(tmp_path / "cache", cells.sha256, "x") is None
    found = store.of_hash(tmp_path / "cache", cells.sha256, "x")
    np.testing.assert_array_equal(found.images, cells.images)


def test_a_damaged_cache_entry_that_cannot_be_removed_is_a_sentence(tmp_path, monkeypatch):
    def refused(_, ignore_errors=False):
        if not ignore_errors:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = npz(tmp_path)
    read(path, seed=0, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    (entry / "labels.npy").write_bytes(b"")
    monkeypatch.setattr(store.shutil, "rmtree", refused)
    with pytest.raises(UserError) as caught:
        read(path, seed=0, cache=tmp_path / "cache")
    assert "is damaged and cannot be removed (Permission denied); remove it by hand." in sentence(caught)


def test_an_entry_that_cannot_be_read_at_the_moment_is_kept(tmp_path, monkeypatch):
    def exhausted(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    path = npz(tmp_path)
    cells = read(path, seed=0, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(store.np, "load", exhausted)
        with pytest.raises(UserError) as caught:
            store.of_hash(tmp_path / "cache", cells.sha256, "x")
    assert "cannot be read (Cannot allocate memory); it is kept, try again." in sentence(caught)
    assert store.of_hash(tmp_path / "cache", cells.sha256, "x") is not None


def test_a_damaged_entry_that_another_process_removes_first_is_made_again(tmp_path, monkeypatch):
    path = npz(tmp_path)
    read(path, seed=0, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    (entry / "labels.npy").write_bytes(b"")
    rename = store.Path.rename

    def late(folder, target):
        rename(folder, tmp_path / "gone")
        rename(folder, target)

    monkeypatch.setattr(store.Path, "rename", late)
    np.testing.assert_array_equal(read(path, seed=0, cache=tmp_path / "cache").images, some_images(16))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_entry_with_a_damaged_header_is_made_again(tmp_path):
    path = npz(tmp_path)
    read(path, seed=0, cache=tmp_path / "cache")
    (labels,) = (tmp_path / "cache").glob("*/labels.npy")
    labels.write_bytes(labels.read_bytes().replace(b"(16,),", b"(16,  "))
    np.testing.assert_array_equal(read(path, seed=0, cache=tmp_path / "cache").labels, some_labels(16))


def test_who_is_slower_than_another_process_takes_what_that_one_wrote(tmp_path):
    images, labels = some_images(16), some_labels(16)

    def write(pieces):
        return store.write(tmp_path, "entry", "test", 16, pieces, ())

    def overtaken():
        write(iter([(images, labels)]))
        yield images, labels

    cells = write(overtaken())
    np.testing.assert_array_equal(cells.images, images)
    assert [path.name for path in tmp_path.iterdir()] == ["cells-entry"]


def test_an_interrupted_reading_leaves_nothing_behind(tmp_path):
    def pieces():
        yield some_images(4), some_labels(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path, "entry", "source", 16, pieces(), [])
    assert not [*tmp_path.iterdir()]


def test_another_contract_reads_the_same_file_anew(tmp_path, monkeypatch):
    path = npz(tmp_path, images=some_images(16, 32), labels=some_labels(16) % 3)
    with pytest.raises(UserError):
        read(path, seed=0, cache=tmp_path / "cache")
    monkeypatch.setattr(contract, "IMAGE_SHAPE", (32, 32, 3))
    monkeypatch.setattr(contract, "CLASSES", ("circle", "square", "triangle"))
    assert read(path, seed=0, cache=tmp_path / "cache").images.shape == (16, 32, 32, 3)

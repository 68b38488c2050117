"""Read, curate and split in one call: what the cache may answer, what it must not, and what every bad input says."""

from dataclasses import replace

import numpy as np
import pytest
from cell_files import ABBREVIATED, K, folder_of, npz, sentence, smooth, some_images, some_labels

from build import cli
from build.console import console
from build.data import cache as store
from build.data import prepare as prepare_module
from build.data.prepare import Prepared, prepare
from build.data.split import SIDES, CannotSplit
from build.errors import UserError
from build.recipe import Recipe
from submission import contract

RECIPE = Recipe(name="test")
ROWS = 12 * K


@pytest.fixture
def source(tmp_path):
    """An npz of 96 different pictures, 3 copies of one of them and a mirrored one."""
    images = np.stack([np.asarray(smooth((96, 96), seed)) for seed in range(ROWS)])
    labels = some_labels(ROWS)
    images = np.concatenate([images, images[[4, 4, 4]], images[[5]][:, :, ::-1]])
    return npz(tmp_path, images=images, labels=np.concatenate([labels, labels[[4, 4, 4, 5]]]))


def made(source, tmp_path, *, recipe: Recipe = RECIPE, seed: int = 0) -> Prepared:
    return prepare(str(source), recipe, seed=seed, cache=tmp_path / "cache")


def same(first: Prepared, second: Prepared) -> None:
    np.testing.assert_array_equal(first.cells.images, second.cells.images)
    np.testing.assert_array_equal(first.cells.labels, second.cells.labels)
    assert first.cells.sha256 == second.cells.sha256
    np.testing.assert_array_equal(first.curation.kept, second.curation.kept)
    np.testing.assert_array_equal(first.curation.groups, second.curation.groups)
    assert first.curation.dropped == second.curation.dropped
    assert first.curation.near == second.curation.near
    for side in SIDES:
        np.testing.assert_array_equal(getattr(first.split, side), getattr(second.split, side))


def counted(monkeypatch) -> list[str]:
    """Notes when cells are written or curated, from now on."""
    done = []
    curate, write = prepare_module.curate, store.write

    def noted(name, function):
        return lambda *a, **k: (done.append(name), function(*a, **k))[1]

    monkeypatch.setattr(prepare_module, "curate", noted("curated", curate))
    monkeypatch.setattr(store, "write", noted("read", write))
    return done


# --- the cache ------------------------------------------------------------------------------------------------------


def test_a_second_call_gives_the_same_and_neither_reads_nor_curates_again(source, tmp_path, monkeypatch):
    done = counted(monkeypatch)
    first = made(source, tmp_path)
    assert done == ["read", "curated"]
    assert len(first.cells) == ROWS + 4
    assert len(first.curation.kept) == ROWS + 1
    assert len(first.curation.near) == 1
    same(first, made(source, tmp_path))
    assert done == ["read", "curated"]


def test_the_cache_gives_what_was_made_and_not_an_approximation(source, tmp_path):
    made(source, tmp_path)
    cached = made(source, tmp_path)
    same(cached, prepare(str(source), RECIPE, seed=0, cache=tmp_path / "another"))


def test_changed_cells_are_read_and_curated_again(source, tmp_path, monkeypatch):
    first = made(source, tmp_path)
    with np.load(source) as held:
        images, labels = held["images"], held["labels"]
    images[4] = np.asarray(smooth((96, 96), 4711))
    npz(tmp_path, images=images, labels=labels)
    done = counted(monkeypatch)
    second = made(source, tmp_path)
    assert done == ["read", "curated"]
    assert second.cells.sha256 != first.cells.sha256
    assert len(second.curation.kept) == len(first.curation.kept) + 1


def test_changed_labels_alone_are_curated_again(source, tmp_path):
    first = made(source, tmp_path)
    with np.load(source) as held:
        images, labels = held["images"], held["labels"]
    labels[4] = (labels[4] + 1) % K
    npz(tmp_path, images=images, labels=labels)
    second = made(source, tmp_path)
    assert [d.row for d in second.curation.dropped if d.reason == "conflict"] == [4]
    assert not [d for d in first.curation.dropped if d.reason == "conflict"]


def test_the_same_cells_in_another_file_are_curated_once(source, tmp_path, monkeypatch):
    first = made(source, tmp_path)
    with np.load(source) as held:
        np.savez_compressed(tmp_path / "packed.npz", **held)
    done = counted(monkeypatch)
    same(first, made(tmp_path / "packed.npz", tmp_path))
    assert done == ["read"]


def test_another_seed_or_share_splits_anew_without_curating_again(source, tmp_path, monkeypatch):
    first = made(source, tmp_path)
    done = counted(monkeypatch)
    seeded = made(source, tmp_path, seed=1)
    assert seeded.split.test.tolist() != first.split.test.tolist()
    larger = made(source, tmp_path, recipe=replace(RECIPE, test_share=0.3))
    assert len(larger.split.test) > 2 * len(first.split.test)
    assert done == []


def test_changed_rules_of_curation_never_meet_an_old_result(source, tmp_path, monkeypatch):
    made(source, tmp_path)
    other = tmp_path / "foreign.py"
    other.write_text("# other rules")
    monkeypatch.setattr(prepare_module.foreign, "__file__", str(other))
    done = counted(monkeypatch)
    made(source, tmp_path)
    assert done == ["curated"]


def damaged(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "empty": b"",
        "cut off": data[:middle],
        "a flipped byte": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        "something else": b"<html>404</html>",
    }


@pytest.mark.parametrize("damage", damaged(b"0123"))
@pytest.mark.parametrize("victim", ["images.npy", "labels.npy", "about.json", "curation"])
def test_a_damaged_cache_is_made_again(source, tmp_path, victim, damage):
    first = made(source, tmp_path)
    pattern = "curation-*.npz" if victim == "curation" else f"cells-*/{victim}"
    (path,) = (tmp_path / "cache").glob(pattern)
    whole = path.read_bytes()
    path.unlink()  # a new file: `first` still maps the old one
    path.write_bytes(damaged(whole)[damage])
    same(first, made(source, tmp_path))
    assert path.stat().st_size == len(whole)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"sha256": 3, "notes": [], "source": "x", "rows": 1}'])
def test_a_cache_that_says_something_else_of_itself_is_made_again(source, tmp_path, text):
    first = made(source, tmp_path)
    (path,) = (tmp_path / "cache").glob("cells-*/about.json")
    path.write_text(text)
    same(first, made(source, tmp_path))


def test_a_cache_that_cannot_be_written_is_a_sentence(source, tmp_path):
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(UserError) as caught:
        made(source, tmp_path)
    assert "cannot be written" in sentence(caught)


def test_a_cache_with_cells_but_without_curation_that_cannot_be_written_is_a_sentence(source, tmp_path, monkeypatch):
    made(source, tmp_path)
    (path,) = (tmp_path / "cache").glob("curation-*.npz")
    path.unlink()

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(UserError) as caught:
        made(source, tmp_path)
    assert f"{path} cannot be written (Read-only file system)" in sentence(caught)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    def pieces():
        yield some_images(4), some_labels(4)
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError) as caught:
        store.write(tmp_path / "cache", "entry", "set.npz", 16, pieces(), [])
    assert "is full" in sentence(caught)
    assert not [*(tmp_path / "cache").iterdir()]


# --- bad input, from the file to the exit code ----------------------------------------------------------------------


def with_nan() -> np.ndarray:
    images = some_images(16).astype(np.float32)
    images[3, 2, 1, 0] = np.nan
    return images


def with_truncated_jpeg(tmp_path):
    root = folder_of(tmp_path / "cells", ABBREVIATED)
    path = root / "mono" / "cut.jpg"
    smooth((96, 96), 5).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-200])
    return root


BAD = {
    "a missing file": (lambda folder: folder / "none.npz", "does not exist"),
    "a name with brackets": (lambda folder: folder / "cells [old]" / "none.npz", "cells [old]"),
    "a wrong shape": (lambda folder: npz(folder, images=some_images(16, 64)), "shape (N, 96, 96, 3)"),
    "a wrong dtype": (lambda folder: npz(folder, images=some_images(16).astype(np.int16)), "uint8"),
    "labels outside": (lambda folder: npz(folder, labels=some_labels(16) + 1), "0..7, but run from 1 to 8"),
    "an empty class": (lambda folder: npz(folder, labels=some_labels(16) % 7), "none of Platelet"),
    "a truncated JPEG": (with_truncated_jpeg, "cut.jpg is no whole image"),
    "NaN": (lambda folder: npz(folder, images=with_nan()), "1 values not a number (NaN)"),
    "a pickled npz": (lambda folder: npz(folder, labels=np.array([{}] * 16, dtype=object)), "pickled"),
    "too few images": (lambda folder: npz(folder), "at least 10 images"),
    "too few drawn cells": (lambda folder: "synthetic:3", "Expected N of synthetic:N to be"),
    "another word": (lambda folder: "synthetic:many", "synthetic:N"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_on_standard_error_and_exit_code_2(tmp_path, monkeypatch, capsys, case):
    make, phrase = BAD[case]
    given = str(make(tmp_path))
    with pytest.raises(UserError) as caught:
        made(given, tmp_path)
    assert phrase in sentence(caught)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_width", 10_000)
    assert cli.main(["train", "--data", given]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert phrase in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "runs").exists()


def test_another_competitions_contract_is_prepared_from_drawn_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "IMAGE_SHAPE", (32, 32, 3))
    monkeypatch.setattr(contract, "CLASSES", ("circle", "square", "triangle"))
    prepared = made("synthetic:90", tmp_path)
    assert prepared.cells.images.shape == (90, 32, 32, 3)
    assert {len(np.unique(prepared.cells.labels[getattr(prepared.split, side)])) for side in SIDES} == {3}


def test_a_recipe_s_fold_and_validation_share_decide_about_the_split(source, tmp_path):
    first, second = (
        made(source, tmp_path, recipe=replace(RECIPE, folds=3, fold=number)).split.test for number in (0, 1)
    )
    assert len(first) == len(second) == 32
    assert not np.intersect1d(first, second).size
    more = made(source, tmp_path, recipe=replace(RECIPE, validation_share=0.3)).split
    assert len(more.validation) > 2 * len(made(source, tmp_path).split.validation)


def test_a_class_that_lost_its_cells_says_to_what_and_can_be_looked_at(tmp_path, monkeypatch, capsys):
    images = np.stack([np.asarray(smooth((96, 96), seed)) for seed in range(ROWS)])
    labels = some_labels(ROWS)
    rows = np.flatnonzero(labels == 0)
    both = npz(
        tmp_path, images=np.concatenate([images, images[rows]]), labels=np.concatenate([labels, labels[rows] + 1])
    )
    with pytest.raises(CannotSplit) as caught:
        made(both, tmp_path)
    assert "keeps 0 images" in sentence(caught)
    assert (
        f"of all rows {len(rows)} as conflict, {len(rows)} as duplicate were dropped: look at them (nox -s inspect -- --data {both})"
        in sentence(caught)
    )
    prepared = prepare(str(both), RECIPE, seed=0, cache=tmp_path / "cache", whole=True)
    assert len(prepared.split.train) == len(prepared.curation.kept) == ROWS - len(rows)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", "--data", str(both), "--quick"]) == 0
    assert "These cells cannot be trained on yet" in " ".join(capsys.readouterr().err.split())

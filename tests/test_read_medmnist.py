"""BloodMNIST through a package like medmnist whose file lies on this disk: no network, no PyTorch."""

import hashlib
import importlib.util
import sys
import urllib.error

import numpy as np
import pytest
from cell_files import sentence, some_images, some_labels

from build.data.read import read
from build.data.resize import resize
from build.errors import UserError
from submission import contract

THEIRS = {
    "0": "platelet",
    "1": "basophil",
    "2": "eosinophil",
    "3": "erythroblast",
    "4": "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
    "5": "lymphocyte",
    "6": "monocyte",
    "7": "neutrophil",
}
"""Another order than the contract's, to see that names and not numbers decide."""


@pytest.fixture
def medmnist(tmp_path, monkeypatch):
    """A package like medmnist whose file lies on this disk; the package itself must not be imported (it needs PyTorch)."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    package = tmp_path / "site" / "medmnist"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    parts = {}
    for part, count, seed in (("train", 24, 1), ("val", 8, 2), ("test", 16, 3)):
        parts[f"{part}_images"] = some_images(count, 64, seed)
        parts[f"{part}_labels"] = some_labels(count)[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "served.npz", **parts)
    md5 = hashlib.md5((tmp_path / "served.npz").read_bytes()).hexdigest()

    def publish(**changes):
        facts = {
            "n_channels": 3,
            "label": THEIRS,
            "url_64": (tmp_path / "served.npz").as_uri(),
            "MD5_64": md5,
        } | changes
        (package / "info.py").write_text(f"INFO = {{'bloodmnist': {facts!r}}}")

    publish()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return publish


def test_medmnist_is_downloaded_joined_resized_and_mapped_by_name(tmp_path, medmnist):
    cells = read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "cache")
    assert cells.images.shape == (48, *contract.IMAGE_SHAPE)
    assert cells.labels[:8].tolist() == [7, 0, 1, 2, 3, 4, 5, 6]
    assert any("64x64" in note for note in cells.notes)
    np.testing.assert_array_equal(cells.images[32], resize(some_images(16, 64, 3)[0]))
    (tmp_path / "served.npz").unlink()
    assert read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "cache").sha256 == cells.sha256


def test_the_file_in_medmnist_s_own_folder_is_taken_where_it_is_whole(tmp_path, medmnist):
    medmnist(url_64="file:///nowhere.npz")
    own = tmp_path / "home" / ".medmnist" / "bloodmnist_64.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes((tmp_path / "served.npz").read_bytes())
    assert len(read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "one").labels) == 48
    own.write_bytes(b"another")
    with pytest.raises(UserError, match="cannot be downloaded"):
        read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "two")


def test_a_medmnist_file_can_be_given_by_its_path(tmp_path, medmnist):
    cells = read(tmp_path / "served.npz", seed=0, cache=tmp_path / "cache")
    assert cells.labels[:8].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("source", "changes", "phrase"),
    [
        ("medmnist:bloodmnist@99", {}, "expected one of 64, 128, 224"),
        ("medmnist:pathmnist", {}, "expected medmnist:bloodmnist"),
        ("medmnist:bloodmnist", {}, "expected medmnist:bloodmnist"),
        ("medmnist:bloodmnist@64", {"n_channels": 1}, "RGB"),
        ("medmnist:bloodmnist@64", {"label": {"0": "cat", "1": "dog"}}, "No class is named like cat, dog"),
        ("medmnist:bloodmnist@64", {"url_64": "file:///nowhere.npz"}, "cannot be downloaded"),
        ("medmnist:bloodmnist@64", {"url_64": "http://127.0.0.1:9/x.npz"}, "cannot be downloaded"),
        ("medmnist:bloodmnist@64", {"MD5_64": "0" * 32}, "MD5"),
    ],
)
def test_medmnist_that_cannot_be_had_is_refused_with_what_to_do(tmp_path, medmnist, source, changes, phrase):
    medmnist(**changes)
    with pytest.raises(UserError) as caught:
        read(source, seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)
    assert not [*(tmp_path / "cache").glob("**/*.npz")]


def test_another_file_under_the_name_of_a_download_is_refused(tmp_path, medmnist):
    medmnist()
    kept = tmp_path / "cache" / "downloads" / "bloodmnist_64.npz"
    kept.parent.mkdir(parents=True)
    np.savez(kept, other=np.zeros(3))
    with pytest.raises(UserError) as caught:
        read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "cache")
    assert "remove it or put the right file there" in sentence(caught)
    assert kept.exists()


def test_medmnist_without_its_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        read("medmnist:bloodmnist", seed=0, cache=tmp_path / "cache")
    assert "pip install --no-deps medmnist" in sentence(caught)


@pytest.mark.skipif(importlib.util.find_spec("medmnist") is None, reason="the optional medmnist package is absent")
@pytest.mark.parametrize("size", [64, 128, 224])
def test_the_real_package_knows_bloodmnist_in_every_size_and_its_names_are_the_contracts(tmp_path, monkeypatch, size):
    asked, loaded = [], set(sys.modules)

    def no_network(url, timeout):
        asked.append(url)
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UserError) as caught:
        read(f"medmnist:bloodmnist@{size}", seed=0, cache=tmp_path / "cache")
    assert "no network in this test" in sentence(caught)
    assert f"bloodmnist_{size}.npz" in asked[0]
    assert not {"torch", "medmnist"} & (set(sys.modules) - loaded)

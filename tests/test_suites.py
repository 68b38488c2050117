"""Suites on disk: the same bytes, found again by checksum, memory bounded, a user's file, growing damage."""

import itertools
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from build.errors import UserError
from build.score import suite_checksums, suites
from build.score.corruptions import stacked
from build.score.corruptions.definition import SEVERITIES
from build.score.suite_checksums import content, definition
from build.score.suites import SUITES, choose_rows, load, materialise

ROOT = Path(__file__).resolve().parent.parent


USER_SUITE = """
from build.score.corruptions.definition import Corruption, Suite

def tint(image, strength, *, rng):
    tinted = image.astype("float32")
    tinted[..., rng.integers(3)] += 255 * strength
    return tinted.clip(0, 255).astype("uint8")

SUITE = Suite("tints", (Corruption("tint", tint, (0.05, 0.1, 0.2, 0.3, 0.4), operations=("channel shift",)),))
"""


def cells(count: int = 24, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Discs of three colours on a pale ground with soft texture, and their classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pictures = np.empty((count, side, side, 3), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        ground = np.full((side, side, 3), (240, 220, 205), np.float32)
        middle = rng.integers(side // 3, 2 * side // 3, 2).tolist()
        cv2.circle(ground, middle, side // 4, ((95, 50, 130), (200, 90, 90), (120, 120, 180))[label], -1, cv2.LINE_AA)
        texture = cv2.GaussianBlur(rng.normal(0, 1, (side, side, 3)).astype(np.float32), (0, 0), 1.2)
        picture[:] = np.clip(ground + 25 * texture, 0, 255)
    return pictures, labels


def make(names, folder, **changes):
    images, labels = cells()
    given = {"seed": 0, "rows_per_condition": 12, "cache": folder, **changes}
    return materialise(names, images, labels, **given)


def stamps(made) -> dict:
    return {one.key: (one.images_path.stat().st_ino, one.images_path.stat().st_mtime_ns) for one in made}


def test_held_out_takes_every_image_as_it_is(tmp_path):
    images, labels = cells()
    (one,) = make(["held-out"], tmp_path)
    assert one.key == "held-out.none.0"
    assert np.array_equal(np.load(one.images_path), images)
    assert np.array_equal(one.labels, labels)
    assert np.array_equal(one.rows, np.arange(len(images)))


def test_a_condition_holds_its_rows_corrupted_and_nothing_else(tmp_path):
    images, labels = cells()
    made = make(["basic"], tmp_path)
    assert len(made) == 6 * 5
    for one in made:
        stored = np.load(one.images_path)
        assert stored.shape == (12, 48, 48, 3)
        assert stored.dtype == np.uint8
        assert np.array_equal(one.labels, labels[one.rows])
        assert len(set(one.rows)) == 12
    blur = [one for one in made if one.corruption == "blur"]
    assert len({tuple(one.rows) for one in blur}) == 1  # a curve compares like with like
    strongest = np.load(blur[4].images_path)[3]
    assert np.array_equal(strongest, SUITES["basic"].corruptions[0](images[blur[4].rows[3]], 5, rng=None))


@pytest.fixture
def without_keras_cv(monkeypatch):
    """Its process has a test of its own."""
    monkeypatch.setattr(suites, "run_process", lambda *_: "it has a test of its own")


@pytest.mark.usefixtures("without_keras_cv")
def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    first, again = make(["basic", "stacked"], tmp_path / "a"), make(["basic", "stacked"], tmp_path / "b")
    other = make(["basic"], tmp_path / "c", seed=1)
    assert [one.images_path.read_bytes() for one in first] == [one.images_path.read_bytes() for one in again]
    assert [one.definition for one in first] == [one.definition for one in again]
    noise = [next(one for one in made if one.corruption == "noise") for made in (first, other)]
    assert noise[0].images_path.read_bytes() != noise[1].images_path.read_bytes()
    assert noise[0].definition != noise[1].definition


def test_what_lies_in_the_cache_is_not_made_again_but_what_is_damaged_is(tmp_path):
    before = stamps(make(["basic"], tmp_path))
    assert stamps(make(["basic"], tmp_path)) == before
    made = make(["basic"], tmp_path)
    whole = made[3].images_path.read_bytes()
    made[3].images_path.write_bytes(whole[:-7])  # a machine that went down
    made[4].images_path.write_bytes(b"")
    np.save(made[5].images_path, np.load(made[5].images_path)[:-1])
    after = stamps(make(["basic"], tmp_path))
    assert {key for key in after if after[key] != before[key]} == {one.key for one in made[3:6]}
    assert made[3].images_path.read_bytes() == whole
    assert [len(np.load(one.images_path)) for one in made[4:6]] == [12, 12]


def test_other_images_labels_or_rows_do_not_meet_in_the_cache(tmp_path):
    images, labels = cells()
    turned = images.copy()
    turned[0, 0, 0, 0] ^= 1
    given = {"seed": 0, "rows_per_condition": 12, "cache": tmp_path}
    definitions = {
        materialise(["basic"], images, labels, **given)[0].definition,
        materialise(["basic"], turned, labels, **given)[0].definition,
        materialise(["basic"], images, labels[::-1], **given)[0].definition,
        materialise(["basic"], images, labels, **given | {"rows_per_condition": 9})[0].definition,
    }
    assert len(definitions) == 4


def test_the_definition_of_a_suite_follows_its_source(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(USER_SUITE)
    before = definition(load(path))
    path.write_text(USER_SUITE.replace("0.4)", "0.5)"))
    assert definition(load(path)) != before
    names = ["basic", "microscopy", "imagenet-c", "geometry", "laboratory", "surroundings", "stacked"]
    assert len({definition(SUITES[name]) for name in names}) == len(names)
    before = definition(SUITES["basic"])
    with monkeypatch.context() as patch:
        patch.setattr("cv2.__version__", "0.0")
        assert definition(SUITES["basic"]) != before
    # Every module that the suites are made of counts.
    modules = {path.stem for path in Path(stacked.__file__).parent.glob("*.py")}
    suites = {name.replace("-", "_") for name in SUITES}
    assert set(suite_checksums.PRIMITIVES) == modules - suites - {"__init__", "keras_cv_randaugment"}
    monkeypatch.setattr(suite_checksums, "PRIMITIVES", ("definition",))
    assert definition(SUITES["basic"]) != before


def test_an_unknown_suite_names_the_known_ones():
    with pytest.raises(UserError, match="no suite 'basics'; choose among held-out, basic, microscopy"):
        load("basics")


def test_images_and_labels_of_the_wrong_kind_are_refused(tmp_path):
    images, labels = cells()
    for bad, sentence in (
        ((images.astype(np.float32), labels), "uint8"),
        ((images[:0], labels[:0]), "n > 0"),
        ((images[..., :1], labels), "width, 3"),
        ((images, labels[:-1]), "one integer label"),
        ((images, labels.astype(float)), "one integer label"),
    ):
        with pytest.raises(UserError, match=sentence):
            materialise(["held-out"], *bad, seed=0, cache=tmp_path)


def test_rows_are_chosen_in_the_share_of_their_classes_and_no_class_is_left_out(rng):
    labels = np.repeat([0, 1, 2, 3], [600, 299, 100, 1])
    chosen = choose_rows(labels, 100, rng=rng)
    assert np.array_equal(chosen, np.unique(chosen))
    counts = np.bincount(labels[chosen], minlength=4)
    assert counts.tolist() == [60, 30, 10, 1]
    assert np.array_equal(choose_rows(labels, 5000, rng=rng), np.arange(1000))


def test_the_content_of_a_memory_map_is_that_of_the_array(tmp_path):
    images, labels = cells(300, 8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert content(mapped, labels.astype(np.int32)) == content(images, labels)
    images[299, 7, 7, 2] ^= 1
    assert content(images, labels) != content(mapped, labels)


@pytest.mark.usefixtures("without_keras_cv")
@pytest.mark.parametrize("side", [48, 96])
@pytest.mark.parametrize("name", [name for name in SUITES if name != "held-out"])
def test_damage_on_disk_grows_with_severity_for_every_corruption(name, side, tmp_path):
    images, labels = cells(24, side)
    made = materialise([name], images, labels, seed=0, rows_per_condition=24, cache=tmp_path)
    assert made
    damage: dict[str, list[float]] = {}
    for one in made:
        before, after = images[one.rows].astype(float), np.load(one.images_path)
        damage.setdefault(one.corruption, []).append(np.sqrt(((after - before) ** 2).mean((1, 2, 3))).mean())
    for corruption, grown in damage.items():
        assert len(grown) == len(SEVERITIES)
        assert grown[0] > 0.3, corruption
        assert all(b > a for a, b in itertools.pairwise(grown)), (corruption, grown)


def test_a_corruption_whose_package_is_absent_is_left_out_and_said_to_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites, "is_installed", lambda name: name != "keras_cv")
    made = make(["stacked"], tmp_path)
    assert {one.corruption for one in made} == {one.name for one in SUITES["stacked"].corruptions[1:]}
    assert "keras-cv-randaugment is left out: keras_cv is not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_keras_cvs_randaugment_does_more_at_a_higher_level_and_the_same_again(tmp_path):
    pytest.importorskip("keras_cv")
    images, _ = cells(70, 32)  # more than a batch, not a multiple of it
    np.save(tmp_path / "images.npy", images)
    names, levels = ("mild", "strong", "again"), ((1, 0.3), (4, 0.6), (1, 0.3))
    paths = [tmp_path / f"{name}.npy" for name in names]
    jobs = [[str(tmp_path / "images.npy"), str(path), level, 7] for path, level in zip(paths, levels, strict=True)]
    command = [sys.executable, "-m", SUITES["stacked"].corruptions[0].process, json.dumps(jobs)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    mild, strong, again = (np.load(path) for path in paths)
    assert np.array_equal(mild, again)
    moved = [np.abs(made.astype(float) - images).mean((1, 2, 3)) for made in (mild, strong)]
    assert moved[1].mean() > 1.5 * moved[0].mean() > 3
    assert len({picture.tobytes() for picture in strong}) == len(images)


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_number_of_images(tmp_path):
    """Four times the images, 150 MB of them: the peak of resident memory grows by less than a tenth of that."""
    program = textwrap.dedent(
        """
        import sys, numpy as np
        from pathlib import Path
        from build.score.suites import materialise
        folder, count = sys.argv[1], int(sys.argv[2])
        images = np.lib.format.open_memmap(folder + "/images.npy", "w+", np.uint8, (count, 64, 64, 3))
        for start in range(0, count, 500):
            images[start : start + 500] = np.random.default_rng(start).integers(0, 256, images[:500].shape, np.uint8)
        del images
        images = np.load(folder + "/images.npy", mmap_mode="r")
        def peak():  # of this process alone: ru_maxrss begins with the peak of the one that started it
            return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

        before = peak()
        made = materialise([sys.argv[3]], images, np.arange(count) % 8, seed=0, rows_per_condition=count, cache=folder)
        print(peak() - before, len(made))
        """
    )
    suite = tmp_path / "mine.py"
    suite.write_text(USER_SUITE)
    grown = []
    for count in (4000, 16000):
        folder = tmp_path / str(count)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), str(count), str(suite)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        kibibytes, made = map(int, done.stdout.split())
        assert made == 5
        grown.append(kibibytes / 1024)
    assert grown[1] - grown[0] < 0.1 * 12000 * 64 * 64 * 3 / 2**20, grown

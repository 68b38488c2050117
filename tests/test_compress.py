"""From a run to compressed weights that packaging takes."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax
from untrained import make_run

from build import package as packaging
from build.compress import candidates, command
from build.compress.candidates import METHODS, Material
from build.compress.command import compress
from build.compress.fine_tune import fine_tune
from build.compress.learning import lessons_of
from build.compress.measure import validation_conditions
from build.compress.sensitivity import sensitivities
from build.errors import UserError
from build.files import sha256
from build.recipes import find
from build.run_cells import cells_of_run
from build.runs import Run
from submission import weights
from submission.inference import Predictor

RECIPE = dataclasses.replace(find("smoke"), network="custom-cnn", filters=8, batch=16, learning_rate=2e-2)
QUICK = ("float16", "grid-1", "palette-16")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A tiny untrained network on synthetic cells; untrained, it names one class, but its logits tell files apart."""
    folder = tmp_path_factory.mktemp("compress")
    return make_run(folder, RECIPE, cells=240)


@pytest.fixture
def here(run, monkeypatch) -> Run:
    """The run, with its workplace as the working directory and nothing chosen yet."""
    monkeypatch.chdir(run.folder.parent.parent)
    for name in ("compressed.npz", "compression.json"):
        (run.folder / name).unlink(missing_ok=True)
    return run


def test_the_smallest_candidate_within_the_budget_is_chosen_and_packaged(here, tmp_path, monkeypatch):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    best = compress(here.id, budget=100, methods=QUICK, rows=8)
    known = json.loads((here.folder / "compression.json").read_text())
    assert [row["name"] for row in known["rows"]] == ["float32", *QUICK]
    smallest = min(known["rows"], key=lambda row: row["zip_bytes"])
    assert known["chosen"] == best.name == smallest["name"]
    for file in ("compression.md", "compression.png"):
        assert (here.folder / file).stat().st_size > 100
    packaging.stage(here, dataclasses.replace(RECIPE, views=2), tmp_path)
    arrays, meta = weights.load(tmp_path / "weights.npz")
    expected, _ = weights.load(here.folder / "compress" / f"{best.name}.npz")
    assert meta["views"] == 2
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)

    # A second call has nothing to make or to judge.
    monkeypatch.setattr(candidates, "make", lambda *_: pytest.fail("made anew"))
    monkeypatch.setattr(command, "answers", lambda *_: pytest.fail("judged anew"))
    before = sha256(here.folder / "compressed.npz")
    assert compress(here.id, budget=100, methods=QUICK, rows=8) == dataclasses.replace(
        best, load_seconds=pytest.approx(0, abs=5)
    )
    assert sha256(here.folder / "compressed.npz") == before


def test_a_method_that_fails_is_left_out_and_the_others_are_chosen_from(here, monkeypatch, capsys):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    make = candidates.make

    def failing(method, *rest):
        if method.name in ("palette-32", "tuned-grid-1"):
            raise UserError("It diverged.")
        return make(method, *rest)

    monkeypatch.setattr(candidates, "make", failing)
    assert compress(here.id, budget=100, methods=("palette-32", "float16"), rows=8).name == "float16"
    assert "palette-32 is left out: It diverged." in " ".join(capsys.readouterr().err.split())
    rows = json.loads((here.folder / "compression.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["float32", "float16"]
    with pytest.raises(UserError, match="It diverged"):
        compress(here.id, budget=100, methods=("palette-32", "tuned-grid-1"), rows=8)
    assert json.loads((here.folder / "compression.json").read_text())["rows"] == rows  # nothing else is chosen then


def test_the_recipe_s_limits_hold_where_none_is_given(here, monkeypatch):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    recipe, seen = dataclasses.replace(RECIPE, size_limit_mb=3.0, accuracy_budget=0.7), []
    monkeypatch.setattr(Run, "recipe", recipe)
    monkeypatch.setattr(command, "choose", lambda rows, **limits: seen.append(limits))
    assert compress(here.id, methods=("float16",), rows=8) is None
    assert seen == [{"size_limit_mb": 3.0, "budget": 0.7}]
    monkeypatch.setattr(command, "compress", lambda folder: None)
    with pytest.raises(UserError, match=r"meets its recipe: a zip of at most 3 MB that loses at most 0\.7 points"):
        command.staged_weights(here)


def test_weights_that_belong_to_other_weights_are_refused(here, monkeypatch):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    assert command.staged_weights(here) is None
    compress(here.id, budget=100, methods=("float16",), rows=8)
    assert command.staged_weights(here) == here.folder / "compressed.npz"
    report = here.folder / "compression.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"weights_sha256": "other"}))
    with pytest.raises(UserError, match="before its training went on; make them again: nox -s compress -- "):
        command.staged_weights(here)
    report.unlink()
    with pytest.raises(UserError, match="make them again"):
        command.staged_weights(here)
    (here.folder / "compressed.npz").unlink()
    assert command.staged_weights(here) is None
    report.write_text(json.dumps({"chosen": "float16"}))  # a compress that was stopped left no weights
    with pytest.raises(UserError, match="float16 was chosen, and its weights are not there"):
        command.staged_weights(here)


def test_what_is_damaged_is_made_again_or_told(here, monkeypatch):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    compress(here.id, budget=100, methods=("float16",), rows=8)
    target, folder = here.folder / "compressed.npz", here.folder / "compress"
    whole = target.read_bytes()
    target.write_bytes(whole[:-40])
    with pytest.raises(UserError, match="are damaged; make them again: nox -s compress -- "):
        command.staged_weights(here)
    for name, damage in (
        ("float16.npz", whole[:-40]),
        ("float16.answers.npz", b"PK"),
        ("float16.json", b"{"),
        ("reference.json", b""),
    ):
        (folder / name).write_bytes(damage)
        compress(here.id, budget=100, methods=("float16",), rows=8)
        assert target.read_bytes() == whole


def test_a_run_that_is_being_trained_is_not_compressed(here):
    with here.locked(), pytest.raises(UserError, match="is being trained or compressed by another process"):
        compress(here.id, budget=100, methods=("float16",), rows=8)


def test_no_candidate_within_the_limits_leaves_nothing_to_package(here, monkeypatch):
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    assert compress(here.id, size_limit_mb=1e-3, budget=100, methods=("float16",), rows=8) is None
    assert not (here.folder / "compressed.npz").exists()


def test_an_unknown_method_is_named_with_the_known_ones(here):
    with pytest.raises(UserError, match=r"no compression method named 'zip'; the methods are float32, .*tuned-grid-1"):
        compress(here.id, methods=("zip",))


def test_the_kernel_that_matters_most_is_the_most_sensitive(here):
    material = Material(here, steps=1)
    arrays = {name: array.copy() for name, array in material.arrays.items()}
    arrays["block_1_conv/kernel"][..., 1:] = 0  # of its channels only one is left
    images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3)).astype(np.uint8)
    harm = sensitivities(arrays, material.meta["spec"], images)
    assert harm.keys() == {name for name in arrays if name.endswith("/kernel")}
    assert all(value > 0 for value in harm.values())
    arrays["logits/kernel"][:] *= 1e-4  # logits are then nearly equal whatever the kernels before them are
    small = sensitivities(arrays, material.meta["spec"], images)
    assert max(small.values()) < 1e-3 * max(harm.values())


def test_fine_tuning_brings_answers_back_and_stays_on_the_grid(here, tmp_path):
    material = Material(here, steps=30)
    steps = dict.fromkeys(material.sensitivities, 1.0)
    lessons = lessons_of(here)
    with material.batches(lessons) as batches:
        x = batches.make(0)[0]
        palettes, others = fine_tune(
            material.arrays, material.meta["spec"], steps, batches, learning_rate=lessons.learning_rate
        )
    assert palettes.keys() == steps.keys()
    assert palettes.keys().isdisjoint(others)
    rounded = material.arrays | {name: candidates.values.grid(material.arrays[name], 1.0) for name in steps}
    logits = []
    for number, arrays in enumerate((material.arrays, rounded, palettes | others)):
        weights.save(tmp_path / f"{number}.npz", arrays, material.meta, storage="float32")
        logits.append(log_softmax(Predictor(tmp_path / f"{number}.npz").logits(x).astype(np.float64), axis=1))
    harm = [(np.exp(logits[0]) * (logits[0] - found)).sum(1).mean() for found in logits[1:]]
    assert harm[1] < 0.5 * harm[0]
    for name, palette in palettes.items():
        scale = candidates.values.scales(material.arrays[name], 1.0)
        np.testing.assert_array_equal(palette.scale, scale)
        np.testing.assert_array_equal(palette.codebook, np.rint(palette.codebook))


def test_every_method_without_tfmot_writes_weights_of_the_network(here, tmp_path):
    material = Material(here, steps=2)
    sizes = {}
    for name in candidates.DEFAULT:
        candidates.make(METHODS[name], material, tmp_path / f"{name}.npz")
        arrays, meta = weights.load(tmp_path / f"{name}.npz")
        assert meta == material.meta
        assert {key: array.shape for key, array in arrays.items()} == {
            key: array.shape for key, array in material.arrays.items()
        }
        sizes[name] = (tmp_path / f"{name}.npz").stat().st_size
    assert sizes["grid-1"] < sizes["grid-0.5"] < sizes["grid-0.1"] < sizes["float16"] < sizes["float32"]


def test_a_palette_holds_every_kernel_whatever_its_network_calls_it_and_depthwise_ones_get_256_values():
    depthwise = ("stage_0_block_0_depthwise/kernel", "block1a_dwconv/kernel", "block2_sepconv1/depthwise_kernel")
    others = ("stem_conv/kernel", "block2_sepconv1/pointwise_kernel")
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 1, (5, 5, 64)).astype(np.float32) for name in (*depthwise, *others, "stem_conv/bias")}
    made = candidates._arrays(METHODS["palette-16"], SimpleNamespace(arrays=arrays))
    assert made["stem_conv/bias"] is arrays["stem_conv/bias"]
    counts = {name: len(made[name].codebook) for name in (*depthwise, *others)}
    assert counts == dict.fromkeys(depthwise, 256) | dict.fromkeys(others, 16)


def test_lessons_are_training_cells_and_candidates_are_judged_on_validation_cells(here, monkeypatch):
    cells, split = cells_of_run(here)
    assert np.isin(lessons_of(here).rows, split.train).all()
    monkeypatch.setattr("build.compress.measure.SUITES", ("held-out",))
    (one,) = validation_conditions(here, 8)
    np.testing.assert_array_equal(np.load(one.images_path), cells.images[split.validation])
    np.testing.assert_array_equal(one.labels, cells.labels[split.validation])


def test_a_run_whose_file_was_moved_goes_on_with_the_cells_in_the_cache(here, monkeypatch, capsys):
    before, _ = cells_of_run(here)
    facts = here.facts
    moved = dataclasses.replace(here)
    monkeypatch.setattr(Run, "facts", facts | {"data": facts["data"] | {"source": "moved.npz"}})
    found, _ = cells_of_run(moved)
    np.testing.assert_array_equal(found.images, before.images)
    assert "moved.npz, which run" in capsys.readouterr().err
    shutil.rmtree("data")
    with pytest.raises(UserError, match=r"The data of run .* cannot be read: .*moved\.npz.* Put it back there\."):
        cells_of_run(moved)

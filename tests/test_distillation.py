"""A student learns its teachers' answers: the loss against its formula, no gradient to a teacher, and whole runs."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_cells
from test_devices import losses, trained
from test_resume import assert_equal, killed
from toy_cells import CLASSES, RECIPE

from build.errors import UserError
from build.files import sha256
from build.train import pretrained, unseen
from build.train.classifier import Classifier
from build.train.distillation import Teacher, find
from build.train.fit import train
from build.train.losses import VIEWS, Objective
from submission import contract, ensemble, weights
from submission.inference import Predictor
from submission.network import build, complete, variables

SPEC = {
    "network": "custom-cnn",
    "depth": 3,
    "filters": 4,
    "classes": CLASSES,
    "image_shape": list(contract.IMAGE_SHAPE),
}


def write_network(path, **changes):
    """A weights file of an untrained network whose answers are far from even."""
    spec = complete(SPEC | changes)
    arrays = {name: np.asarray(variable) for name, variable in variables(build(spec)).items()}
    arrays["logits/kernel"] = arrays["logits/kernel"] * 4
    weights.save(path, arrays, {"spec": spec}, storage="float32")
    return path


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("teacher") / "weights.npz", seed=1)


cells = toy_cells.cells


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_the_loss_is_hintons_weighted_by_class(rng):
    logits, taught = (rng.normal(0, 2, (6, 4)).astype(np.float32) for _ in range(2))
    labels = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 1, 1]]
    given = np.concatenate([labels, taught], axis=1)
    loss = np.array(Objective(class_weight=[1, 2, 4, 8], teacher_weight=0.3, temperature=2.5).call(given, logits))
    p, log_q = np.exp(log_softmax(taught / 2.5)), log_softmax(logits / 2.5)
    divergence = (p * (np.log(p) - log_q)).sum(1)
    entropy = -(labels * log_softmax(logits)).sum(1)
    np.testing.assert_allclose(loss, labels @ [1, 2, 4, 8] * (0.7 * entropy + 0.3 * 2.5**2 * divergence), rtol=1e-4)


def test_a_student_that_answers_as_its_teacher_loses_nothing_to_it(rng):
    taught = rng.normal(0, 2, (3, 4)).astype(np.float32)
    given = np.concatenate([np.eye(4, dtype=np.float32)[:3], taught], axis=1)
    objective = Objective(class_weight=np.ones(4), teacher_weight=1.0, temperature=4.0)
    np.testing.assert_allclose(np.array(objective.call(given, taught + 3)), 0, atol=1e-5)


def test_a_teacher_answers_as_the_predictor_does(teacher_path, tmp_path, rng):
    other = write_network(tmp_path / "other.npz", network="convnext", size="atto", depth=None, filters=None, seed=2)
    images = rng.integers(0, 256, (5, *contract.IMAGE_SHAPE)).astype(np.uint8)
    mean = (Predictor(teacher_path).logits(images) + Predictor(other).logits(images)) / 2
    np.testing.assert_allclose(Teacher([teacher_path, other])(tf.constant(images)).numpy(), mean, atol=1e-3, rtol=1e-3)
    ensemble.join([teacher_path, other], tmp_path / "both.npz", {})
    np.testing.assert_allclose(
        Teacher([tmp_path / "both.npz"])(tf.constant(images)).numpy(), mean, atol=1e-3, rtol=1e-3
    )
    ensemble.join([teacher_path, other], tmp_path / "shared.npz", {}, shares=[0.9, 0.1])
    shared = Predictor(tmp_path / "shared.npz").logits(images)
    assert np.abs(shared - mean).max() > 0.01
    np.testing.assert_allclose(
        Teacher([tmp_path / "shared.npz"])(tf.constant(images)).numpy(), shared, atol=1e-3, rtol=1e-3
    )
    # beside another file its networks together have their number's weight, as with equal shares
    beside = (2 * shared + Predictor(other).logits(images)) / 3
    np.testing.assert_allclose(
        Teacher([tmp_path / "shared.npz", other])(tf.constant(images)).numpy(), beside, atol=1e-3, rtol=1e-3
    )


def test_a_teacher_sees_smaller_images_at_its_own_size_and_of_views_the_plain_one(teacher_path, rng):
    small = rng.integers(0, 256, (4, 48, 48, 3)).astype(np.uint8)
    large = keras.ops.image.resize(small.astype(np.float32), contract.IMAGE_SHAPE[:2], interpolation="bilinear")
    expected = Predictor(teacher_path).logits(np.asarray(large))
    teacher = Teacher([teacher_path])
    np.testing.assert_allclose(teacher(tf.constant(small)).numpy(), expected, atol=1e-3)
    views = np.stack([small, *(rng.permutation(small) for _ in range(VIEWS - 1))], axis=1)
    np.testing.assert_allclose(teacher(tf.constant(views)).numpy(), expected, atol=1e-3)


def compiled(teacher, **options):
    """A student of another first draw than its teacher, ready to fit."""
    student = Classifier(build(complete(SPEC | {"seed": 7})), teacher)
    student.compile(optimizer=keras.optimizers.Adam(1e-2), loss=Objective(class_weight=np.ones(CLASSES), **options))
    return student


def test_with_weight_one_a_student_s_answers_become_the_teacher_s(teacher_path, rng):
    images = toy_cells.prepared(16).cells.images
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, 16)]  # they must not matter
    teacher, taught = Teacher([teacher_path]), log_softmax(Predictor(teacher_path).logits(images))
    student = compiled(teacher, teacher_weight=1.0, temperature=2.0)

    def distance():
        return np.abs(log_softmax(np.asarray(student.network(images))) - taught).mean()

    before = distance()
    student.fit(images, labels, batch_size=16, epochs=60, verbose=0, shuffle=False)
    assert before > 1
    assert distance() < 0.25 * before


def test_no_gradient_reaches_a_teacher_and_none_of_its_weights_learns(teacher_path, rng):
    teacher = Teacher([teacher_path])
    (network, *_), images = teacher._members[0], tf.constant(rng.random((2, *contract.IMAGE_SHAPE), np.float32) * 255)
    held = [np.array(variable) for variable in network.variables]
    with tf.GradientTape() as tape:
        tape.watch(images)
        for variable in network.variables:
            tape.watch(variable.value)
        answers = tf.reduce_sum(teacher(images))
    assert tape.gradient(answers, [images, *(variable.value for variable in network.variables)]) == [None] * (
        1 + len(held)
    )
    student = compiled(teacher, teacher_weight=1.0)
    assert not {id(variable) for variable in network.variables} & {id(variable) for variable in student.variables}
    student.fit(images.numpy(), np.eye(CLASSES, dtype=np.float32)[:2], epochs=1, verbose=0)
    for before, variable in zip(held, network.variables, strict=True):
        np.testing.assert_array_equal(before, np.array(variable))


def test_validation_does_not_ask_the_teacher(teacher_path, rng):
    images, labels = rng.random((4, *contract.IMAGE_SHAPE), np.float32) * 255, np.eye(CLASSES, dtype=np.float32)[:4]
    taught = compiled(Teacher([teacher_path]), teacher_weight=0.9).evaluate(images, labels, verbose=0)
    assert taught == pytest.approx(compiled(None).evaluate(images, labels, verbose=0))


@pytest.fixture(scope="module")
def recipe(teacher_path):
    return dataclasses.replace(RECIPE, teachers=(str(teacher_path),))


@pytest.mark.parametrize(
    "changes",
    [
        {"mixup_alpha": 0.2},
        pytest.param(
            {"jsd_weight": 1.0, "resolutions": ((32, 0.5), (48, 0.5))},
            marks=[pytest.mark.slow, pytest.mark.exhaustive],
        ),
    ],
    ids=["mixed images", "views, two resolutions"],
)
def test_with_a_teacher_too_a_resumed_run_is_a_straight_one_to_the_bit(cells, recipe, tmp_path, changes):
    recipe = dataclasses.replace(recipe, **changes)
    straight = train(recipe, cells, seed=0, root=tmp_path / "straight")
    run = killed(recipe, tmp_path / "killed")
    train(run.recipe, cells, seed=0, resume=run)
    assert_equal(run, straight)
    (fact,) = run.facts["teachers"]
    assert fact["teacher"] == recipe.teachers[0]
    assert len(fact["sha256"]) == 64


def test_a_teacher_changes_what_is_learned_and_a_changed_one_is_noticed(cells, tmp_path):
    path = write_network(tmp_path / "weights.npz", seed=1)
    taught = dataclasses.replace(RECIPE, epochs=1, teachers=(str(path),))
    run = train(taught, cells, seed=0, root=tmp_path / "runs")
    alone = train(dataclasses.replace(taught, teachers=()), cells, seed=0, root=tmp_path / "runs")
    assert run.history[0]["loss"] != alone.history[0]["loss"]
    write_network(path, seed=2)
    with pytest.raises(UserError, match=rf"teacher {path} has other weights than when run {run.id} began"):
        train(run.recipe, cells, seed=0, resume=run)


def test_a_teacher_that_has_seen_test_cells_is_refused(cells, teacher_path, tmp_path, capsys):
    recipe = dataclasses.replace(RECIPE, teachers=(str(tmp_path / "weights.npz"),))
    (tmp_path / "weights.npz").write_bytes(teacher_path.read_bytes())
    find(recipe, cells)
    assert "cannot be told" in capsys.readouterr().err
    cells.split.save(tmp_path / "split.npz")
    find(recipe, cells)
    assert "cannot be told" not in capsys.readouterr().err
    moved = dataclasses.replace(cells.split, train=np.append(cells.split.train, cells.split.test[:2]))
    moved.save(tmp_path / "split.npz")
    with pytest.raises(UserError, match="was trained on 2 of this training's test cells"):
        find(recipe, cells)


def test_of_a_file_that_another_library_wrote_it_is_said_that_nobody_can_tell(cells, tmp_path, capsys, monkeypatch):
    file = tmp_path / "tuned.h5"
    file.write_bytes(b"weights")
    unseen.check_beginning(str(file), cells.split)
    assert "tuned.h5 has seen this training's test cells cannot be told" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setitem(pretrained.PUBLISHED, ("convnext", "tiny"), ("https://a", sha256(file)))
    for beginning in (str(file), "imagenet", "drawn", "none"):
        unseen.check_beginning(beginning, cells.split)
    assert capsys.readouterr().err == ""


def test_a_network_that_begins_with_weights_that_saw_test_cells_is_refused(cells, tmp_path, capsys):
    first = train(dataclasses.replace(RECIPE, epochs=1), cells, seed=0, root=tmp_path / "runs")
    recipe = dataclasses.replace(RECIPE, epochs=1, weights=str(first.weights_path))
    second = train(recipe, cells, seed=0, root=tmp_path / "runs")
    assert second.facts["weights_sha256"] == sha256(first.weights_path)
    assert "cannot be told" not in capsys.readouterr().err
    moved = dataclasses.replace(cells.split, train=np.append(cells.split.train, cells.split.test[:2]))
    moved.save(first.split_path)
    with pytest.raises(UserError, match="was trained on 2 of this training's test cells"):
        train(recipe, cells, seed=0, root=tmp_path / "runs")
    first.split_path.unlink()
    unseen.check("The network", first.weights_path, cells.split)
    assert "Whether the network has seen" in capsys.readouterr().err.replace("\n", " ")
    arrays, meta = weights.load(first.weights_path)
    weights.save(first.weights_path, arrays, meta | {"pretraining": {}}, storage="float32")
    unseen.check("The network", first.weights_path, cells.split)
    assert capsys.readouterr().err == ""


def test_a_teacher_that_is_nowhere_is_one_sentence(cells, recipe):
    with pytest.raises(UserError, match="Found no run 'nowhere'"):
        find(dataclasses.replace(recipe, teachers=("nowhere",)), cells)


def test_a_file_that_is_no_teacher_is_one_sentence(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"A teacher cannot be used: .* is damaged"):
        Teacher([tmp_path / "weights.npz"])
    write_network(tmp_path / "weights.npz", classes=5)
    with pytest.raises(UserError, match=r"A teacher cannot be used: .* for 5 classes"):
        Teacher([tmp_path / "weights.npz"])


@pytest.mark.slow
def test_a_student_is_taught_the_same_on_other_backends_devices_and_precisions(teacher_path, tmp_path):
    settings = {"dropout": 0.0, "epochs": 2, "teachers": [str(teacher_path)]}
    reference = losses(trained(tmp_path, **settings)[1])
    alone = losses(trained(tmp_path, **settings | {"teachers": []})[1])
    assert alone != pytest.approx(reference, rel=0.1)
    for changes, tolerance in (
        ({"backend": "jax"}, 0.02),
        ({"devices": 2}, 0.02),
        ({"precision": "mixed_float16"}, 0.3),
    ):
        assert losses(trained(tmp_path, **settings, **changes)[1]) == pytest.approx(reference, rel=tolerance), changes

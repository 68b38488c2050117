"""The training's objective: cross-entropy on soft labels, a teacher's answers and AugMix's consistency loss, on any backend.

model.compile(loss=Objective(class_weight=plan.class_weight, label_smoothing=0.1, jsd_weight=12.0), metrics=[accuracy])
"""

import math
from collections.abc import Sequence

import keras
from keras import ops

VIEWS = 3
"""Of an image under the consistency loss: itself and two AugMix views."""


class Objective(keras.losses.Loss):
    """Weighted cross-entropy of the plain image, plus the consistency of its views where there are any.

    Called with labels (B, K), one-hot or mixed, and logits (B, K) or, with views, (B, 3, K): plain, view 1, view 2. Behind the labels
    a teacher's logits may stand, (B, 2K) in all; then the loss of an image is (1 - a) CE + a T^2 KL(teacher || student), with both
    divided by the temperature T (Hinton et al. 2015, section 2; T^2 keeps the gradient's size), weighted by class as a whole.
    """

    def __init__(
        self,
        *,
        class_weight: Sequence[float],
        label_smoothing: float = 0.0,
        jsd_weight: float = 0.0,
        teacher_weight: float = 0.0,
        temperature: float = 1.0,
    ):
        super().__init__(name="objective")
        self.class_weight = [float(weight) for weight in class_weight]
        self.label_smoothing = label_smoothing
        self.jsd_weight = jsd_weight
        self.teacher_weight, self.temperature = teacher_weight, temperature

    def call(self, y_true, y_pred):
        """Loss of each image, (B,) float32; keras averages it over the (global) batch."""
        classes = len(self.class_weight)
        assert y_true.shape[-1] in (classes, 2 * classes)
        y_true, teacher = y_true[:, :classes], y_true[:, classes:]
        log_p = ops.log_softmax(y_pred, axis=-1)
        plain = log_p if len(log_p.shape) == 2 else log_p[:, 0]
        # A mixed image weighs as its classes do, in their shares.
        weight = ops.matmul(y_true, ops.convert_to_tensor(self.class_weight, plain.dtype))
        smooth = y_true * (1 - self.label_smoothing) + self.label_smoothing / classes
        loss = -ops.sum(smooth * plain, axis=-1)
        if teacher.shape[-1]:
            log_q, log_t = (ops.log_softmax(x / self.temperature, axis=-1) for x in (plain, teacher))
            answers = self.temperature**2 * kullback_leibler(log_t, log_q)
            loss = (1 - self.teacher_weight) * loss + self.teacher_weight * answers
        loss = weight * loss
        if len(log_p.shape) == 3 and self.jsd_weight > 0:
            loss = loss + self.jsd_weight * jensen_shannon(log_p)
        return loss


def kullback_leibler(log_p, log_q):
    """KL(p || q) of log-probabilities (B, K) each, (B,), 0 or more."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def jensen_shannon(log_p):
    """Jensen-Shannon divergence of the distributions along axis 1 (AugMix, Hendrycks et al. 2020, section 3, equation 4).

    log_p: log-probabilities (B, views, K). Returns (B,), between 0 and log(views). In logarithms throughout, so that neither a
    vanishing probability nor a sure one needs clipping.
    """
    log_mixture = ops.logsumexp(log_p, axis=1, keepdims=True) - math.log(log_p.shape[1])
    return ops.mean(ops.sum(ops.exp(log_p) * (log_p - log_mixture), axis=-1), axis=1)


def accuracy(y_true, y_pred):
    """1 where the plain image's largest logit is its label (of a mixed image: the larger share), else 0; (B,) float32."""
    plain = y_pred if len(y_pred.shape) == 2 else y_pred[:, 0]
    return ops.cast(ops.equal(ops.argmax(plain, axis=-1), ops.argmax(y_true, axis=-1)), "float32")

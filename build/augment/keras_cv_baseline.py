"""keras_cv's own AugMix and RandAugment, for recipes with augmenter "keras_cv": a baseline to compare with,
unmaintained since April 2024.

About ten times as slow as ours, and not the paper's AugMix (keras_cv 0.9: rotations take degrees for radians,
translate_y is never drawn, solarize grows as severity falls). It needs TensorFlow whatever the backend of the training.
Import it before tensorflow_model_optimization: the other way round the import of keras_cv fails.

Same generator, same bytes: all draws come from the layers' generators, which are seeded from `rng` for each batch, under a lock,
and loops run in order. keras_cv itself takes strengths and mixing weights from tf.random, whose seed is part of the graph:
they would be those of the batch that was traced first, again in every batch.
"""

import threading

import keras_cv
import numpy as np
import tensorflow as tf

from build.recipe import Recipe


class InOrder:
    """Images one after the other: iterations in parallel would take their draws in another order in every run."""

    def _map_fn(self, func, inputs):
        return tf.map_fn(
            func, inputs, fn_output_signature=self._compute_output_signature(inputs), parallel_iterations=1
        )


class Drawn(keras_cv.core.FactorSampler):
    """keras_cv's normal or uniform sampler, drawing from a generator that can be seeded anew."""

    def __init__(self, distribution, generator: tf.random.Generator):
        self.distribution, self.generator = distribution, generator

    def __call__(self, shape=(), dtype="float32"):
        """Samples (*shape)."""
        of = self.distribution
        if isinstance(of, keras_cv.core.NormalFactorSampler):
            return tf.clip_by_value(self.generator.normal(shape, of.mean, of.stddev, dtype), of.min_value, of.max_value)
        return self.generator.uniform(shape, of.lower, of.upper, dtype)


class AugMix(InOrder, keras_cv.layers.AugMix):
    """keras_cv.layers.AugMix whose draws come in a fixed order."""

    def _gamma(self, alpha) -> tf.Tensor:
        return tf.random.stateless_gamma(tf.shape(alpha), self._random_generator.make_seeds()[:, 0], alpha)

    def _sample_from_dirichlet(self, alpha):
        drawn = self._gamma(tf.convert_to_tensor(alpha))
        return drawn / tf.reduce_sum(drawn, axis=-1, keepdims=True)

    def _sample_from_beta(self, alpha, beta):
        first, second = (self._gamma(tf.convert_to_tensor(value)) for value in (alpha, beta))
        return first / (first + second)

    def augment_image(self, image, transformation=None, **_):
        """keras_cv's mixing of keras_cv's chains, with loops that run in order."""
        share, weights = transformation["weight_sample"], transformation["chain_mixing_weights"]

        def add_chain(chain, result):
            depth = self._sample_depth()
            _, augmented = tf.while_loop(
                lambda done, _: done < depth, self._loop_on_depth, [tf.constant(0), image], parallel_iterations=1
            )
            return chain + 1, result + tf.gather(weights, chain) * augmented

        start = [tf.constant(0), tf.zeros_like(image)]
        _, mixed = tf.while_loop(lambda chain, _: chain < self.num_chains, add_chain, start, parallel_iterations=1)
        return share * image + (1 - share) * mixed


class RandAugment(InOrder, keras_cv.layers.RandAugment):
    """keras_cv.layers.RandAugment whose draws come in a fixed order."""


class KerasCvBaseline:
    """The two layers with a recipe's settings, uint8 (B, H, W, 3) in and out."""

    def __init__(self, recipe: Recipe):
        self._lock = threading.Lock()
        # Some of the layers take the process's generator, whatever seed they are given. TensorFlow would make it from the clock, which
        # recipes that ask for determinism forbid, and two objects would share it.
        tf.random.set_global_generator(tf.random.Generator.from_seed(0))
        self._augmix = _augmix(
            recipe.augmix_severity, recipe.augmix_alpha, recipe.augmix_width, recipe.augmix_depth or [1, 3]
        )
        self._copies = _augmix(recipe.copies_severity, recipe.copies_alpha, recipe.copies_width, [1, 3])
        self._randaugment = RandAugment(
            (0, 255),
            augmentations_per_image=recipe.randaugment_operations,
            magnitude=recipe.randaugment_magnitude,
            magnitude_stddev=recipe.randaugment_spread,
            seed=0,
            dtype="float32",
        )
        layers = self._augmix, self._copies, self._randaugment
        for layer in layers:
            for part in layer._flatten_layers():
                for name, value in list(vars(part).items()):
                    if isinstance(value, (keras_cv.core.NormalFactorSampler, keras_cv.core.UniformFactorSampler)):
                        setattr(part, name, Drawn(value, part._random_generator))
        self._functions = {
            layer: tf.function(layer.__call__, input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
            for layer in layers
        }

    def augmix(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """keras_cv.layers.AugMix of uint8 images."""
        return self._call(self._augmix, images, rng)

    def augmix_copies(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """keras_cv.layers.AugMix with the settings of the balancing copies."""
        return self._call(self._copies, images, rng)

    def randaugment(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """keras_cv.layers.RandAugment of uint8 images."""
        return self._call(self._randaugment, images, rng)

    def _call(self, layer, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not len(images):
            return images
        seed = int(rng.integers(1, 2**31))
        with self._lock, tf.device("CPU"):
            generators = {
                id(part._random_generator): part._random_generator
                for part in layer._flatten_layers()
                if _seedable(part)
            }
            for number, generator in enumerate(generators.values()):
                generator.reset_from_seed(seed + number)
            augmented = self._functions[layer](tf.constant(images, tf.float32)).numpy()
        return np.clip(np.rint(augmented), 0, 255).astype(np.uint8)


def _augmix(severity: float, alpha: float, width: int, depth: int | list[int]) -> AugMix:
    return AugMix(
        (0, 255), severity=severity / 10, num_chains=width, chain_depth=depth, alpha=alpha, seed=0, dtype="float32"
    )


def _seedable(layer) -> bool:
    return hasattr(getattr(layer, "_random_generator", None), "reset_from_seed")

"""Dense layers whose products are made of bfloat16, for processors that multiply those faster than float32: many times with Intel's
AMX, less with AVX-512's own instruction (AMD from Zen 4 on), where a whole step takes 0.78 of the time.

    network = submission.network.build(spec, parts=PARTS)

More than half of the time that a CPU needs for a step of ConvNeXt goes into its pointwise layers' products. All else stays float32,
weights, depthwise layers, norms and residual sums: Keras' mixed_bfloat16 turns most of these into bfloat16 as well, which a CPU is
slow at, and so gains a tenth in all. Only what lies between the two products of a block, the largest features of the network, is
bfloat16 too. Products add up in float32 and are rounded once. `nox -s bench -- train` has the figures.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from build.train.fast_layers import FAST, compiled, gelu, gelu_slope

BFLOAT16 = tf.bfloat16


@compiled
def _biased(products, bias):
    return tf.cast(products, tf.float32) + bias


@compiled
def _gelu(products, bias):
    return tf.cast(gelu(tf.cast(products, tf.float32) + bias), BFLOAT16)


@compiled
def _gelu_gradient(products, bias, upstream):
    slope = gelu_slope(tf.cast(products, tf.float32) + bias)
    return tf.cast(tf.cast(upstream, tf.float32) * slope, BFLOAT16)


class Bfloat16Dense(keras.layers.Dense):
    """(..., n) of float32 or bfloat16 -> (..., units) float32, or with `gelu` the exact GELU of it in bfloat16."""

    def __init__(self, units: int, *, gelu: bool, name: str):
        # Without autocast: Keras would make float32 of the bfloat16 that one layer leaves for the next.
        super().__init__(units, kernel_initializer="zeros", name=name, autocast=False)
        self.gelu = gelu

    def call(self, x):
        """Keeps inputs and products in bfloat16; the gradient computes the GELU's part again."""
        outputs = _product(x, tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias), self.gelu)
        outputs.set_shape((*x.shape[:-1], self.units))
        return outputs

    def compute_output_spec(self, x):
        """The shape, and the type that the next layer will get."""
        return keras.KerasTensor((*x.shape[:-1], self.units), "bfloat16" if self.gelu else "float32")


def _product(x, kernel, bias, activated: bool):
    units = kernel.shape[-1]

    @tf.custom_gradient
    def product(x, kernel, bias):
        rows, matrix = tf.cast(tf.reshape(x, (-1, x.shape[-1])), BFLOAT16), tf.cast(kernel, BFLOAT16)
        products = rows @ matrix

        def gradient(upstream):
            above = tf.reshape(upstream, (-1, units))
            above = _gelu_gradient(products, bias, above) if activated else tf.cast(above, BFLOAT16)
            of_x = tf.reshape(tf.matmul(above, matrix, transpose_b=True), tf.shape(x))
            of_kernel = tf.matmul(rows, above, transpose_a=True)
            # The sum over rows as a product too: TensorFlow's own sum of bfloat16 is slow and rounds at every addition.
            of_bias = (tf.ones((1, tf.shape(above)[0]), BFLOAT16) @ above)[0]
            return tf.cast(of_x, x.dtype), tf.cast(of_kernel, tf.float32), tf.cast(of_bias, tf.float32)

        outputs = (_gelu if activated else _biased)(products, bias)
        return tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [units]], 0)), gradient

    return product(x, kernel, bias)


def _expand(units: int, block: str) -> Callable:
    # The second layer does nothing but to stand where others have the GELU: fine-tuning counts layers.
    product = Bfloat16Dense(units, gelu=True, name=f"{block}_expand")
    place = keras.layers.Identity(name=f"{block}_gelu", autocast=False)
    return lambda x: place(product(x))


PARTS = FAST._replace(
    dense=lambda units, name: Bfloat16Dense(units, gelu=False, name=name),
    expand=_expand,
)

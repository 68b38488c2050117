"""Pointwise layers whose products are made of bfloat16, for processors that multiply those faster than float32: many times with Intel's
AMX, less with AVX-512's own instruction (AMD from Zen 4 on), where a whole step of ConvNeXt takes 0.78 of the time.

    network = submission.network.build(spec, parts=PARTS)

More than half of the time that a CPU needs for a step of ConvNeXt goes into its pointwise layers' products. All else stays float32,
weights, depthwise layers, norms and residual sums: Keras' mixed_bfloat16 turns most of these into bfloat16 as well, which a CPU is
slow at, and so gains a tenth in all. Only what lies between the two products of a block, the largest features of the network, is
bfloat16 too. Products add up in float32 and are rounded once. In EfficientNet-Lite a batch normalization, a depthwise layer and
two ReLU6 lie between them as well, so these take bfloat16 and leave it; statistics are float32, and what TensorFlow is slow at in
bfloat16 (gradients of strided depthwise layers and of large kernels) is computed in float32. `nox -s bench -- train` has the figures.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from build.train.fast_layers import (
    FAST,
    SMALLEST_KERNEL,
    DepthwiseConv2D,
    PointwiseConv2D,
    compiled,
    gelu,
    gelu_slope,
    kernel_gradient,
)
from submission.parts import BatchNormalization

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


def _factors(x, kernel):
    """(..., n) and (n, units) as the two matrices of a product in bfloat16."""
    return tf.cast(tf.reshape(x, (-1, x.shape[-1])), BFLOAT16), tf.cast(kernel, BFLOAT16)


def _factor_gradients(x, rows, matrix, above):
    """Of x, in its own type and shape, and of the kernel, float32; `above` is the gradient of the product."""
    of_x = tf.reshape(tf.matmul(above, matrix, transpose_b=True), tf.shape(x))
    of_kernel = tf.matmul(rows, above, transpose_a=True)
    return tf.cast(of_x, x.dtype), tf.cast(of_kernel, tf.float32)


def _product(x, kernel, bias, activated: bool):
    units = kernel.shape[-1]

    @tf.custom_gradient
    def product(x, kernel, bias):
        rows, matrix = _factors(x, kernel)
        products = rows @ matrix

        def gradient(upstream):
            above = tf.reshape(upstream, (-1, units))
            above = _gelu_gradient(products, bias, above) if activated else tf.cast(above, BFLOAT16)
            # The sum over rows as a product too: TensorFlow's own sum of bfloat16 is slow and rounds at every addition.
            of_bias = (tf.ones((1, tf.shape(above)[0]), BFLOAT16) @ above)[0]
            return *_factor_gradients(x, rows, matrix, above), tf.cast(of_bias, tf.float32)

        outputs = (_gelu if activated else _biased)(products, bias)
        return tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [units]], 0)), gradient

    return product(x, kernel, bias)


def _expand(units: int, block: str) -> Callable:
    # The second layer does nothing but to stand where others have the GELU: fine-tuning counts layers.
    product = Bfloat16Dense(units, gelu=True, name=f"{block}_expand")
    place = keras.layers.Identity(name=f"{block}_gelu", autocast=False)
    return lambda x: place(product(x))


# --- EfficientNet-Lite: all that lies between a block's products ----------------------------------------------------


class Bfloat16Pointwise(PointwiseConv2D):
    """(B, H, W, C) float32 or bfloat16 -> (B, H, W, units) bfloat16."""

    def __init__(self, units: int, name: str):
        super().__init__(units, name, autocast=False)

    def call(self, x):
        """One product, and two for its gradient."""

        @tf.custom_gradient
        def product(x, kernel):
            rows, matrix = _factors(x, kernel)

            def gradient(upstream):
                return _factor_gradients(x, rows, matrix, tf.reshape(upstream, (-1, self.filters)))

            return tf.reshape(rows @ matrix, (-1, *x.shape[1:-1], self.filters)), gradient

        return product(x, tf.convert_to_tensor(self.kernel)[0, 0])

    def compute_output_spec(self, x):
        """The shape, and the type that the next layer will get."""
        return keras.KerasTensor((*x.shape[:-1], self.filters), "bfloat16")


class _KeepsType(keras.layers.Layer):
    """What layers share that leave the type that comes, float32 or bfloat16."""

    def __init__(self, *arguments, **kwargs):
        super().__init__(*arguments, autocast=False, **kwargs)

    def compute_output_spec(self, x, **_):
        """The shape, and the type that the next layer will get."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)


class Bfloat16DepthwiseConv2D(_KeepsType, DepthwiseConv2D):
    """(B, H, W, C) float32 or bfloat16 -> (B, H', W', C) of the same type."""

    def call(self, x):
        """Of bfloat16 each part in the type that TensorFlow is fast in."""
        if x.dtype != BFLOAT16:
            return super().call(x)
        settings = {"strides": [1, *self.strides, 1], "padding": self.padding.upper()}
        of_input = BFLOAT16 if self.strides == (1, 1) else tf.float32
        of_kernel = BFLOAT16 if self.kernel_size[0] < SMALLEST_KERNEL else tf.float32

        @tf.custom_gradient
        def convolved(x, kernel):
            def gradient(upstream):
                inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=tf.shape(x),
                    filter=tf.cast(kernel, of_input),
                    out_backprop=tf.cast(upstream, of_input),
                    **settings,
                )
                if self.by_product(x):
                    return tf.cast(inputs, BFLOAT16), kernel_gradient(x, upstream, self.kernel_size[0])
                kernels = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                    input=tf.cast(x, of_kernel),
                    filter_sizes=kernel.shape,
                    out_backprop=tf.cast(upstream, of_kernel),
                    **settings,
                )
                return tf.cast(inputs, BFLOAT16), tf.cast(kernels, tf.float32)

            return tf.nn.depthwise_conv2d(x, tf.cast(kernel, BFLOAT16), **settings), gradient

        assert not self.use_bias
        return convolved(x, tf.convert_to_tensor(self.kernel))


class Bfloat16BatchNormalization(_KeepsType, BatchNormalization):
    """(..., C) float32 or bfloat16 -> the same; weights and statistics are float32."""


@compiled
def _cut(x):
    return tf.clip_by_value(x, 0, 6)


@compiled
def _cut_gradient(outputs, upstream):
    return tf.where((outputs > 0) & (outputs < 6), upstream, tf.zeros_like(upstream))


@tf.custom_gradient
def _bfloat16_relu6(x):
    outputs = _cut(x)
    return outputs, lambda upstream: _cut_gradient(outputs, upstream)


class Bfloat16ReLU6(_KeepsType):
    """(...) float32 or bfloat16 -> the same, cut to 0..6; TensorFlow's own is slow in bfloat16."""

    def call(self, x):
        """One pass, and one for the gradient."""
        return _bfloat16_relu6(x) if x.dtype == BFLOAT16 else tf.nn.relu6(x)

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


PARTS = FAST._replace(
    depthwise=Bfloat16DepthwiseConv2D,
    dense=lambda units, name: Bfloat16Dense(units, gelu=False, name=name),
    expand=_expand,
    pointwise=Bfloat16Pointwise,
    batch_norm=Bfloat16BatchNormalization,
    relu6=lambda name: Bfloat16ReLU6(name=name),
)

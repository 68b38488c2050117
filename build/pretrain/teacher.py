"""What is learned: the features of EfficientNet-Lite2 with ImageNet weights, at two depths and at every position.

    teacher = Teacher(side=96)
    middle, last = teacher(pixels)         # (B, 6, 6, 120) and (B, 3, 3, 1280) float32

Features as targets (Romero et al. 2015, "FitNets") say more an image than class probabilities do: nine positions of 1280 numbers.
"""

import keras
import numpy as np
from keras import ops

from build.train import pretrained
from submission.network import build, complete, variables

SIZE = "lite2"
IMAGENET_CLASSES = 1000
LAYERS = ("stage_4_block_3_add", "top_relu")
"""The last features at a stride of 16 pixels, and at 32."""


class Teacher:
    """A network in inference that does not learn. Raises UserError where its weights are not installed."""

    def __init__(self, side: int):
        """side: of the images in pixels."""
        spec = complete(
            {
                "network": "efficientnet-lite",
                "size": SIZE,
                "classes": IMAGENET_CLASSES,
                "image_shape": [side, side, 3],
            }
        )
        network = build(spec, initialize=False)
        pretrained.load(network, spec, pretrained.IMAGENET)
        outputs = [network.get_layer(name).output for name in LAYERS]
        self.widths = [output.shape[-1] for output in outputs]
        if keras.backend.backend() == "tensorflow":
            from submission.folded_efficientnet_lite import features  # the same, a quarter faster on a CPU

            self._features = features({name: np.asarray(value) for name, value in variables(network).items()}, spec)
        else:
            body = keras.Model(network.input, outputs)
            self._features = lambda pixels: body(pixels, training=False)

    def __call__(self, pixels):
        """(B, side, side, 3) pixels 0..255 of any dtype -> the features of LAYERS, float32, without a gradient."""
        features = self._features(ops.cast(pixels, "float32"))
        return [ops.stop_gradient(ops.cast(feature, "float32")) for feature in features]

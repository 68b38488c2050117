"""How much the network's answers suffer from rounding each of its kernels alone.

    harm = sensitivities(arrays, spec, images)      # {"stem/kernel": 3e-2, ...}

One kernel after another is rounded, the others stay: the mean Kullback-Leibler divergence of the answers from the unrounded ones
(nats an image) is its sensitivity. Kernels of one network differ in it by a factor of ten thousand a weight: the
first depthwise kernel of an EfficientNet-Lite, 288 weights, harms as much as all others together. Runs on any Keras backend.
"""

import numpy as np
from scipy.special import log_softmax

from build.compress import values
from build.console import bar
from submission.network import assign, build, kernels

PROBE_STEP = 0.25
LEAST = 1e-9
"""Below this a divergence is rounding of float32."""


def sensitivities(arrays: dict[str, np.ndarray], spec: dict, images: np.ndarray) -> dict[str, float]:
    """Name of each kernel -> its sensitivity, > 0.

    arrays: all weights of the network of `spec` by name; images: (n, H, W, 3) uint8 of the training side, some dozen.
    """
    network = build(spec, initialize=False)
    assign(network, arrays)
    reference = log_softmax(network.predict_on_batch(images).astype(np.float64), axis=1)
    targets = kernels(network)
    harm = {}
    with bar("sensitivity", len(targets), "kernels") as advance:
        for name, target in targets.items():
            target.assign(values.grid(arrays[name], PROBE_STEP).array())
            found = log_softmax(network.predict_on_batch(images).astype(np.float64), axis=1)
            harm[name] = max(float((np.exp(reference) * (reference - found)).sum(1).mean()), LEAST)
            target.assign(arrays[name])
            advance()
    return harm

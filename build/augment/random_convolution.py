"""Random convolution: an image mixed with what a kernel of random weights makes of it (Xu et al. 2021, "Robust and Generalizable Visual
Representation Learning via Random Convolutions", ICLR).

It changes colours and texture as no table and no dye of ours does, and leaves the shape: a picture of another laboratory, so to say.
"""

import cv2
import numpy as np

LARGEST = 7
"""Side of the largest kernel in pixels, the paper's; a kernel of 1 changes colours alone."""

Kernel = tuple[np.ndarray, float]
"""(3, 3, side, side) float32 weights, channel made and channel read first; the image's own share of the result, 0..1."""


def draw_random_convolutions(count: int, *, rng: np.random.Generator) -> list[tuple[str, Kernel]]:
    """Draw one convolution an image, as a step of a program: sides 1, 3, 5 and 7 alike, weights N(0, 1 / (3 side^2)), any share."""
    sides = rng.choice(np.arange(1, LARGEST + 1, 2), count).tolist()
    shares = rng.random(count).tolist()
    return [("random_convolution", (_weights(side, rng), share)) for side, share in zip(sides, shares, strict=True)]


def _weights(side: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((3, 3, side, side)).astype(np.float32) / np.float32(np.sqrt(3 * side * side))


def random_convolution(image: np.ndarray, parameter: Kernel) -> np.ndarray:
    """The mixed (H, W, 3) uint8 image."""
    weights, share = parameter
    pixels = image.astype(np.float32)
    # About the image's mean colour, so that neither the result's brightness nor its border depends on the weights' sum.
    middle = pixels.mean((0, 1))
    planes = cv2.split(pixels - middle)
    made = cv2.merge(
        [
            sum(
                cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
                for plane, kernel in zip(planes, of, strict=True)
            )
            for of in weights
        ]
    )
    return np.clip(np.rint(share * pixels + (1 - share) * (made + middle)), 0, 255).astype(np.uint8)

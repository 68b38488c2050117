"""The suite `imagenet-c`: ImageNet-C's noise, blur and digital groups, lengths brought from 224 px to the image's side.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (ICLR),
figure 1 and the parameters of its code. Elastic has the levels of Michaelis et al. 2019: the published ones change
their kind between severity 2 and 3 and do not grow.
"""

from build.score.corruptions import filters, geometric, noise, photometric
from build.score.corruptions.definition import Corruption, Suite

SOURCE = "Hendrycks & Dietterich 2019, ImageNet-C"

SUITE = Suite(
    "imagenet-c",
    (
        Corruption("gaussian-noise", noise.add_gaussian, (0.08, 0.12, 0.18, 0.26, 0.38), ("noise",), SOURCE),
        Corruption("shot-noise", noise.add_shot, (60, 25, 12, 5, 3), ("noise",), SOURCE),
        Corruption("impulse-noise", noise.add_impulse, (0.03, 0.06, 0.09, 0.17, 0.27), ("noise",), SOURCE),
        Corruption(
            "defocus-blur",
            filters.blur_defocus_relative,
            ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
            ("blur",),
            SOURCE,
        ),
        Corruption(
            "glass-blur",
            filters.blur_glass,
            ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
            ("blur",),
            SOURCE,
        ),
        Corruption(
            "motion-blur",
            filters.blur_motion_relative,
            ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
            ("blur", "motion blur"),
            SOURCE,
        ),
        Corruption(
            "zoom-blur",
            filters.blur_zoom,
            ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
            ("blur",),
            SOURCE,
        ),
        Corruption(
            "contrast", photometric.scale_contrast_by_channel, (0.4, 0.3, 0.2, 0.1, 0.05), ("contrast",), SOURCE
        ),
        Corruption(
            "elastic",
            geometric.deform,
            ((0.0625, 0.01), (0.08125, 0.01), (0.10625, 0.01), (0.125, 0.01), (0.15, 0.01)),
            ("elastic",),
            "Michaelis et al. 2019, Benchmarking Robustness in Object Detection, appendix A",
        ),
        Corruption("pixelate", filters.pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), ("pixelate",), SOURCE),
        Corruption("jpeg", filters.compress_jpeg, (25, 18, 15, 10, 7), ("jpeg",), SOURCE),
    ),
    "The noise, blur and digital corruptions of ImageNet-C at the competition's image size.",
)
